/* Do blob keys open for their own blob and nothing else, and outlive every roll
 * above them (R-6.16, R-2.5, R-2.16, R-15.8; N10 to N19 one floor down)? */
#include "hsm/base/check.h"

#include "server/service/resource_delete.h"

#include "tests/unit/service/geo_world.h"

#include <string.h>

#define SITE  "site-000"
#define OTHER "site-001"
#define SITES 2

static struct outcome made[SITES];
static struct outcome blob;

static void wrap(const char *site, const char *id, const uint8_t *key,
                 struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.files,
        .verb = VERB_WRAP_BLOB_KEY,
        .type = RESOURCE_SITE,
        .mailbox = site,
        .blob = id,
        .plaintext = key,
    };
    world_call(&world, &options, out);
}

static void unwrap(const char *site, const char *id, const uint8_t *envelope,
                   size_t len, struct outcome *out)
{
    const struct call_options options = {
        .caller = &world.files,
        .verb = VERB_UNWRAP_BLOB_KEY,
        .type = RESOURCE_SITE,
        .mailbox = site,
        .blob = id,
        .wrapped = envelope,
        .wrapped_len = len,
    };
    world_call(&world, &options, out);
}

static void assert_opens(void)
{
    struct outcome out;
    unwrap(SITE, "chunk-1", blob.envelope, blob.envelope_len, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, blob.key, HF_KEY_BYTES);
}

static void assert_invalid(const char *site, const char *id,
                           const uint8_t *envelope, size_t len)
{
    struct outcome out;
    unwrap(site, id, envelope, len, &out);
    geo_assert_refused(&out, "BLOB_INVALID");
}

static int start(void **state)
{
    struct operation_view operation;
    (void)state;
    geo_world_start();
    geo_fill(SITES, made);
    wrap(SITE, "chunk-1", NULL, &blob); /* before the geo has a TIK */
    assert_ok(blob.status);
    geo_register(&operation);
    geo_wait(&operation);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static void a_blob_key_comes_back(void **state)
{
    struct outcome out;
    uint8_t own[HF_KEY_BYTES];
    (void)state;
    assert_true(blob.has_key);
    assert_int_equal(blob.envelope_len, ENVELOPE_PLAIN_KEY_BYTES);
    assert_opens();
    /* one the caller brings (R-2.5: chunk and delta each have their own) */
    memset(own, 0x5a, sizeof own);
    wrap(SITE, "chunk-1", own, &out);
    assert_ok(out.status);
    unwrap(SITE, "chunk-1", out.envelope, out.envelope_len, &out);
    assert_ok(out.status);
    assert_memory_equal(out.key, own, sizeof own);
    wrap(SITE, "chunk-2", NULL, &out);
    assert_ok(out.status);
    assert_memory_not_equal(out.key, blob.key, HF_KEY_BYTES);
}

/* N10, N11, N14, N18: bound to site, blob and tenant. */
static void it_opens_for_nothing_else(void **state)
{
    uint8_t envelope[ENVELOPE_PLAIN_KEY_BYTES];
    (void)state;
    assert_invalid(SITE, "chunk-2", blob.envelope, blob.envelope_len);
    assert_invalid(OTHER, "chunk-1", blob.envelope, blob.envelope_len);
    assert_invalid(SITE, "", blob.envelope, blob.envelope_len);
    assert_invalid(SITE, "chunk-1", made[0].envelope, made[0].envelope_len);
    /* the other site's name in the place of the DEP */
    struct outcome other;
    wrap(OTHER, "chunk-1", NULL, &other);
    assert_ok(other.status);
    memcpy(envelope, blob.envelope, sizeof envelope);
    memcpy(envelope + 5, other.envelope + 5, HF_ID_BYTES);
    assert_invalid(OTHER, "chunk-1", envelope, sizeof envelope);
    assert_opens();
}

/* N15, N16, N17, N19 */
static void every_change_of_it_is_refused(void **state)
{
    uint8_t envelope[ENVELOPE_KEY_BYTES + 64];
    (void)state;
    for (size_t bit = 0; bit < 8 * blob.envelope_len; bit++) {
        memcpy(envelope, blob.envelope, blob.envelope_len);
        envelope[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_invalid(SITE, "chunk-1", envelope, blob.envelope_len);
    }
    memset(envelope, 0, sizeof envelope);
    memcpy(envelope, blob.envelope, blob.envelope_len);
    for (size_t len = 0; len < sizeof envelope; len++) {
        if (len != blob.envelope_len) {
            assert_invalid(SITE, "chunk-1", envelope, len);
        }
    }
    assert_opens();
}

/* site keys are rewrapped, blob envelopes stay valid for ever. */
static void it_outlives_every_roll(void **state)
{
    struct operation_view operation;
    (void)state;
    assert_opens();
    for (uint32_t version = 2; version < 4; version++) {
        world_key_version(&world, 0, "ck1", version);
        assert_ok(geo_roll_to(ROOT_CK1, "ck1", version, &operation));
        assert_opens(); /* while it is rolling, too */
        geo_wait(&operation);
        assert_opens();
    }
    assert_ok(world_restart(&world));
    assert_opens();
    geo_assert_all_open(SITES, made);
}

/* One operation under the TIK, and no other lane, when it is warm. */
static void it_runs_on_the_hot_lane(void **state)
{
    struct service_counters before;
    struct service_counters after;
    (void)state;
    geo_assert_all_open(SITES, made);
    assert_opens();
    world_settle(&world);
    service_counters_get(world.service, &before);
    for (int i = 0; i < 10; i++) {
        struct outcome out;
        assert_opens();
        wrap(SITE, "chunk-9", NULL, &out);
        assert_ok(out.status);
    }
    service_counters_get(world.service, &after);
    assert_int_equal(after.hot_calls - before.hot_calls, 20);
    assert_int_equal(after.slow_calls, before.slow_calls);
    assert_int_equal(after.root_ops, before.root_ops);
    assert_int_equal(after.store_writes, before.store_writes);
}

/* A refusal of the site's key is a refusal of the blob's. */
static void without_the_site_key_nothing_opens(void **state)
{
    struct outcome out;
    struct geo_view view;
    const struct geo_flush flush = {.tenant = WORLD_TENANT, .geo = GEO};
    (void)state;
    world_revoke(&world, "ck1", &world.files);
    world_revoke(&world, "ck2", &world.files);
    assert_ok(
        geos_flush(world.service, &world.admin, &flush, &view, &world.problem));
    unwrap(SITE, "chunk-1", blob.envelope, blob.envelope_len, &out);
    geo_assert_refused(&out, "KEY_ACCESS_DENIED");
    wrap(SITE, "chunk-1", NULL, &out);
    geo_assert_refused(&out, "KEY_ACCESS_DENIED");
    geo_add_site("keyless");
    wrap("keyless", "chunk-1", NULL, &out);
    geo_assert_refused(&out, "STATE_CONFLICT");
    wrap("absent", "chunk-1", NULL, &out);
    geo_assert_refused(&out, "NOT_FOUND");
}

/* neither a deleted site's key nor any blob's; the geo goes on, rolls,
 * and comes to 100 % without it. */
static void a_deleted_site_opens_nothing(void **state)
{
    static struct resource_deletion deletion;
    const struct resource_delete order = {.tenant = WORLD_TENANT,
                                          .type = RESOURCE_SITE,
                                          .id = SITE,
                                          .confirm = true};
    struct operation_view operation;
    struct outcome out;
    (void)state;
    assert_opens();
    assert_ok(resource_delete(world.service, &world.admin, &order, &deletion,
                              &world.problem));
    for (int i = 0; i < 2; i++) {
        unwrap(SITE, "chunk-1", blob.envelope, blob.envelope_len, &out);
        geo_assert_refused(&out, "KEY_DESTROYED");
        wrap(SITE, "chunk-2", NULL, &out);
        geo_assert_refused(&out, "KEY_DESTROYED");
        geo_unwrap(&world.files, SITE, INITIATOR_USER, &out);
        geo_assert_refused(&out, "KEY_DESTROYED");
        geo_unwrap(&world.files, OTHER, INITIATOR_USER, &out);
        assert_ok(out.status);
        assert_memory_equal(out.key, made[1].key, HF_KEY_BYTES);
        assert_ok(world_restart(&world));
    }
    world_key_version(&world, 0, "ck1", 2);
    assert_ok(geo_roll_to(ROOT_CK1, "ck1", 2, &operation));
    geo_wait(&operation);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_blob_key_comes_back),
        CASE(it_opens_for_nothing_else),
        CASE(every_change_of_it_is_refused),
        CASE(it_outlives_every_roll),
        CASE(it_runs_on_the_hot_lane),
        CASE(without_the_site_key_nothing_opens),
        CASE(a_deleted_site_opens_nothing),
    };
    return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
