/* Which URIs are SPIFFE IDs in their one spelling. */
#include "hsm/base/check.h"
#include "hsm/base/limits.h"

#include "server/edge/peer.h"

#include "tests/support/unit.h"

#include <string.h>

static void good_ones_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "spiffe://test",
        "spiffe://test/alice",
        "spiffe://a",
        "spiffe://example.org/ns/mail/sa/Exchange-1",
        "spiffe://sub_domain.example-1.org/a.b_c-D/e",
        "spiffe://test/...", /* no name for a folder */
        "spiffe://test/.a",
    };
    for (size_t i = 0; i < HF_COUNT(good); i++) {
        if (!peer_uri_valid(good[i], strlen(good[i]))) {
            fail_msg("%s", good[i]);
        }
    }
}

static void all_others_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "s",
        "spiffe:",
        "spiffe://",
        "spiffe:///alice",
        "spiffe:/test/alice",
        "spiffe:test/alice",
        "SPIFFE://test/alice",
        "https://test/alice",
        " spiffe://test/alice",
        "spiffe://test/alice ",
        "spiffe://Test/alice",
        "spiffe://test:443/alice",
        "spiffe://user@test/alice",
        "spiffe://te%73t/alice",
        "spiffe://[::1]/alice",
        "spiffe://test/",
        "spiffe://test//alice",
        "spiffe://test/alice/",
        "spiffe://test/./alice",
        "spiffe://test/../alice",
        "spiffe://test/a/..",
        "spiffe://test/a/.",
        "spiffe://test/al%69ce",
        "spiffe://test/alice?role=admin",
        "spiffe://test/alice#admin",
        "spiffe://test/al ice",
        "spiffe://test/al\nice",
        "spiffe://test/al\tice",
        "spiffe://test/al\x7fice",
        "spiffe://test/al\xc3\xa9",
        "spiffe://test/a,b",
        "spiffe://test/a;b",
        "spiffe://test/*",
        "spiffe://test/a\\b",
    };
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        if (peer_uri_valid(bad[i], strlen(bad[i]))) {
            fail_msg("%s", bad[i]);
        }
    }
}

/* Every byte in every place: only the bytes of a name change nothing. */
static void each_byte_counts(void **state)
{
    (void)state;
    static const char uri[] = "spiffe://test/alice";
    size_t len = sizeof uri - 1;
    for (int value = 0; value < 256; value++) {
        char changed[sizeof uri];
        memcpy(changed, uri, sizeof uri);
        changed[15] = (char)value; /* the l */
        bool letter =
            (value >= 'a' && value <= 'z') || (value >= 'A' && value <= 'Z');
        bool other = (value >= '0' && value <= '9') || value == '.' ||
                     value == '-' || value == '_' || value == '/';
        assert_int_equal(peer_uri_valid(changed, len), letter || other);
        memcpy(changed, uri, sizeof uri);
        changed[10] = (char)value; /* the e of the trust domain */
        letter = value >= 'a' && value <= 'z';
        assert_int_equal(peer_uri_valid(changed, len), letter || other);
    }
}

static void length_counts_every_byte(void **state)
{
    (void)state;
    static const char nul[] = "spiffe://test/alice\0";
    assert_true(peer_uri_valid(nul, sizeof nul - 2));
    assert_false(peer_uri_valid(nul, sizeof nul - 1));

    char uri[HF_URI_MAX_BYTES + 2];
    memset(uri, 'a', sizeof uri);
    memcpy(uri, "spiffe://", 9);
    uri[14] = '/';
    assert_true(peer_uri_valid(uri, HF_URI_MAX_BYTES));
    assert_false(peer_uri_valid(uri, HF_URI_MAX_BYTES + 1));
    memset(uri + 9, 'a', 256);
    uri[9 + 255] = '/';
    assert_true(peer_uri_valid(uri, 300));
    uri[9 + 255] = 'a';
    uri[9 + 256] = '/';
    assert_false(peer_uri_valid(uri, 300));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones_are_taken),
        cmocka_unit_test(all_others_are_refused),
        cmocka_unit_test(each_byte_counts),
        cmocka_unit_test(length_counts_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
