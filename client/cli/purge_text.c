#include "client/cli/purge_text.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/statement.h"
#include "hsm/base/text.h"

#include <stdio.h>
#include <string.h>

#define DOCUMENT_TITLE    "holdfast-approval-v1"
#define CERTIFICATE_TITLE "holdfast-purge-certificate-v1"

struct line {
    struct bytes key;
    struct bytes value;
};

static bool is_key(struct bytes key)
{
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return key.len > 0;
}

/* The next key=value with its LF, taken off. */
static bool take_line(struct bytes *rest, struct line *out)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    size_t len = end == NULL ? 0 : (size_t)(end - rest->data);
    const uint8_t *equals = memchr(rest->data, '=', len);
    if (equals == NULL) {
        return false;
    }
    size_t key_len = (size_t)(equals - rest->data);
    out->key = (struct bytes){rest->data, key_len};
    out->value = (struct bytes){equals + 1, len - key_len - 1};
    rest->data += len + 1;
    rest->len -= len + 1;
    return is_key(out->key) && out->value.len > 0 && text_is_plain(out->value);
}

/* What the lines behind the title are to hold. */
struct wanted {
    const char *key;
    char *out; /* NULL: it must be there, and no more */
    bool optional;
    bool many;
    size_t seen;
};

static bool note(struct wanted *wanted, size_t count, const struct line *line)
{
    for (size_t i = 0; i < count; i++) {
        if (!bytes_equal(bytes_of_text(wanted[i].key), line->key)) {
            continue;
        }
        if (wanted[i].seen++ > 0 && !wanted[i].many) {
            return false;
        }
        if (wanted[i].out == NULL) {
            return true;
        }
        if (line->value.len >= PURGE_VALUE_BYTES) {
            return false;
        }
        memcpy(wanted[i].out, line->value.data, line->value.len);
        wanted[i].out[line->value.len] = '\0';
        return true;
    }
    return true; /* for a person to read */
}

/* The title, lines and nothing else, each wanted one once, the last one last.
 */
static HF_STATUS read_lines(struct bytes text, const char *title,
                            struct wanted *wanted, size_t count)
{
    const struct statement_reader reader = statement_read(text, title);
    struct bytes rest = reader.rest;
    struct line line = {BYTES_NONE, BYTES_NONE};
    if (reader.bad) {
        return HF_E_INVALID;
    }
    while (rest.len > 0) {
        if (!take_line(&rest, &line) || !note(wanted, count, &line)) {
            return HF_E_INVALID;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].seen == 0 && !wanted[i].optional) {
            return HF_E_INVALID;
        }
    }
    return bytes_equal(bytes_of_text(wanted[count - 1].key), line.key)
               ? HF_OK
               : HF_E_INVALID;
}

HF_STATUS purge_document_check(struct bytes text,
                               const struct purge_signing *signing)
{
    char object[PURGE_VALUE_BYTES] = "";
    char version[PURGE_VALUE_BYTES] = "";
    char accepts[PURGE_VALUE_BYTES] = "";
    char number[16];
    /* clang-format off */
    struct wanted wanted[] = {
        {.key = "verb"},
        {.key = "tenant_id"},
        {.key = "object", .out = object},
        {.key = "version", .out = version},
        {.key = "nonce"},
        {.key = "expires_at"},
        {.key = "accepts_earlier_wraps", .out = accepts},
    };
    /* clang-format on */
    HF_TRY(read_lines(text, DOCUMENT_TITLE, wanted, HF_COUNT(wanted)));
    snprintf(number, sizeof number, "%u", (unsigned)signing->version);
    return strcmp(object, signing->object) == 0 &&
                   strcmp(version, number) == 0 &&
                   strcmp(accepts,
                          signing->accepts_earlier_wraps ? "true" : "false") ==
                       0
               ? HF_OK
               : HF_E_INVALID;
}

HF_STATUS purge_certificate_read(struct bytes text,
                                 struct purge_certificate_facts *out)
{
    struct purge_certificate_facts facts = {.dep = ""};
    /* clang-format off */
    struct wanted wanted[] = {
        {.key = "tenant", .out = facts.tenant},
        {.key = "tenant_id"},
        {.key = "object", .out = facts.object},
        {.key = "dep", .out = facts.dep, .optional = true},
        {.key = "dep_name", .out = facts.dep_name, .optional = true},
        {.key = "approver", .many = true},
        {.key = "executor"},
        {.key = "executed_at"},
        {.key = "resources_tombstoned"},
        {.key = "destroyed_at"},
        {.key = "verified"},
        {.key = "residual_wrap", .many = true},
        {.key = "purged_at", .out = facts.purged_at},
    };
    /* clang-format on */
    HF_TRY(read_lines(text, CERTIFICATE_TITLE, wanted, HF_COUNT(wanted)));
    *out = facts;
    return HF_OK;
}

bool purge_certificate_is_of(const struct purge_certificate_facts *facts,
                             const char *purge, const char *dep)
{
    const char *id = strrchr(facts->object, '/');
    bool is_purge = purge == NULL || strcmp(purge, facts->object) == 0 ||
                    (id != NULL && strcmp(purge, id + 1) == 0);
    bool is_dep =
        dep == NULL ||
        (facts->dep[0] != '\0' &&
         (strcmp(dep, facts->dep) == 0 || strcmp(dep, facts->dep_name) == 0));
    return is_purge && is_dep;
}
