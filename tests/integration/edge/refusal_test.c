/* N04: who is not let in, each for its own reason, and who is. */
#include "hsm/base/check.h"

#include "tests/integration/edge/world.h"
#include "tests/support/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SERVED EDGE_REFUSAL_COUNT

/* One client each: how it is made, and why it is refused. */
struct refusal_case {
    const char *title;
    struct pki_leaf leaf;
    bool other_ca;     /* issued by a CA of the same name that nobody knows */
    bool intermediate; /* issued below the root, chain sent */
    bool no_certificate;
    bool revoked;
    struct client_how how;
    enum edge_refusal expected; /* SERVED: let in */
};

#define ALICE .uris = {"spiffe://test/alice"}

/* clang-format 14 dies of this table */
/* clang-format off */
static const struct refusal_case cases[] = {
    {.title = "good", .leaf = {ALICE}, .expected = SERVED},
    {.title = "good for both uses",
     .leaf = {ALICE, .usage = PKI_CLIENT_SERVER},
     .expected = SERVED},
    {.title = "good with a DNS name beside it",
     .leaf = {ALICE, .dns = "alice.test"},
     .expected = SERVED},
    {.title = "h2 among other protocols",
     .leaf = {ALICE},
     .how = {.alpn = "\10http/1.1\2h2"},
     .expected = SERVED},
    {.title = "no certificate",
     .no_certificate = true,
     .expected = EDGE_REFUSED_NO_CERTIFICATE},
    {.title = "expired",
     .leaf = {ALICE, .not_before_s = -7200, .not_after_s = -60},
     .expected = EDGE_REFUSED_EXPIRED},
    {.title = "not yet valid",
     .leaf = {ALICE, .not_before_s = 600},
     .expected = EDGE_REFUSED_EXPIRED},
    {.title = "wrong CA of the same name",
     .leaf = {ALICE},
     .other_ca = true,
     .expected = EDGE_REFUSED_UNTRUSTED},
    {.title = "below an intermediate that has no revocation list",
     .leaf = {ALICE},
     .intermediate = true,
     .expected = EDGE_REFUSED_CRL},
    {.title = "revoked",
     .leaf = {ALICE, .serial = 666},
     .revoked = true,
     .expected = EDGE_REFUSED_REVOKED},
    {.title = "serverAuth only",
     .leaf = {ALICE, .usage = PKI_SERVER},
     .expected = EDGE_REFUSED_PURPOSE},
    {.title = "codeSigning only",
     .leaf = {ALICE, .usage = PKI_CODE_SIGNING},
     .expected = EDGE_REFUSED_PURPOSE},
    {.title = "anyExtendedKeyUsage only",
     .leaf = {ALICE, .usage = PKI_ANY},
     .expected = EDGE_REFUSED_PURPOSE},
    {.title = "no extended key usage",
     .leaf = {ALICE, .usage = PKI_NO_USAGE},
     .expected = EDGE_REFUSED_PURPOSE},
    {.title = "a CA as client",
     .leaf = {ALICE, .is_ca = true},
     .expected = EDGE_REFUSED_PURPOSE},
    {.title = "two URIs",
     .leaf = {.uris = {"spiffe://test/alice", "spiffe://test/bob"}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "the same URI twice",
     .leaf = {.uris = {"spiffe://test/alice", "spiffe://test/alice"}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "a good URI and a bad one",
     .leaf = {.uris = {"spiffe://test/alice", "https://test/alice"}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "no subject alternative name",
     .leaf = {.common_name = "spiffe://test/alice"},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "a DNS name only",
     .leaf = {.dns = "alice.test"},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "another scheme",
     .leaf = {.uris = {"https://test/alice"}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "an embedded NUL",
     .leaf = {.uris = {"spiffe://test/alice\0.evil"}, .uri_lens = {25}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "a control character",
     .leaf = {.uris = {"spiffe://test/al\nice"}},
     .expected = EDGE_REFUSED_IDENTITY},
    {.title = "TLS 1.2",
     .leaf = {ALICE},
     .how = {.version_max = TLS1_2_VERSION},
     .expected = EDGE_REFUSED_PROTOCOL},
    {.title = "no ALPN",
     .leaf = {ALICE},
     .how = {.no_alpn = true},
     .expected = EDGE_REFUSED_PROTOCOL},
    {.title = "ALPN without h2",
     .leaf = {ALICE},
     .how = {.alpn = "\10http/1.1"},
     .expected = EDGE_REFUSED_PROTOCOL},
};
/* clang-format on */

static uint64_t judged_of(const struct edge_counters *counters)
{
    uint64_t sum = counters->handshakes_ok;
    for (int i = 0; i < EDGE_REFUSAL_COUNT; i++) {
        sum += counters->handshakes_failed[i];
    }
    return sum;
}

static uint64_t judged(const struct world *world)
{
    struct edge_counters now = counters_of(world);
    return judged_of(&now);
}

static void expect_counted(const struct world *world,
                           const struct edge_counters *before,
                           enum edge_refusal expected, const char *title)
{
    /* the client hears of it before the edge has counted */
    WAIT_FOR(judged(world) > judged_of(before));
    struct edge_counters after = counters_of(world);
    if (expected == SERVED) {
        assert_int_equal(after.handshakes_ok, before->handshakes_ok + 1);
    } else {
        assert_int_equal(after.handshakes_ok, before->handshakes_ok);
    }
    for (int i = 0; i < EDGE_REFUSAL_COUNT; i++) {
        uint64_t more =
            after.handshakes_failed[i] - before->handshakes_failed[i];
        if (more != (i == (int)expected ? 1 : 0)) {
            fail_msg("%s: %s counted %d times", title,
                     edge_refusal_name((enum edge_refusal)i), (int)more);
        }
    }
}

static void each_client_gets_its_own_answer(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    struct pki_ca *other = pki_ca_new("Test root", NULL);
    struct pki_ca *below = pki_ca_new("Test intermediate", world.ca);
    pki_crl_write(world.ca,
                  &(struct pki_crl){
                      .serials = {665, 666, 667},
                        .count = 3
    },
                  world.dir, "crl.pem");
    world_start(&world);
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        const struct refusal_case *one = &cases[i];
        struct client_how how = one->how;
        struct pki_ca *ca = one->other_ca ? other : world.ca;
        ca = one->intermediate ? below : ca;
        pki_issue(ca, &one->leaf, world.dir, "case");
        how.name = one->no_certificate ? NULL : "case";
        struct edge_counters before = counters_of(&world);
        size_t reached = world.backend.name_count;
        const char *why = NULL;
        bool served = client_served(&world, &how, &why);
        if (served != (one->expected == SERVED)) {
            fail_msg("%s: %s", one->title, why);
        }
        expect_counted(&world, &before, one->expected, one->title);
        /* who is refused never reaches what is behind */
        assert_int_equal(world.backend.name_count,
                         reached + (one->expected == SERVED ? 1 : 0));
    }
    pki_ca_free(below);
    pki_ca_free(other);
    world_free(&world);
}

/* A client below an intermediate is let in with the lists of both CAs. */
static void an_intermediate_needs_its_own_list(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    struct pki_ca *below = pki_ca_new("Test intermediate", world.ca);
    uint64_t serial =
        pki_issue(below, &(struct pki_leaf){.uris = {"spiffe://test/carol"}},
                  world.dir, "carol");
    pki_crl_write(below, &(struct pki_crl){0}, world.dir, "below.pem");
    pki_append(world.dir, "crl.pem", "below.pem");
    world_start(&world);
    const char *why = NULL;
    struct client_how carol = {.name = "carol"};
    assert_true(client_served(&world, &carol, &why));

    pki_crl_write(world.ca, &(struct pki_crl){0}, world.dir, "crl.pem");
    pki_crl_write(below, &(struct pki_crl){.serials = {serial}, .count = 1},
                  world.dir, "below.pem");
    pki_append(world.dir, "crl.pem", "below.pem");
    assert_int_equal(edge_reload(world.edge), HF_OK);
    assert_false(client_served(&world, &carol, &why));
    assert_string_equal(why, "sslv3 alert certificate revoked");

    /* and it is no use that the leaf is not on its list when the intermediate
     * is on the root's */
    struct pki_crl list = {.serials = {pki_ca_serial(below)}, .count = 1};
    pki_crl_write(world.ca, &list, world.dir, "crl.pem");
    pki_crl_write(below, &(struct pki_crl){0}, world.dir, "below.pem");
    pki_append(world.dir, "crl.pem", "below.pem");
    assert_ok(edge_reload(world.edge));
    assert_false(client_served(&world, &carol, &why));
    assert_string_equal(why, "sslv3 alert certificate revoked");
    pki_ca_free(below);
    world_free(&world);
}

/* The reason arrives, though the client (as TLS 1.3 lets it) already sends
 * more than anybody reads: a reset would destroy it. */
static void the_refused_learn_why(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    struct pki_crl list = {.serials = {world.alice_serial}, .count = 1};
    pki_crl_write(world.ca, &list, world.dir, "crl.pem");
    world_start(&world);
    for (int i = 0; i < 10; i++) {
        struct client client;
        const char *why = NULL;
        bool connected = client_connect(&client, &world,
                                        &(struct client_how){.name = "alice"});
        assert_true(connected);
        assert_int_equal(client_push(&client, 0, 1 << 20), 1 << 20);
        assert_true(client_ended(&client, &why));
        assert_string_equal(why, "sslv3 alert certificate revoked");
        client_close(&client);
    }
    world_free(&world);
}

enum crl_state {
    LIST_MISSING,
    LIST_EMPTY,
    LIST_GARBAGE,
    LIST_GARBAGE_AFTER,
    LIST_EXPIRED,
    LIST_FUTURE,
    LIST_ENDLESS,
    LIST_OTHER_ISSUER,
    LIST_FORGED,
};

static void crl_make(struct world *world, enum crl_state how)
{
    struct pki_ca *other =
        pki_ca_new(how == LIST_FORGED ? "Test root" : "Other root", NULL);
    struct pki_crl list = {0};
    char path[PKI_PATH_BYTES];
    pki_path(path, world->dir, "crl.pem");
    switch (how) {
    case LIST_MISSING:
        CHECK(unlink(path) == 0);
        break;
    case LIST_EMPTY:
        pki_text_write(world->dir, "crl.pem", "");
        break;
    case LIST_GARBAGE:
        pki_text_write(world->dir, "crl.pem",
                       "-----BEGIN X509 CRL-----\nnonsense\n"
                       "-----END X509 CRL-----\n");
        break;
    case LIST_GARBAGE_AFTER:
        pki_text_write(world->dir, "more", "-----BEGIN X509 CRL-----\nMIIB\n");
        pki_append(world->dir, "crl.pem", "more");
        break;
    case LIST_EXPIRED:
        list.last_update_s = -7200;
        list.next_update_s = -60;
        pki_crl_write(world->ca, &list, world->dir, "crl.pem");
        break;
    case LIST_FUTURE:
        list.last_update_s = 600;
        pki_crl_write(world->ca, &list, world->dir, "crl.pem");
        break;
    case LIST_ENDLESS:
        list.next_update_s = PKI_NO_NEXT_UPDATE;
        pki_crl_write(world->ca, &list, world->dir, "crl.pem");
        break;
    case LIST_OTHER_ISSUER:
    case LIST_FORGED:
        pki_crl_write(other, &list, world->dir, "crl.pem");
        break;
    }
    pki_ca_free(other);
}

static void without_a_good_list_nobody_enters(void **state)
{
    (void)state;
    for (int how = LIST_MISSING; how <= LIST_FORGED; how++) {
        static struct world world;
        world_new(&world, BACKEND_ECHO);
        crl_make(&world, (enum crl_state)how);
        world_start(&world);
        struct edge_counters before = counters_of(&world);
        const char *why = NULL;
        struct client_how alice = {.name = "alice"};
        if (client_served(&world, &alice, &why)) {
            fail_msg("list %d: alice was served", how);
        }
        expect_counted(&world, &before, EDGE_REFUSED_CRL, "list");
        /* and the repair needs no restart */
        assert_int_equal(edge_reload(world.edge), HF_E_INVALID);
        pki_crl_write(world.ca, &(struct pki_crl){0}, world.dir, "crl.pem");
        assert_int_equal(edge_reload(world.edge), HF_OK);
        assert_true(client_served(&world, &alice, &why));
        world_free(&world);
    }
}

/* The list was good at start and ends while the process runs. */
static void a_list_that_ends_refuses_from_then_on(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    pki_crl_write(world.ca, &(struct pki_crl){.next_update_s = 3600}, world.dir,
                  "crl.pem");
    world_start(&world);
    const char *why = NULL;
    struct client_how alice = {.name = "alice"};
    assert_true(client_served(&world, &alice, &why));
    atomic_store(&world.wall_ahead_ms, 3700 * 1000);
    struct edge_counters before = counters_of(&world);
    assert_false(client_served(&world, &alice, &why));
    expect_counted(&world, &before, EDGE_REFUSED_CRL, "ended list");
    world_free(&world);
}

static void none_has_to_be_said(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    crl_make(&world, LIST_MISSING);
    struct edge *edge = NULL;
    world.settings.crl_path = NULL;
    assert_int_equal(edge_start(&world.settings, &edge), HF_E_INVALID);
    world.settings.crl_path = "";
    assert_int_equal(edge_start(&world.settings, &edge), HF_E_INVALID);
    assert_null(edge);
    world.settings.crl_path = EDGE_CRL_NONE;
    world_start(&world);
    const char *why = NULL;
    assert_true(
        client_served(&world, &(struct client_how){.name = "alice"}, &why));
    assert_false(client_served(&world, &(struct client_how){0}, &why));
    world_free(&world);
}

/* Neither a ticket nor a kept session leads around the certificate. */
static void nobody_resumes(void **state)
{
    (void)state;
    static struct world world;
    world_new(&world, BACKEND_ECHO);
    world_start(&world);
    struct client first;
    struct client_how alice = {.name = "alice"};
    assert_true(client_connect(&first, &world, &alice));
    assert_true(client_echo(&first, "hello"));
    SSL_SESSION *session = SSL_get1_session(first.ssl);
    assert_false(SSL_SESSION_is_resumable(session));
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    assert_string_equal(SSL_get_version(first.ssl), "TLSv1.3");
    SSL_SESSION_free(session);
    client_close(&first);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_client_gets_its_own_answer),
        cmocka_unit_test(an_intermediate_needs_its_own_list),
        cmocka_unit_test(the_refused_learn_why),
        cmocka_unit_test(without_a_good_list_nobody_enters),
        cmocka_unit_test(a_list_that_ends_refuses_from_then_on),
        cmocka_unit_test(none_has_to_be_said),
        cmocka_unit_test(nobody_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
