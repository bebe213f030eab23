#include "tests/unit/worker/frame_cases.h"

#include "hsm/base/check.h"

#include "hsm/sys/secret.h"

#include <stdio.h>
#include <string.h>

/* What has grown has a new field: it goes over (frame_request.c, frame_reply.c,
 * fields.c, hello.c), stands in a case here, and is compared. On 64 bits. */
#define GROWN(type, bytes)                                                     \
    _Static_assert(sizeof(void *) != 8 || sizeof(type) == (bytes),             \
                   "a new field of a request?")
GROWN(struct token_key, 80);
GROWN(struct token_key_report, 816);
GROWN(struct token_profile, 136);
GROWN(struct token_find, 96);
GROWN(struct token_list, 168);
GROWN(struct token_generate, 160);
GROWN(struct token_unwrap, 128);
GROWN(struct token_mint, 4168);
GROWN(struct token_sign, 176);
GROWN(struct token_data, 624);
GROWN(struct token_request, 240);

/* Contents are all this byte, so that a length that is read a few bytes off is
 * one that cannot be. */
#define FILL 0xa5

static struct bytes fill(struct frame_case *made, uint8_t *into, size_t len)
{
    memset(into, FILL, len);
    if (len > 0) {
        made->lengths[made->length_count++] = (uint32_t)len;
    }
    return (struct bytes){into, len};
}

static void make_key(struct frame_case *made, enum token_key_type type,
                     bool large, struct token_key *key)
{
    *key = (struct token_key){.type = type};
    key->id_len = fill(made, key->id, large ? 31 : 1).len;
    memset(key->fingerprint, FILL, sizeof key->fingerprint);
}

static void make_object(struct token_object *object)
{
    *object = (struct token_object){.handle = UINT64_C(0xfedcba9876543210),
                                    .generation = 0x89abcdef};
}

static void make_report(struct frame_case *made,
                        struct token_key_report *report, bool large, char name)
{
    *report = (struct token_key_report){.bits = 3072};
    report->key.type = large ? TOKEN_KEY_RSA : TOKEN_KEY_GENERIC;
    report->key.id_len = large ? 30 : 0;
    memset(report->key.id, name, report->key.id_len);
    report->spki_len = fill(made, report->spki, large ? 550 : 0).len;
    memset(report->label, name, large ? HF_LABEL_MAX_BYTES : 1);
    /* every flag there is, also those that are yet to come */
    memset(&report->sensitive, large,
           offsetof(struct token_key_report, unwrap_template) + 1 -
               offsetof(struct token_key_report, sensitive));
    report->can_unwrap = true;
    report->destroyable = !large;
    report->mechanisms = large ? 1 : 0;
}

static void make_aead(struct frame_case *made, bool large, bool sealing)
{
    struct token_aead *aead = &made->request.u.aead;
    size_t in_len = large ? 201 : 0;
    make_object(&aead->key);
    memset(aead->iv, 0x5a, sizeof aead->iv);
    aead->aad = fill(made, made->aad, large ? 117 : 0);
    aead->in =
        fill(made, made->in, sealing ? in_len : in_len + HF_GCM_TAG_BYTES);
    aead->out = made->out;
    aead->out_len = sealing ? in_len + HF_GCM_TAG_BYTES : in_len;
    aead->out_cap = aead->out_len > 0 ? aead->out_len : 1;
    fill(made, made->out, aead->out_len);
}

static void make_mint(struct frame_case *made, bool large)
{
    struct token_mint *mint = &made->mint;
    *mint = (struct token_mint){.copy_count = large ? 3 : 1};
    made->request.u.mint = mint;
    memset(mint->check_iv, 0x5a, sizeof mint->check_iv);
    mint->check_aad = fill(made, made->aad, large ? 119 : 0);
    mint->check_text = fill(made, made->out, large ? 219 : 1);
    mint->check_sealed_len = mint->check_text.len + HF_GCM_TAG_BYTES;
    memset(mint->check_sealed, FILL, mint->check_sealed_len);
    for (size_t i = 0; i < mint->copy_count; i++) {
        struct token_mint_copy *copy = &mint->copies[i];
        copy->suite = TOKEN_SUITE_OAEP_SHA256;
        copy->spki = (struct bytes){made->spki, large ? 549 - i : 1};
        copy->wrapped_len = fill(made, copy->wrapped, large ? 510 - i : 1).len;
    }
    memset(made->spki, FILL, sizeof made->spki);
    if (large) {
        mint->copies[1].suite = TOKEN_SUITE_AES_KWP;
        mint->copies[1].spki = BYTES_NONE;
        make_key(made, TOKEN_KEY_AES, true, &mint->copies[1].key);
        mint->source.suite = TOKEN_SUITE_OAEP_SHA1;
        make_key(made, TOKEN_KEY_RSA, false, &mint->source.key);
        mint->source.wrapped = fill(made, made->in, 511);
    }
}

static void make_unwrap(struct frame_case *made, bool large, bool to_secret)
{
    struct token_unwrap *unwrap = &made->request.u.unwrap;
    unwrap->suite = large ? TOKEN_SUITE_AES_KWP : TOKEN_SUITE_OAEP_SHA1;
    make_key(made, TOKEN_KEY_RSA, large, &unwrap->key);
    unwrap->wrapped = fill(made, made->in, large ? 503 : 1);
    if (to_secret) {
        CHECK(secret_new(large ? FRAME_CASE_SECRET : 1, &unwrap->secret) ==
              HF_OK);
        fill(made, secret_writable(unwrap->secret), secret_len(unwrap->secret));
    } else {
        make_object(&unwrap->object);
    }
}

static void make_lists(struct frame_case *made, bool large)
{
    size_t count = large ? FRAME_CASE_LISTED : 0;
    for (size_t i = 0; i < count; i++) {
        make_report(made, &made->reports[i], i > 0, (char)('a' + (char)i));
        made->items[i] = (struct token_data){.value_len = i * 200 + 3};
        memset(made->items[i].label, 'k', i + 1);
        memset(made->items[i].value, FILL, made->items[i].value_len);
    }
    if (made->request.op == TOKEN_OP_LIST) {
        struct token_list *list = &made->request.u.list;
        list->reports = made->reports;
        list->cap = FRAME_CASE_LISTED;
        list->count = count;
        memset(list->label_prefix, 'p', large ? 95 : 0);
        list->id_prefix_len = fill(made, list->id_prefix, large ? 29 : 0).len;
    } else {
        struct token_data_list *list = &made->request.u.data_list;
        list->items = made->items;
        list->cap = FRAME_CASE_LISTED;
        list->count = count;
        memset(list->label, 'p', large ? 94 : 1);
    }
}

static void make_generate(struct frame_case *made, bool large)
{
    struct token_generate *generate = &made->request.u.generate;
    generate->purpose =
        large ? TOKEN_FOR_AVAILABILITY_PAIR : TOKEN_FOR_CUSTOMER_KEY_TOKEN;
    generate->bits = large ? 4096 : 0;
    memset(generate->label, 'l', large ? HF_LABEL_MAX_BYTES : 1);
    generate->id_len = fill(made, generate->id, large ? 32 : 1).len;
    make_report(made, &made->reports[0], large, 'g');
    generate->report = &made->reports[0];
}

static void make_data(struct frame_case *made, bool large)
{
    struct token_data *data = &made->items[0];
    *data = (struct token_data){.value_len = 0};
    memset(data->label, 'd', large ? HF_LABEL_MAX_BYTES : 1);
    data->value_len =
        fill(made, data->value, large ? TOKEN_DATA_MAX_BYTES : 0).len;
    made->request.u.data = data;
}

void frame_case_make(size_t index, struct frame_case *out)
{
    bool large = index % 2 == 1;
    memset(out, 0, sizeof *out);
    struct token_request *request = &out->request;
    *request = (struct token_request){
        .op = (enum token_op)(index / 2),
        .drop_dead_ms = large ? FRAME_CASE_DROP_DEAD : 0,
        .attempt_ms = large ? 65432 : 0,
        .rv = large ? 0x80000031 : 0,
    };
    switch (request->op) {
    case TOKEN_OP_SEAL:
    case TOKEN_OP_OPEN:
        make_aead(out, large, request->op == TOKEN_OP_SEAL);
        break;
    case TOKEN_OP_MAC:
        make_key(out, TOKEN_KEY_GENERIC, large, &request->u.mac.key);
        request->u.mac.in = fill(out, out->in, large ? TOKEN_MAC_MAX_BYTES : 0);
        memset(request->u.mac.out, 0x3c, sizeof request->u.mac.out);
        break;
    case TOKEN_OP_FIND:
        make_key(out, TOKEN_KEY_EC, large, &request->u.find.key);
        request->u.find.tentative = large;
        make_report(out, &out->reports[0], large, 'f');
        request->u.find.report = &out->reports[0];
        break;
    case TOKEN_OP_LIST:
    case TOKEN_OP_DATA_LIST:
        make_lists(out, large);
        break;
    case TOKEN_OP_GENERATE:
        make_generate(out, large);
        break;
    case TOKEN_OP_UNWRAP:
    case TOKEN_OP_DECRYPT:
        make_unwrap(out, large, request->op == TOKEN_OP_DECRYPT);
        break;
    case TOKEN_OP_MINT:
        make_mint(out, large);
        break;
    case TOKEN_OP_SIGN:
        make_key(out, TOKEN_KEY_EC, large, &request->u.sign.key);
        memset(request->u.sign.digest, 0x77, HF_SHA256_BYTES);
        memset(request->u.sign.signature, 0x78, 64);
        break;
    case TOKEN_OP_DESTROY:
        make_key(out, TOKEN_KEY_AES, large, &request->u.destroy.key);
        break;
    case TOKEN_OP_FORGET:
        make_object(&request->u.forget);
        break;
    case TOKEN_OP_DATA_CREATE:
    case TOKEN_OP_DATA_DESTROY:
        make_data(out, large);
        break;
    case TOKEN_OP_HEALTH:
        break;
    }
}

void frame_case_clear(struct frame_case *made)
{
    if (made->request.op == TOKEN_OP_DECRYPT) {
        secret_free(made->request.u.unwrap.secret);
        made->request.u.unwrap.secret = NULL;
    }
}

struct token_request frame_case_blank(const struct frame_case *made,
                                      struct frame_case *into)
{
    struct token_request request = made->request;
    memset(into, 0, sizeof *into);
    request.status = HF_E_INTERNAL;
    request.rv = 0;
    if (request.op == TOKEN_OP_SEAL || request.op == TOKEN_OP_OPEN) {
        request.u.aead.out = into->out;
        request.u.aead.out_len = 0;
    } else if (request.op == TOKEN_OP_MAC) {
        memset(request.u.mac.out, 0, sizeof request.u.mac.out);
    } else if (request.op == TOKEN_OP_FIND) {
        request.u.find.report = &into->reports[0];
    } else if (request.op == TOKEN_OP_GENERATE) {
        request.u.generate.report = &into->reports[0];
    } else if (request.op == TOKEN_OP_UNWRAP) {
        request.u.unwrap.object = (struct token_object){.handle = 0};
    } else if (request.op == TOKEN_OP_DECRYPT) {
        request.u.unwrap.secret = NULL;
    } else if (request.op == TOKEN_OP_SIGN) {
        memset(request.u.sign.signature, 0, sizeof request.u.sign.signature);
    } else if (request.op == TOKEN_OP_LIST) {
        request.u.list.reports = into->reports;
        request.u.list.count = 0;
    } else if (request.op == TOKEN_OP_DATA_LIST) {
        request.u.data_list.items = into->items;
        request.u.data_list.count = 0;
    } else if (request.op == TOKEN_OP_MINT) {
        into->mint = made->mint;
        for (size_t i = 0; i < into->mint.copy_count; i++) {
            memset(into->mint.copies[i].wrapped, 0, HF_RSA_MAX_BYTES);
            into->mint.copies[i].wrapped_len = 0;
        }
        request.u.mint = &into->mint;
    }
    return request;
}
