/* Does a client that has gone away change anything? What it asked for is looked
 * at again before every side effect: a queued call outlives its client (facts
 * about gRPC), and token work takes its time. */
#include "server/service/audit.h"
#include "server/service/dep_refresh.h"

#include "tests/unit/service/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define OTHER_DEP "dep2"
#define OTHER_BOX "bob@contoso.example"

static struct world world;
static struct outcome made;
static atomic_bool gone;

static int start(void **state)
{
    (void)state;
    atomic_store(&gone, false);
    world_start(&world);
    world_ready(&world, 60000, RESIDENCY_TOKEN);
    world_generate(&world, WORLD_MAILBOX, &made);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    world_stop(&world);
    return 0;
}

static bool is_gone(void *self)
{
    return atomic_load((atomic_bool *)self);
}

static const struct cancellation client = {is_gone, &gone};

/* --- the data plane ----------------------------------------------------- */

static void *unwrap(void *argument)
{
    const struct call_options options = {
        .caller = &world.workload,
        .verb = VERB_UNWRAP_KEY,
        .cancel = &gone,
    };
    world_call(&world, &options, argument);
    return NULL;
}

static size_t sealing(void)
{
    return token_fake_held(world.customer_fake[0], TOKEN_OP_SEAL) +
           token_fake_held(world.customer_fake[1], TOKEN_OP_SEAL);
}

/* The key is sealed for the other DEP when the client goes: nothing moves. */
static void a_rewrap_on_access_is_not_recorded(void **state)
{
    struct mailbox_assign assign = {
        .tenant = WORLD_TENANT,
        .id = WORLD_MAILBOX,
        .dep = OTHER_DEP,
    };
    struct mailbox_view view;
    struct outcome out;
    pthread_t caller;
    (void)state;
    world_dep(&world, OTHER_DEP, 60000, RESIDENCY_TOKEN);
    assert_ok(mailboxes_assign(world.service, &world.admin, &assign, &view,
                               &world.problem));
    for (size_t i = 0; i < 2; i++) {
        token_fake_hold(world.customer_fake[i], TOKEN_OP_SEAL);
    }
    pthread_create(&caller, NULL, unwrap, &out);
    while (sealing() == 0) {
        usleep(1000);
    }
    atomic_store(&gone, true);
    for (size_t i = 0; i < 2; i++) {
        token_fake_release(world.customer_fake[i], TOKEN_OP_SEAL);
    }
    pthread_join(caller, NULL);
    assert_int_equal(out.envelope_len, 0);
    assert_int_equal(world_audit_count(&world, "RewrapKey"), 0);
    atomic_store(&gone, false);
    unwrap(&out);
    assert_ok(out.status);
    assert_int_equal(out.envelope_len, ENVELOPE_KEY_BYTES);
    assert_int_equal(world_audit_count(&world, "RewrapKey"), 1);
}

/* --- CreateDep ---------------------------------------------------------- */

struct creating {
    enum hf_status status;
    struct problem problem;
    struct validation_report report;
};

static void *create(void *argument)
{
    struct creating *creating = argument;
    struct dep_create request = {
        .tenant = WORLD_TENANT,
        .type = DEP_TYPE_EXCHANGE_MAILBOX,
        .name = OTHER_DEP,
        .keys = {"ck1", "ck2"},
        .residency = RESIDENCY_TOKEN,
        .key_lease_ms = 0,
        .mutation = {.cancellation = client    },
    };
    struct dep_view view;
    memcpy(request.workload_identity, world.workload.identity,
           sizeof request.workload_identity);
    creating->problem.report = &creating->report;
    creating->status = deps_create(world.service, &world.admin, &request, &view,
                                   &creating->problem);
    return NULL;
}

/* The client goes while the token is at this operation. */
static void goes_while(struct token_fake *fake, enum token_op op,
                       uint64_t keys_generated)
{
    static struct creating creating;
    pthread_t creator;
    size_t keys = token_fake_keys(world.ak_fake);
    uint64_t generated = token_fake_calls(world.ak_fake, TOKEN_OP_GENERATE);
    size_t records = world_audit_count(&world, "CreateDep");
    token_fake_hold(fake, op);
    pthread_create(&creator, NULL, create, &creating);
    assert_true(token_fake_wait_held(fake, op, 1, 5000));
    atomic_store(&gone, true);
    token_fake_release(fake, op);
    pthread_join(creator, NULL);
    assert_string_equal(reason_word(creating.problem.reason), "CANCELLED");
    assert_int_equal(token_fake_keys(world.ak_fake), keys);
    assert_int_equal(token_fake_calls(world.ak_fake, TOKEN_OP_GENERATE),
                     generated + keys_generated);
    assert_int_equal(world_audit_count(&world, "CreateDep"), records);
    atomic_store(&gone, false);
    create(&creating);
    assert_ok(creating.status); /* nothing of the first one is in the way */
}

static void no_keys_are_made_for_a_client_that_went(void **state)
{
    (void)state;
    goes_while(world.customer_fake[1], TOKEN_OP_UNWRAP, 0);
}

static void keys_that_were_made_are_destroyed(void **state)
{
    (void)state;
    goes_while(world.ak_fake, TOKEN_OP_MINT, 1);
}

/* --- every other change ------------------------------------------------- */

static enum hf_status update_key(void)
{
    const struct customer_key_update request = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .set_enabled = true,
        .mutation = {.cancellation = client},
    };
    struct customer_key_view view;
    return customer_keys_update(world.service, &world.admin, &request, &view,
                                &world.problem);
}

static struct customer_key_grant grant_to(const struct caller *whom)
{
    struct customer_key_grant request = {
        .tenant = WORLD_TENANT,
        .name = "ck1",
        .permissions = PERMISSION_UNWRAP,
        .mutation = {.cancellation = client},
    };
    memcpy(request.identity, whom->identity, sizeof request.identity);
    return request;
}

static enum hf_status grant(void)
{
    const struct customer_key_grant request = grant_to(&world.stranger);
    struct customer_key_view view;
    return customer_keys_grant(world.service, &world.admin, &request, &view,
                               &world.problem);
}

static enum hf_status revoke_grant(void)
{
    const struct customer_key_grant request = grant_to(&world.workload);
    struct customer_key_view view;
    return customer_keys_revoke(world.service, &world.admin, &request, &view,
                                &world.problem);
}

static void make_object(void)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_CUSTOMER_KEY_TOKEN,
                       .bits = 2048,
                       .label = "new",
                       .id = "new",
                       .id_len = 3,
                       .report = &report},
    };
    assert_ok(token_call(&world.customer[0], &request));
}

static enum hf_status register_key(void)
{
    const struct customer_key_register request = {
        .tenant = WORLD_TENANT,
        .name = "ck3",
        .token = "t1",
        .uri = "pkcs11:id=%6e%65%77",
        .mutation = {.cancellation = client},
    };
    struct customer_key_view view;
    return customer_keys_register(world.service, &world.admin, &request, &view,
                                  &world.problem);
}

static enum hf_status update_dep(void)
{
    const struct dep_update request = {
        .tenant = WORLD_TENANT,
        .dep = WORLD_DEP,
        .set_key_lease = true,
        .mutation = {.cancellation = client},
    };
    struct dep_view view;
    return deps_update(world.service, &world.admin, &request, &view,
                       &world.problem);
}

static enum hf_status refresh_dep(void)
{
    const struct dep_refresh request = {
        .tenant = WORLD_TENANT,
        .dep = WORLD_DEP,
        .mutation = {.cancellation = client},
    };
    struct operation_view view;
    return deps_refresh(world.service, &world.admin, &request, &view,
                        &world.problem);
}

static enum hf_status register_mailbox(void)
{
    const struct mailbox_register request = {
        .tenant = WORLD_TENANT,
        .id = OTHER_BOX,
        .kind = MAILBOX_USER,
        .mutation = {.cancellation = client},
    };
    struct mailbox_view view;
    return mailboxes_register(world.service, &world.admin, &request, &view,
                              &world.problem);
}

static enum hf_status assign_mailbox(void)
{
    const struct mailbox_assign request = {
        .tenant = WORLD_TENANT,
        .id = WORLD_MAILBOX,
        .mutation = {.cancellation = client},
    };
    struct mailbox_view view;
    return mailboxes_assign(world.service, &world.admin, &request, &view,
                            &world.problem);
}

static enum hf_status create_tenant(void)
{
    const struct tenant_create request = {
        .name = "fabrikam",
        .mutation = {.cancellation = client},
    };
    struct tenant_view view;
    return tenants_create(world.service, &world.operator_, &request, &view,
                          &world.problem);
}

static void nothing_is_changed_for_a_client_that_went(void **state)
{
    static const struct {
        const char *name;
        enum hf_status (*change)(void);
    } changes[] = {
        {"grant",          grant           },
        {"revocation",     revoke_grant    },
        {"registered key", register_key    },
        {"DEP",            update_dep      },
        {"generation",     refresh_dep     },
        {"mailbox",        register_mailbox},
        {"assignment",     assign_mailbox  },
        {"tenant",         create_tenant   },
        {"customer key",   update_key      },
    };
    (void)state;
    world_key_version(&world, 0, "ck1", 2); /* for the generation to take */
    make_object();
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        size_t records = world_audit_count(&world, "");
        atomic_store(&gone, true);
        enum hf_status status = changes[i].change();
        if (status != HF_E_CANCELLED) {
            fail_msg("%s: %s", changes[i].name, hf_status_name(status));
        }
        assert_string_equal(reason_word(world.problem.reason), "CANCELLED");
        assert_int_equal(world_audit_count(&world, ""), records);
        atomic_store(&gone, false);
        assert_ok(changes[i].change());
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_rewrap_on_access_is_not_recorded),
        TEST(no_keys_are_made_for_a_client_that_went),
        TEST(keys_that_were_made_are_destroyed),
        TEST(nothing_is_changed_for_a_client_that_went),
    };
    return cmocka_run_group_tests_name("service_cancelled", tests, NULL, NULL);
}
