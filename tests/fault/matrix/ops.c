#include "tests/fault/matrix/ops.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/reference.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <string.h>

#define REPORTS_MAX 64
#define ITEMS_MAX   64

static enum hf_status run(struct actor *actor, size_t which, int64_t attempt_ms,
                          struct token_request *request,
                          struct op_answer *answer)
{
    request->attempt_ms = attempt_ms;
    answer->status = token_call(&actor->token[which], request);
    answer->rv = request->rv;
    return answer->status;
}

static void judge(struct op_answer *answer, bool right)
{
    answer->verdict = right ? "right" : "wrong";
}

static void op_health(struct actor *actor, size_t which, int64_t attempt_ms,
                      struct op_answer *answer)
{
    struct token_request request = {.op = TOKEN_OP_HEALTH};
    run(actor, which, attempt_ms, &request, answer);
}

static bool same_public(const struct token_key_report *a,
                        const struct token_key_report *b)
{
    return bytes_equal(BYTES_OF(a->key.fingerprint),
                       BYTES_OF(b->key.fingerprint));
}

static void op_find_root(struct actor *actor, size_t which, int64_t attempt_ms,
                         struct op_answer *answer)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = actor->world.root[which].key, .report = &report},
    };
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer, same_public(&report, &actor->world.root[which]));
    }
}

/* A key that was never there. */
static void op_find_nobody(struct actor *actor, size_t which,
                           int64_t attempt_ms, struct op_answer *answer)
{
    struct token_key_report report;
    struct token_request request = {
        .op = TOKEN_OP_FIND,
        .u.find = {.key = actor->world.root[which].key, .report = &report},
    };
    request.u.find.key.id[0] ^= 0xff;
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer, false);
    }
}

static void op_list(struct actor *actor, size_t which, int64_t attempt_ms,
                    struct op_answer *answer)
{
    static struct token_key_report reports[2][REPORTS_MAX];
    struct token_request request = {
        .op = TOKEN_OP_LIST,
        .u.list = {.reports = reports[which], .cap = REPORTS_MAX},
    };
    if (run(actor, which, attempt_ms, &request, answer) != HF_OK) {
        return;
    }
    bool root_is_there = false;
    for (size_t i = 0; i < request.u.list.count; i++) {
        root_is_there = root_is_there || same_public(&reports[which][i],
                                                     &actor->world.root[which]);
    }
    judge(answer, root_is_there);
}

static void unwrap(struct actor *actor, size_t which, int64_t attempt_ms,
                   struct token_unwrap what, struct token_object *out,
                   struct op_answer *answer)
{
    struct token_request request = {.op = TOKEN_OP_UNWRAP, .u.unwrap = what};
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        *out = request.u.unwrap.object;
    }
}

static struct token_unwrap under_root(const struct world *world, size_t which)
{
    return (struct token_unwrap){
        .key = world->root[which].key,
        .suite = world->suite,
        .wrapped = {world->blob[which].bytes, world->blob[which].len},
    };
}

static struct token_unwrap under_ak(const struct token_mint *minted)
{
    return (struct token_unwrap){
        .key = minted->copies[0].key,
        .suite = TOKEN_SUITE_AES_KWP,
        .wrapped = {minted->copies[0].wrapped, minted->copies[0].wrapped_len},
    };
}

static void op_lease(struct actor *actor, size_t which, int64_t attempt_ms,
                     struct op_answer *answer)
{
    unwrap(actor, which, attempt_ms, under_root(&actor->world, which),
           &actor->lease[which], answer);
}

static void op_unwrap(struct actor *actor, size_t which, int64_t attempt_ms,
                      struct op_answer *answer)
{
    unwrap(actor, which, attempt_ms, under_root(&actor->world, which),
           &actor->fresh[which], answer);
}

static void op_unwrap_ak(struct actor *actor, size_t which, int64_t attempt_ms,
                         struct op_answer *answer)
{
    unwrap(actor, which, attempt_ms, under_ak(&actor->world.minted),
           &actor->fresh_ak, answer);
}

/* A text that was sealed before: opens to what it was, or not at all. */
static void open_text(struct actor *actor, size_t which, int64_t attempt_ms,
                      const struct token_object *key, struct bytes sealed,
                      const uint8_t *iv, const char *aad, struct bytes text,
                      struct op_answer *answer)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    struct token_request request = {
        .op = TOKEN_OP_OPEN,
        .u.aead = {.key = *key,
                   .aad = bytes_of_text(aad),
                   .in = sealed,
                   .out = out,
                   .out_cap = sizeof out},
    };
    memcpy(request.u.aead.iv, iv, HF_GCM_IV_BYTES);
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer,
              bytes_equal((struct bytes){out, request.u.aead.out_len}, text));
    }
}

static void op_open(struct actor *actor, size_t which, int64_t attempt_ms,
                    struct op_answer *answer)
{
    open_text(actor, which, attempt_ms, &actor->lease[which],
              BYTES_OF(actor->world.sealed), world_iv, WORLD_AAD,
              BYTES_OF(world_text), answer);
}

/* The commitment of what was unwrapped last, as the service checks it. */
static void op_commit(struct actor *actor, size_t which, int64_t attempt_ms,
                      struct op_answer *answer)
{
    open_text(actor, which, attempt_ms, &actor->fresh[which],
              BYTES_OF(actor->world.sealed), world_iv, WORLD_AAD,
              BYTES_OF(world_text), answer);
}

static void commit_minted(struct actor *actor, size_t which, int64_t attempt_ms,
                          const struct token_mint *minted,
                          const struct token_object *key,
                          struct op_answer *answer)
{
    open_text(actor, which, attempt_ms, key,
              (struct bytes){minted->check_sealed, minted->check_sealed_len},
              minted->check_iv, "", bytes_of_text(WORLD_CHECK), answer);
}

static void op_commit_ak(struct actor *actor, size_t which, int64_t attempt_ms,
                         struct op_answer *answer)
{
    commit_minted(actor, which, attempt_ms, &actor->world.minted,
                  &actor->fresh_ak, answer);
}

static void forget(struct actor *actor, size_t which, int64_t attempt_ms,
                   const struct token_object *object, struct op_answer *answer)
{
    struct token_request request = {.op = TOKEN_OP_FORGET, .u.forget = *object};
    run(actor, which, attempt_ms, &request, answer);
}

static void op_forget(struct actor *actor, size_t which, int64_t attempt_ms,
                      struct op_answer *answer)
{
    forget(actor, which, attempt_ms, &actor->fresh[which], answer);
}

static void op_forget_ak(struct actor *actor, size_t which, int64_t attempt_ms,
                         struct op_answer *answer)
{
    forget(actor, which, attempt_ms, &actor->fresh_ak, answer);
}

static void op_seal(struct actor *actor, size_t which, int64_t attempt_ms,
                    struct op_answer *answer)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    struct token_request request = {
        .op = TOKEN_OP_SEAL,
        .u.aead = {.key = actor->lease[which],
                   .aad = bytes_of_text(WORLD_AAD),
                   .in = BYTES_OF(world_text),
                   .out = out,
                   .out_cap = sizeof out},
    };
    memcpy(request.u.aead.iv, world_iv, sizeof world_iv);
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer, bytes_equal((struct bytes){out, request.u.aead.out_len},
                                  BYTES_OF(actor->world.sealed)));
    }
}

static void op_decrypt(struct actor *actor, size_t which, int64_t attempt_ms,
                       struct op_answer *answer)
{
    const struct world *world = &actor->world;
    struct token_request request = {
        .op = TOKEN_OP_DECRYPT,
        .u.unwrap = {.key = world->memory.key,
                     .suite = world->suite,
                     .wrapped = {world->memory_blob.bytes,
                                 world->memory_blob.len}},
    };
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        struct secret *secret = request.u.unwrap.secret;
        judge(answer, bytes_equal((struct bytes){secret_bytes(secret),
                                                 secret_len(secret)},
                                  BYTES_OF(world_key)));
        secret_free(secret);
    }
}

static void op_mac(struct actor *actor, size_t which, int64_t attempt_ms,
                   struct op_answer *answer)
{
    struct token_request request = {
        .op = TOKEN_OP_MAC,
        .u.mac = {.key = actor->world.mac.key, .in = bytes_of_text(WORLD_MAC)},
    };
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer, bytes_equal(BYTES_OF(request.u.mac.out),
                                  BYTES_OF(actor->world.mac_value)));
    }
}

static bool verifies(const struct token_key_report *audit,
                     const uint8_t digest[HF_SHA256_BYTES],
                     const uint8_t signature[64])
{
    const uint8_t *at = audit->spki;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)audit->spki_len);
    ECDSA_SIG *pair = ECDSA_SIG_new();
    uint8_t *der = NULL;
    CHECK(pkey != NULL && pair != NULL &&
          ECDSA_SIG_set0(pair, BN_bin2bn(signature, 32, NULL),
                         BN_bin2bn(signature + 32, 32, NULL)) == 1);
    int len = i2d_ECDSA_SIG(pair, &der);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
    bool yes =
        len > 0 && context != NULL && EVP_PKEY_verify_init(context) == 1 &&
        EVP_PKEY_verify(context, der, (size_t)len, digest, HF_SHA256_BYTES) ==
            1;
    EVP_PKEY_CTX_free(context);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    EVP_PKEY_free(pkey);
    return yes;
}

static void op_sign(struct actor *actor, size_t which, int64_t attempt_ms,
                    struct op_answer *answer)
{
    struct token_request request = {
        .op = TOKEN_OP_SIGN,
        .u.sign = {.key = actor->world.audit.key, .digest = {1, 2, 3}},
    };
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer, verifies(&actor->world.audit, request.u.sign.digest,
                               request.u.sign.signature));
    }
}

static void mint(struct actor *actor, size_t which, int64_t attempt_ms,
                 struct token_mint *made, struct op_answer *answer)
{
    const struct world *world = &actor->world;
    struct token_mint_copy *copies = made->copies;
    made->copy_count = 2;
    made->check_text = bytes_of_text(WORLD_CHECK);
    copies[0] = (struct token_mint_copy){.suite = TOKEN_SUITE_AES_KWP,
                                         .key = world->ak.key};
    copies[1] = (struct token_mint_copy){
        .suite = world->suite,
        .spki = {world->root[1].spki, world->root[1].spki_len},
    };
    struct token_request request = {.op = TOKEN_OP_MINT, .u.mint = made};
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        actor->minted[made->source.suite == TOKEN_SUITE_NONE ? 0 : 1] = *made;
    }
}

static void op_mint(struct actor *actor, size_t which, int64_t attempt_ms,
                    struct op_answer *answer)
{
    struct token_mint made = {.check_iv = {9}};
    mint(actor, which, attempt_ms, &made, answer);
}

/* The key that is there already, under its roots once more. */
static void op_remint(struct actor *actor, size_t which, int64_t attempt_ms,
                      struct op_answer *answer)
{
    struct token_mint made = actor->world.minted;
    struct token_unwrap from = under_ak(&actor->world.minted);
    made.source = (struct token_mint_source){
        .suite = from.suite, .key = from.key, .wrapped = from.wrapped};
    mint(actor, which, attempt_ms, &made, answer);
}

static void check_copy(struct actor *actor, size_t which, int64_t attempt_ms,
                       const struct token_mint *minted,
                       struct op_answer *answer)
{
    struct token_object key;
    struct op_answer forgotten;
    struct token_unwrap from =
        which == 0 ? under_ak(minted) : under_root(&actor->world, which);
    from.wrapped = (struct bytes){minted->copies[which].wrapped,
                                  minted->copies[which].wrapped_len};
    unwrap(actor, which, attempt_ms, from, &key, answer);
    if (answer->status == HF_OK) {
        commit_minted(actor, which, attempt_ms, minted, &key, answer);
        forget(actor, which, attempt_ms, &key, &forgotten);
    }
}

/* Each copy of what was minted last opens to the key that sealed the check
 * text: what the service looks at before it acknowledges. */
static void op_check_minted(struct actor *actor, size_t which,
                            int64_t attempt_ms, struct op_answer *answer)
{
    (void)which;
    for (size_t i = 0; i < 2 * HF_COUNT(actor->minted); i++) {
        const struct token_mint *minted = &actor->minted[i / 2];
        if (minted->copy_count == 0) {
            continue;
        }
        check_copy(actor, i % 2, attempt_ms, minted, answer);
        if (answer->status != HF_OK || answer->verdict[0] == 'w') {
            return;
        }
    }
}

static void generate(struct actor *actor, size_t which, int64_t attempt_ms,
                     enum token_purpose purpose, struct op_answer *answer)
{
    struct token_key_report report;
    uint8_t number = (uint8_t)(100 + actor->made++);
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = purpose,
                       .label = "made",
                       .id = {WORLD_ID_BYTE, number},
                       .id_len = 2,
                       .report = &report},
    };
    snprintf(answer->detail, sizeof answer->detail, "key:%02x%02x",
             WORLD_ID_BYTE, number);
    run(actor, which, attempt_ms, &request, answer);
}

static void op_generate(struct actor *actor, size_t which, int64_t attempt_ms,
                        struct op_answer *answer)
{
    generate(actor, which, attempt_ms, TOKEN_FOR_AVAILABILITY_KEY, answer);
}

static void op_generate_pair(struct actor *actor, size_t which,
                             int64_t attempt_ms, struct op_answer *answer)
{
    generate(actor, which, attempt_ms, TOKEN_FOR_AUDIT_SIGNING, answer);
}

static void op_destroy(struct actor *actor, size_t which, int64_t attempt_ms,
                       struct op_answer *answer)
{
    uint8_t number = (uint8_t)(WORLD_FIRST + actor->destroyed % WORLD_DOOMED);
    struct token_request request = {
        .op = TOKEN_OP_DESTROY,
        .u.destroy = {.key = {.type = TOKEN_KEY_AES,
                              .id = {WORLD_ID_BYTE, number},
                              .id_len = 2}},
    };
    snprintf(answer->detail, sizeof answer->detail, "key:%02x%02x",
             WORLD_ID_BYTE, number);
    run(actor, which, attempt_ms, &request, answer);
}

static void data(struct actor *actor, size_t which, int64_t attempt_ms,
                 enum token_op op, const char *label, unsigned number,
                 struct op_answer *answer)
{
    struct token_data item = {.value_len = 0};
    struct token_request request = {.op = op, .u.data = &item};
    char value[64];
    snprintf(item.label, sizeof item.label, "%s", label);
    snprintf(value, sizeof value, "%s %u", label, number);
    item.value_len = strlen(value);
    memcpy(item.value, value, item.value_len);
    snprintf(answer->detail, sizeof answer->detail, "data:%s-%u", label,
             number);
    run(actor, which, attempt_ms, &request, answer);
}

static void op_data_create(struct actor *actor, size_t which,
                           int64_t attempt_ms, struct op_answer *answer)
{
    data(actor, which, attempt_ms, TOKEN_OP_DATA_CREATE, "new", actor->made++,
         answer);
}

static void op_data_destroy(struct actor *actor, size_t which,
                            int64_t attempt_ms, struct op_answer *answer)
{
    data(actor, which, attempt_ms, TOKEN_OP_DATA_DESTROY, WORLD_DATA,
         actor->destroyed++ % WORLD_DOOMED, answer);
}

/* Those that nobody destroyed are there. */
static void op_data_list(struct actor *actor, size_t which, int64_t attempt_ms,
                         struct op_answer *answer)
{
    static struct token_data items[ITEMS_MAX];
    struct token_request request = {
        .op = TOKEN_OP_DATA_LIST,
        .u.data_list = {.label = WORLD_DATA, .items = items, .cap = ITEMS_MAX},
    };
    if (run(actor, which, attempt_ms, &request, answer) == HF_OK) {
        judge(answer,
              request.u.data_list.count + actor->destroyed >= WORLD_DOOMED);
    }
}

op_fn *op_find(const char *name)
{
    static const struct {
        const char *name;
        op_fn *op;
    } ops[] = {
        {"health",        op_health       },
        {"find",          op_find_root    },
        {"find_nobody",   op_find_nobody  },
        {"list",          op_list         },
        {"lease",         op_lease        },
        {"unwrap",        op_unwrap       },
        {"commit",        op_commit       },
        {"forget",        op_forget       },
        {"unwrap_ak",     op_unwrap_ak    },
        {"commit_ak",     op_commit_ak    },
        {"forget_ak",     op_forget_ak    },
        {"seal",          op_seal         },
        {"open",          op_open         },
        {"decrypt",       op_decrypt      },
        {"mac",           op_mac          },
        {"sign",          op_sign         },
        {"mint",          op_mint         },
        {"remint",        op_remint       },
        {"check_minted",  op_check_minted },
        {"generate",      op_generate     },
        {"generate_pair", op_generate_pair},
        {"destroy",       op_destroy      },
        {"data_create",   op_data_create  },
        {"data_list",     op_data_list    },
        {"data_destroy",  op_data_destroy },
    };
    for (size_t i = 0; i < HF_COUNT(ops); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return ops[i].op;
        }
    }
    return NULL;
}
