#include "tests/unit/service/purge_world.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_US 5000
#define TRIES    3000

void world_move_clock(struct world *world, int64_t by_ms)
{
    __atomic_fetch_add(&world->now_ms, by_ms, __ATOMIC_SEQ_CST);
}

static void write_pem(EVP_PKEY *key, char out[512])
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    int len = BIO_read(bio, out, 511);
    assert_true(len > 0);
    out[len] = '\0';
    BIO_free(bio);
}

void purge_world_officers(struct world *world, size_t count)
{
    static struct officers_set request;
    struct officer_list list;
    char pem[2][512];
    memset(&request, 0, sizeof request);
    snprintf(request.tenant, sizeof request.tenant, "%s", WORLD_TENANT);
    request.count = count;
    for (size_t i = 0; i < count; i++) {
        write_pem(world->approver_key[i], pem[i]);
        memcpy(request.officers[i].identity, world->approver[i].identity,
               sizeof request.officers[i].identity);
        snprintf(request.officers[i].name, sizeof request.officers[i].name,
                 "Officer %zu", i + 1);
        request.officers[i].public_key = bytes_of_text(pem[i]);
    }
    assert_ok(officers_set(world->service, &world->admin, &request, &list,
                           &world->problem));
    assert_int_equal(list.count, count);
    world_move_clock(world, 1000);
}

void purge_world_mailbox(struct world *world, const char *id, const char *dep,
                         struct outcome *out)
{
    world_mailbox(world, id, dep);
    world_generate(world, id, out);
}

void purge_world_start(struct world *world)
{
    struct outcome made;
    world_start(world);
    world_ready(world, 60000, RESIDENCY_TOKEN);
    world_generate(world, WORLD_MAILBOX, &made);
    purge_world_officers(world, 2);
}

void purge_world_revoke(struct world *world)
{
    world_revoke(world, "ck1", &world->workload);
    world_revoke(world, "ck2", &world->workload);
    world_revoke(world, "ck1", &world->system);
    world_revoke(world, "ck2", &world->system);
}

enum hf_status purge_try_request(struct world *world, const char *dep,
                                 bool force, struct purge_view *out)
{
    struct purge_request request = {.tenant = WORLD_TENANT,
                                    .reason = "we leave",
                                    .contact = "ciso@contoso.example",
                                    .force = force,
                                    .confirm = true};
    snprintf(request.dep, sizeof request.dep, "%s", dep);
    return purges_request(world->service, &world->admin, &request, out,
                          &world->problem);
}

void purge_request(struct world *world, const char *dep, struct purge_view *out)
{
    enum hf_status status = purge_try_request(world, dep, false, out);
    if (status != HF_OK) {
        fail_msg("%s: %s", reason_word(world->problem.reason),
                 world->problem.text);
    }
    assert_int_equal(out->record.phase, PURGE_REQUESTED);
}

void purge_get(struct world *world, const struct purge_view *of,
               struct purge_view *out)
{
    char id[HF_ID_TEXT];
    id_format(&of->record.id, id);
    assert_ok(purges_get(world->service, &world->admin, WORLD_TENANT, id, out,
                         &world->problem));
}

enum hf_status purge_try_approve(struct world *world,
                                 const struct purge_view *of,
                                 const struct signing *how)
{
    struct purge_approve request = {
        .order = {.tenant = WORLD_TENANT},
        .version = how->version == 0 ? of->record.version : how->version,
        .accept_earlier_wraps = how->accept,
    };
    const struct purge_document *document =
        how->accept ? &of->accepting : &of->document;
    static struct purge_view view;
    uint8_t signature[128];
    size_t len = sizeof signature;
    id_format(&of->record.id, request.order.id);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL,
                                        world->approver_key[how->approver]),
                     1);
    assert_int_equal(
        EVP_DigestSign(ctx, signature, &len, document->text, document->len), 1);
    EVP_MD_CTX_free(ctx);
    request.signature = (struct bytes){signature, len};
    return purges_approve(world->service, &world->approver[how->caller],
                          &request, &view, &world->problem);
}

void purge_approve(struct world *world, const struct purge_view *of,
                   bool accept)
{
    static struct purge_view now;
    const struct signing how = {.accept = accept};
    purge_get(world, of, &now);
    assert_ok(purge_try_approve(world, &now, &how));
    purge_get(world, of, &now);
    assert_int_equal(now.record.phase, PURGE_APPROVED);
    assert_int_equal(now.approval_count, 1);
}

enum hf_status purge_try_execute(struct world *world,
                                 const struct purge_view *of,
                                 const struct caller *caller,
                                 struct operation_view *out)
{
    struct purge_execute request = {
        .order = {.tenant = WORLD_TENANT},
        .confirm = true,
    };
    id_format(&of->record.id, request.order.id);
    return purges_execute(world->service, caller, &request, out,
                          &world->problem);
}

bool purge_wait(struct world *world, const struct purge_view *of,
                enum purge_phase phase)
{
    static struct purge_view now;
    for (int i = 0; i < TRIES; i++) {
        purge_get(world, of, &now);
        if (now.record.phase == phase) {
            return true;
        }
        world_move_clock(world, 50); /* what waits for a while comes again */
        usleep(PAUSE_US);
    }
    return false;
}

void purge_all(struct world *world, const char *dep, bool accept,
               struct purge_view *out)
{
    struct operation_view operation;
    purge_request(world, dep, out);
    purge_approve(world, out, accept);
    enum hf_status status =
        purge_try_execute(world, out, &world->operator_, &operation);
    if (status != HF_OK) {
        fail_msg("%s: %s", reason_word(world->problem.reason),
                 world->problem.text);
    }
    world_move_clock(world, WORLD_HOLD_MS);
    assert_true(purge_wait(world, out, PURGE_PURGED));
    purge_get(world, out, out);
}

size_t purge_ak_objects(struct world *world, const struct hf_id *dep)
{
    struct token_key_report reports[8];
    struct token_request list = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports, .cap = 8, .id_prefix_len = HF_ID_BYTES},
    };
    memcpy(list.u.list.id_prefix, dep->bytes, HF_ID_BYTES);
    assert_ok(token_call(&world->ak_token, &list));
    return list.u.list.count;
}
