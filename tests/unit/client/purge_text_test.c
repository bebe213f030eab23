/* Is only a purge's own text taken for one: what an approver signs, and what
 * the service signed (R-9.14, R-9.20, N60)? */
#include "hsm/base/check.h"

#include "client/cli/purge_text.h"

#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>

#define OBJECT "tenants/contoso/purges/0190c0de-0000-7000-8000-000000000001"

static const char document[] = "holdfast-approval-v1\n"
                               "verb=ExecutePurge\n"
                               "tenant=contoso\n"
                               "tenant_id=11\n"
                               "object=" OBJECT "\n"
                               "version=2\n"
                               "nonce=00\n"
                               "expires_at=2026-11-24T09:00:00Z\n"
                               "reason=we=leave\n"
                               "earlier_wrap=a\n"
                               "earlier_wrap=b\n"
                               "accepts_earlier_wraps=false\n";

static const char certificate[] = "holdfast-purge-certificate-v1\n"
                                  "tenant=contoso\n"
                                  "tenant_id=11\n"
                                  "object=" OBJECT "\n"
                                  "dep=22\n"
                                  "dep_name=mail\n"
                                  "approver=a\n"
                                  "approver=b\n"
                                  "executor=c\n"
                                  "executed_at=2026-11-24T09:00:00Z\n"
                                  "resources_tombstoned=1\n"
                                  "destroyed_at=2026-11-27T09:00:00Z\n"
                                  "verified=no object\n"
                                  "residual_wrap=none\n"
                                  "purged_at=2026-11-27T09:00:01Z\n";

/* The text with the first `from` replaced. */
static struct bytes edited(const char *text, const char *from, const char *to)
{
    static char out[2048];
    const char *at = strstr(text, from);
    assert_non_null(at);
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    return bytes_of_text(out);
}

static void what_an_approver_signs(void **state)
{
    const struct purge_signing signing = {.object = OBJECT, .version = 2};
    const struct purge_signing others[] = {
        {"tenants/contoso/purges/x", 2, false},
        {OBJECT,                     1, false},
        {OBJECT,                     2, true },
    };
    static const char *const edits[][2] = {
        {"approval-v1",                   "approval-v2"           },
        {"holdfast-approval-v1\n",        ""                      },
        {"verb=ExecutePurge\n",           ""                      },
        {"version=2\n",                   "version=02\n"          },
        {"version=2\n",                   "version=2\n\n"         },
        {"version=2\n",                   "version=2\nversion=3\n"},
        {"nonce=00\n",                    ""                      },
        {"nonce=00",                      "nonce=\x1b[2J"         },
        {"nonce=00",                      "nonce="                },
        {"tenant=",                       "tenant:"               },
        {"tenant=",                       "Tenant="               },
        {"accepts_earlier_wraps=false\n", ""                      },
        {"wraps=false\n",                 "wraps=false"           },
        {"wraps=false\n",                 "wraps=false\nx=y\n"    },
    };
    (void)state;
    assert_ok(purge_document_check(bytes_of_text(document), &signing));
    for (size_t i = 0; i < HF_COUNT(others); i++) {
        assert_status(purge_document_check(bytes_of_text(document), &others[i]),
                      HF_E_INVALID);
    }
    for (size_t i = 0; i < HF_COUNT(edits); i++) {
        assert_status(purge_document_check(
                          edited(document, edits[i][0], edits[i][1]), &signing),
                      HF_E_INVALID);
    }
    assert_status(purge_document_check(BYTES_NONE, &signing), HF_E_INVALID);
    assert_status(purge_document_check(bytes_of_text(certificate), &signing),
                  HF_E_INVALID);
}

static void what_the_service_signed(void **state)
{
    static const char *const edits[][2] = {
        {"holdfast-purge-certificate-v1",    "holdfast-checkpoint-v1"  },
        {"object=" OBJECT "\n",              ""                        },
        {"approver=a\napprover=b\n",         ""                        },
        {"executor=c\n",                     "executor=c\nexecutor=d\n"},
        {"verified=no object\n",             ""                        },
        {"residual_wrap=none\n",             ""                        },
        {"purged_at=2026-11-27T09:00:01Z\n", ""                        },
        {"09:00:01Z\n",                      "09:00:01Z\nmore=1\n"     },
    };
    struct purge_certificate_facts facts = {.dep = "?"};
    (void)state;
    for (size_t i = 0; i < HF_COUNT(edits); i++) {
        assert_status(
            purge_certificate_read(
                edited(certificate, edits[i][0], edits[i][1]), &facts),
            HF_E_INVALID);
        assert_string_equal(facts.dep, "?");
    }
    assert_ok(purge_certificate_read(bytes_of_text(certificate), &facts));
    assert_string_equal(facts.tenant, "contoso");
    assert_string_equal(facts.object, OBJECT);
    assert_string_equal(facts.dep, "22");
    assert_string_equal(facts.dep_name, "mail");
    assert_string_equal(facts.purged_at, "2026-11-27T09:00:01Z");
}

static void of_which_purge(void **state)
{
    struct purge_certificate_facts facts;
    (void)state;
    assert_ok(purge_certificate_read(bytes_of_text(certificate), &facts));
    assert_true(purge_certificate_is_of(&facts, NULL, NULL));
    assert_true(purge_certificate_is_of(&facts, OBJECT, "mail"));
    assert_true(
        purge_certificate_is_of(&facts, strrchr(OBJECT, '/') + 1, "22"));
    assert_false(purge_certificate_is_of(&facts, "x", NULL));
    assert_false(purge_certificate_is_of(&facts, NULL, "other"));
    assert_ok(purge_certificate_read(
        edited(certificate, "dep=22\ndep_name=mail\n", ""), &facts));
    assert_false(purge_certificate_is_of(&facts, NULL, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_approver_signs),
        cmocka_unit_test(what_the_service_signed),
        cmocka_unit_test(of_which_purge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
