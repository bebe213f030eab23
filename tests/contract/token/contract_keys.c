/* contract_keys: wrapped keys, the objects they become, and what those do. */
#include "hsm/base/check.h"

#include "hsm/pkcs11/reference.h"

#include "tests/contract/token/calls.h"
#include "tests/contract/token/inside.h"

#include <string.h>

static const uint8_t plain_key[HF_KEY_BYTES] = {7, 7, 7, 1};

static struct token_mint mint_for_all(void)
{
    struct token_mint mint = {
        .copy_count = 3,
        .check_iv = {1},
        .check_aad = bytes_of_text("context"),
        .check_text = bytes_of_text("holdfast key commitment"),
    };
    for (size_t i = 0; i < 2; i++) {
        mint.copies[i].suite = contract.suite;
        mint.copies[i].spki =
            (struct bytes){contract.root[i].spki, contract.root[i].spki_len};
    }
    mint.copies[2].suite = TOKEN_SUITE_AES_KWP;
    mint.copies[2].key = contract.ak.key;
    return mint;
}

static void check_opens(const struct token *token,
                        const struct token_object *object,
                        const struct token_mint *mint)
{
    uint8_t out[HF_SEALED_MAX_BYTES];
    struct token_request request = {
        .op = TOKEN_OP_OPEN,
        .u.aead = {.key = *object,
                   .aad = mint->check_aad,
                   .in = {mint->check_sealed, mint->check_sealed_len},
                   .out = out,
                   .out_cap = sizeof out},
    };
    memcpy(request.u.aead.iv, mint->check_iv, HF_GCM_IV_BYTES);
    assert_ok(token_call(token, &request));
    assert_int_equal(request.u.aead.out_len, mint->check_text.len);
    assert_memory_equal(out, mint->check_text.data, mint->check_text.len);
}

/* one key, born in one token, usable from every root. */
static void mint_gives_every_root_the_same_key(void **state)
{
    (void)state;
    struct token_mint mint = mint_for_all();
    assert_ok(call_mint(&contract.token[0], &mint));
    assert_int_equal(mint.copies[0].wrapped_len, 256);
    assert_int_equal(mint.copies[2].wrapped_len, HF_KWP_BYTES);
    struct token_object object;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(call_unwrap(
            &contract.token[i], &contract.root[i].key, contract.suite,
            (struct bytes){mint.copies[i].wrapped, mint.copies[i].wrapped_len},
            &object));
        check_opens(&contract.token[i], &object, &mint);
        assert_ok(call_forget(&contract.token[i], &object));
    }
    assert_ok(call_unwrap(
        &contract.token[0], &contract.ak.key, TOKEN_SUITE_AES_KWP,
        (struct bytes){mint.copies[2].wrapped, HF_KWP_BYTES}, &object));
    check_opens(&contract.token[0], &object, &mint);
    assert_ok(call_forget(&contract.token[0], &object));

    struct token_mint again = mint_for_all();
    assert_ok(call_mint(&contract.token[0], &again));
    assert_memory_not_equal(again.check_sealed, mint.check_sealed,
                            mint.check_sealed_len);
}

/* The same key, from one root of the AK token to another of it. */
static struct token_mint mint_again(const struct token_mint *first,
                                    const struct token_key_report *to)
{
    struct token_mint mint = {
        .source = {.suite = TOKEN_SUITE_AES_KWP,
                   .key = contract.ak.key,
                   .wrapped = {first->copies[2].wrapped, HF_KWP_BYTES}},
        .copy_count = 1,
        .check_aad = first->check_aad,
        .check_text = first->check_text,
        .check_sealed_len = first->check_sealed_len,
    };
    memcpy(mint.check_iv, first->check_iv, sizeof mint.check_iv);
    memcpy(mint.check_sealed, first->check_sealed, first->check_sealed_len);
    mint.copies[0].suite = TOKEN_SUITE_AES_KWP;
    mint.copies[0].key = to->key;
    return mint;
}

/* an availability key rolls inside its token. */
static void mint_rewraps_from_a_source(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_key_report next;
    struct token_object object;
    struct token_counters before;
    struct token_counters after;
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_KEY, 0, 41, &next));
    struct token_mint first = mint_for_all();
    assert_ok(call_mint(own, &first));
    token_counters_get(own, &before);
    struct token_mint mint = mint_again(&first, &next);
    assert_ok(call_mint(own, &mint));
    assert_int_equal(mint.copies[0].wrapped_len, HF_KWP_BYTES);
    assert_memory_equal(mint.check_sealed, first.check_sealed,
                        first.check_sealed_len);
    assert_ok(call_unwrap(own, &next.key, TOKEN_SUITE_AES_KWP,
                          (struct bytes){mint.copies[0].wrapped, HF_KWP_BYTES},
                          &object));
    check_opens(own, &object, &first);
    assert_ok(call_forget(own, &object));
    token_counters_get(own, &after);
    assert_int_equal(after.objects, before.objects);
    assert_status(
        call_unwrap(own, &contract.ak.key, TOKEN_SUITE_AES_KWP,
                    (struct bytes){mint.copies[0].wrapped, HF_KWP_BYTES},
                    &object),
        HF_E_BAD_BLOB);
    assert_ok(call_destroy(own, &next.key));
}

/* Nothing is wrapped unless the key is the one that sealed the commitment; and
 * a customer's root is no source. */
static void mint_refuses_a_wrong_source(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_mint first = mint_for_all();
    struct token_mint other = mint_for_all();
    struct token_profile profile;
    token_profile_get(own, &profile);
    assert_ok(call_mint(own, &first));
    assert_ok(call_mint(own, &other));
    struct token_mint mint = mint_again(&first, &contract.ak);
    memcpy(mint.check_sealed, other.check_sealed, other.check_sealed_len);
    assert_status(call_mint(own, &mint), HF_E_BAD_BLOB);
    assert_int_equal(mint.copies[0].wrapped_len, 0);

    mint = mint_again(&first, &contract.ak);
    mint.check_aad = bytes_of_text("another context");
    assert_status(call_mint(own, &mint), HF_E_BAD_BLOB);
    mint = mint_again(&first, &contract.ak);
    mint.check_text = bytes_of_text("HOLDFAST key commitment");
    assert_status(call_mint(own, &mint), HF_E_BAD_BLOB);
    assert_int_equal(mint.copies[0].wrapped_len, 0);

    uint8_t changed[HF_KWP_BYTES];
    for (size_t i = 0; i < sizeof changed; i += 3) {
        memcpy(changed, first.copies[2].wrapped, sizeof changed);
        changed[i] ^= 1;
        mint = mint_again(&first, &contract.ak);
        mint.source.wrapped = BYTES_OF(changed);
        assert_status(call_mint(own, &mint), HF_E_BAD_BLOB);
        assert_int_equal(mint.copies[0].wrapped_len, 0);
    }
    mint = mint_again(&first, &contract.ak);
    mint.source.wrapped.len = HF_KWP_BYTES - 8;
    assert_status(call_mint(own, &mint), HF_E_BAD_BLOB);
    mint = mint_again(&first, &contract.ak);
    mint.source.key.id[1] = 77;
    assert_status(call_mint(own, &mint), HF_E_NOT_FOUND);
    mint = mint_again(&first, &contract.ak);
    mint.check_sealed_len--;
    assert_status(call_mint(own, &mint), HF_E_INVALID);

    mint = mint_again(&first, &contract.ak);
    mint.source = (struct token_mint_source){
        .suite = contract.suite,
        .key = contract.root[0].key,
        .wrapped = {first.copies[0].wrapped, first.copies[0].wrapped_len},
    };
    if (profile.unwrap_template_honoured) {
        assert_true(call_mint(own, &mint) != HF_OK);
        assert_int_equal(mint.copies[0].wrapped_len, 0);
    }
    /* the token goes on */
    mint = mint_again(&first, &contract.ak);
    assert_ok(call_mint(own, &mint));
}

static void mint_is_all_or_nothing(void **state)
{
    (void)state;
    struct token_profile profile;
    token_profile_get(&contract.token[0], &profile);
    struct token_mint mint = mint_for_all();
    mint.copies[2].key.id[1] = 77; /* no such availability key */
    assert_status(call_mint(&contract.token[0], &mint), HF_E_NOT_FOUND);
    assert_int_equal(mint.copies[0].wrapped_len, 0);
    assert_int_equal(mint.check_sealed_len, 0);

    mint = mint_for_all();
    uint8_t broken[HF_SPKI_MAX_BYTES];
    memcpy(broken, contract.root[1].spki, contract.root[1].spki_len);
    broken[4] ^= 0xff;
    mint.copies[1].spki.data = broken;
    assert_status(call_mint(&contract.token[0], &mint), HF_E_INVALID);
    assert_int_equal(mint.copies[0].wrapped_len, 0);

    mint = mint_for_all();
    mint.copies[0].suite = TOKEN_SUITE_OAEP_SHA256;
    if (!profile.oaep_sha256) {
        assert_status(call_mint(&contract.token[0], &mint), HF_E_UNSUPPORTED);
    } else {
        assert_ok(call_mint(&contract.token[0], &mint));
    }
}

/* A copy of another key, a copy with a bit turned, a truncated one, one whose
 * payload is no AES-256 key: all the same answer, and the token goes on. */
static void bad_blobs_are_bad_blobs(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    const struct token_key *root = &contract.root[0].key;
    struct token_object object;
    struct wrapped blob;
    assert_ok(wrap_for(&contract.root[0], contract.suite, BYTES_OF(plain_key),
                       &blob));
    blob.bytes[blob.len / 2] ^= 1;
    assert_status(call_unwrap(own, root, contract.suite,
                              (struct bytes){blob.bytes, blob.len}, &object),
                  HF_E_BAD_BLOB);
    blob.bytes[blob.len / 2] ^= 1;
    assert_status(call_unwrap(own, root, contract.suite,
                              (struct bytes){blob.bytes, blob.len - 1},
                              &object),
                  HF_E_BAD_BLOB);
    assert_ok(wrap_for(&contract.root[1], contract.suite, BYTES_OF(plain_key),
                       &blob));
    assert_status(call_unwrap(own, root, contract.suite,
                              (struct bytes){blob.bytes, blob.len}, &object),
                  HF_E_BAD_BLOB);
    assert_ok(wrap_for(&contract.root[0], contract.suite,
                       (struct bytes){plain_key, 5}, &blob));
    assert_status(call_unwrap(own, root, contract.suite,
                              (struct bytes){blob.bytes, blob.len}, &object),
                  HF_E_BAD_BLOB);
    uint8_t kwp[HF_KWP_BYTES] = {1};
    assert_status(call_unwrap(own, &contract.ak.key, TOKEN_SUITE_AES_KWP,
                              BYTES_OF(kwp), &object),
                  HF_E_BAD_BLOB);
    assert_status(call_unwrap(own, &contract.ak.key, TOKEN_SUITE_AES_KWP,
                              (struct bytes){kwp, 24}, &object),
                  HF_E_BAD_BLOB);
    assert_ok(wrap_for(&contract.root[0], contract.suite, BYTES_OF(plain_key),
                       &blob));
    assert_ok(call_unwrap(own, root, contract.suite,
                          (struct bytes){blob.bytes, blob.len}, &object));
    assert_ok(call_forget(own, &object));
}

/* The unwrapped object is the key that was wrapped: its GCM is OpenSSL's. */
static void unwrap_gives_the_very_key(void **state)
{
    (void)state;
    struct wrapped blob;
    struct token_object object;
    uint8_t sealed[HF_SEALED_MAX_BYTES];
    uint8_t expected[HF_SEALED_MAX_BYTES];
    uint8_t iv[HF_GCM_IV_BYTES];
    size_t len = 0;
    struct bytes text = bytes_of_text("a mailbox key, or so");
    assert_ok(wrap_for(&contract.root[0], contract.suite, BYTES_OF(plain_key),
                       &blob));
    assert_ok(call_unwrap(&contract.token[0], &contract.root[0].key,
                          contract.suite, (struct bytes){blob.bytes, blob.len},
                          &object));
    assert_ok(
        call_seal(&contract.token[0], &object, 9, "aad", text, sealed, &len));
    memset(iv, 9, sizeof iv);
    assert_ok(
        reference_gcm(plain_key, iv, bytes_of_text("aad"), text, expected));
    assert_int_equal(len, text.len + HF_GCM_TAG_BYTES);
    assert_memory_equal(sealed, expected, len);
    assert_ok(call_forget(&contract.token[0], &object));
}

static void decrypt_is_for_memory_keys(void **state)
{
    (void)state;
    struct wrapped blob;
    struct secret *secret = NULL;
    const struct token *own = &contract.token[0];
    assert_ok(
        wrap_for(&contract.memory, contract.suite, BYTES_OF(plain_key), &blob));
    assert_ok(call_decrypt(own, &contract.memory.key, contract.suite,
                           (struct bytes){blob.bytes, blob.len}, &secret));
    assert_int_equal(secret_len(secret), HF_KEY_BYTES);
    assert_memory_equal(secret_bytes(secret), plain_key, HF_KEY_BYTES);
    secret_free(secret);
    blob.bytes[9] ^= 1;
    assert_status(call_decrypt(own, &contract.memory.key, contract.suite,
                               (struct bytes){blob.bytes, blob.len}, &secret),
                  HF_E_BAD_BLOB);
    assert_ok(wrap_for(&contract.memory, contract.suite,
                       (struct bytes){plain_key, 31}, &blob));
    assert_status(call_decrypt(own, &contract.memory.key, contract.suite,
                               (struct bytes){blob.bytes, blob.len}, &secret),
                  HF_E_BAD_BLOB);
    /* a key for TOKEN residency does not decrypt */
    assert_ok(wrap_for(&contract.root[0], contract.suite, BYTES_OF(plain_key),
                       &blob));
    assert_status(call_decrypt(own, &contract.root[0].key, contract.suite,
                               (struct bytes){blob.bytes, blob.len}, &secret),
                  HF_E_DENIED);
    uint8_t kwp[HF_KWP_BYTES] = {1};
    assert_status(call_decrypt(own, &contract.ak.key, TOKEN_SUITE_AES_KWP,
                               BYTES_OF(kwp), &secret),
                  HF_E_UNSUPPORTED);
}

static void unwrap_and_open(const struct token *token,
                            const struct token_key_report *root,
                            const struct token_mint *mint, size_t copy)
{
    struct token_object object;
    assert_ok(call_unwrap(token, &root->key, mint->copies[copy].suite,
                          (struct bytes){mint->copies[copy].wrapped,
                                         mint->copies[copy].wrapped_len},
                          &object));
    check_opens(token, &object, mint);
    assert_ok(call_forget(token, &object));
}

/* an RSA-2048 availability key opens what was minted for it, as
 * an object and never as bytes; nothing else does; and when it is destroyed it
 * opens nothing more. */
static void an_availability_pair_opens_its_copy(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_key_report pair;
    struct secret *secret = NULL;
    struct token_object object;
    assert_status(
        call_generate(own, TOKEN_FOR_AVAILABILITY_PAIR, 3072, 40, &pair),
        HF_E_INVALID);
    assert_ok(call_generate(own, TOKEN_FOR_AVAILABILITY_PAIR, 2048, 40, &pair));
    assert_int_equal(pair.bits, 2048);
    assert_true(pair.sensitive && pair.never_extractable && pair.local);
    assert_true(pair.can_unwrap);
    assert_false(pair.extractable || pair.can_decrypt || pair.can_wrap ||
                 pair.can_sign);
    assert_true(pair.destroyable);
    struct token_mint mint = mint_for_all();
    mint.copies[2] = (struct token_mint_copy){
        .suite = contract.suite,
        .spki = {pair.spki, pair.spki_len},
    };
    assert_ok(call_mint(own, &mint));
    unwrap_and_open(&contract.token[0], &contract.root[0], &mint, 0);
    unwrap_and_open(&contract.token[1], &contract.root[1], &mint, 1);
    unwrap_and_open(own, &pair, &mint, 2);
    const struct bytes copy = {mint.copies[2].wrapped,
                               mint.copies[2].wrapped_len};
    assert_status(call_decrypt(own, &pair.key, contract.suite, copy, &secret),
                  HF_E_DENIED);
    assert_status(
        call_unwrap(own, &contract.root[0].key, contract.suite, copy, &object),
        HF_E_BAD_BLOB);
    assert_ok(call_destroy(own, &pair.key));
    assert_status(call_unwrap(own, &pair.key, contract.suite, copy, &object),
                  HF_E_NOT_FOUND);
    assert_ok(call_destroy(own, &pair.key)); /* may run twice */
}

/* what was born in one token is carried to another under its
 * transport pair, comes under that one's own availability key, and is the same
 * key there. The pair opens nothing for anybody else. */
static void a_key_is_carried_to_another_token(void **state)
{
    (void)state;
    const struct token *there = &contract.token[1];
    struct token_key_report pair;
    struct token_key_report own;
    struct token_object object;
    struct secret *secret = NULL;
    assert_status(
        call_generate(there, TOKEN_FOR_TRANSPORT_PAIR, 2048, 42, &pair),
        HF_E_INVALID);
    assert_ok(call_generate(there, TOKEN_FOR_TRANSPORT_PAIR, 3072, 42, &pair));
    assert_ok(call_generate(there, TOKEN_FOR_AVAILABILITY_KEY, 0, 43, &own));
    assert_int_equal(pair.bits, 3072);
    assert_true(pair.sensitive && pair.never_extractable && pair.local);
    assert_false(pair.extractable || pair.can_decrypt || pair.can_sign);
    struct token_mint mint = mint_for_all();
    mint.copies[mint.copy_count++] = (struct token_mint_copy){
        .suite = contract.suite,
        .spki = {pair.spki, pair.spki_len},
    };
    assert_ok(call_mint(&contract.token[0], &mint));
    const struct bytes carried = {mint.copies[3].wrapped,
                                  mint.copies[3].wrapped_len};
    struct token_mint mirror = {
        .source = {contract.suite,                                 pair.key, carried},
        .copy_count = 1,
        .copies = {{.suite = TOKEN_SUITE_AES_KWP, .key = own.key}                                      },
        .check_iv = {1},
        .check_aad = mint.check_aad,
        .check_text = mint.check_text,
        .check_sealed_len = mint.check_sealed_len,
    };
    memcpy(mirror.check_sealed, mint.check_sealed, mint.check_sealed_len);
    assert_ok(call_mint(there, &mirror));
    const struct bytes copy = {mirror.copies[0].wrapped,
                               mirror.copies[0].wrapped_len};
    assert_ok(call_unwrap(there, &own.key, TOKEN_SUITE_AES_KWP, copy, &object));
    check_opens(there, &object, &mint);
    assert_ok(call_forget(there, &object));
    assert_status(
        call_decrypt(there, &pair.key, contract.suite, carried, &secret),
        HF_E_DENIED);
    mirror.check_sealed[0] ^= 1; /* another key than was meant */
    assert_status(call_mint(there, &mirror), HF_E_BAD_BLOB);
    assert_ok(call_destroy(there, &own.key));
    assert_ok(call_destroy(there, &pair.key));
}

static struct token_object an_object(void)
{
    struct wrapped blob;
    struct token_object object;
    assert_ok(wrap_for(&contract.root[0], contract.suite, BYTES_OF(plain_key),
                       &blob));
    assert_ok(call_unwrap(&contract.token[0], &contract.root[0].key,
                          contract.suite, (struct bytes){blob.bytes, blob.len},
                          &object));
    return object;
}

/* N15, N16 at the port: any change is found, and found alike. */
static void open_refuses_every_change(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_object object = an_object();
    uint8_t sealed[HF_SEALED_MAX_BYTES];
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    size_t out_len = 0;
    struct bytes text = BYTES_OF(plain_key);
    assert_ok(call_seal(own, &object, 3, "aad", text, sealed, &len));
    for (size_t i = 0; i < len * 8; i += 5) {
        sealed[i / 8] ^= (uint8_t)(1u << (i % 8));
        assert_status(call_open(own, &object, 3, "aad",
                                (struct bytes){sealed, len}, out, &out_len),
                      HF_E_BAD_BLOB);
        sealed[i / 8] ^= (uint8_t)(1u << (i % 8));
    }
    for (size_t cut = HF_GCM_TAG_BYTES; cut < len; cut += 7) {
        assert_status(call_open(own, &object, 3, "aad",
                                (struct bytes){sealed, cut}, out, &out_len),
                      HF_E_BAD_BLOB);
    }
    assert_status(call_open(own, &object, 4, "aad", (struct bytes){sealed, len},
                            out, &out_len),
                  HF_E_BAD_BLOB);
    assert_status(call_open(own, &object, 3, "aae", (struct bytes){sealed, len},
                            out, &out_len),
                  HF_E_BAD_BLOB);
    assert_status(call_open(own, &object, 3, "", (struct bytes){sealed, len},
                            out, &out_len),
                  HF_E_BAD_BLOB);
    /* a tag shorter than 128 bits is not even looked at */
    assert_status(call_open(own, &object, 3, "aad", (struct bytes){sealed, 4},
                            out, &out_len),
                  HF_E_INVALID);
    assert_ok(call_open(own, &object, 3, "aad", (struct bytes){sealed, len},
                        out, &out_len));
    assert_int_equal(out_len, text.len);
    assert_memory_equal(out, plain_key, sizeof plain_key);
    assert_ok(call_forget(own, &object));
}

static void objects_do_not_outlive_their_generation(void **state)
{
    (void)state;
    const struct token *own = &contract.token[0];
    struct token_object object = an_object();
    struct token_object stale = object;
    uint8_t out[HF_SEALED_MAX_BYTES];
    size_t len = 0;
    stale.generation += 1;
    assert_status(call_seal(own, &stale, 3, "", BYTES_OF(plain_key), out, &len),
                  HF_E_PRECONDITION);
    assert_ok(call_forget(own, &stale));
    assert_ok(call_seal(own, &object, 3, "", BYTES_OF(plain_key), out, &len));
    assert_ok(call_forget(own, &object));
    assert_status(
        call_seal(own, &object, 3, "", BYTES_OF(plain_key), out, &len),
        HF_E_PRECONDITION);
    assert_ok(call_forget(own, &object));
}

size_t contract_keys_tests(struct CMUnitTest *out)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mint_gives_every_root_the_same_key),
        cmocka_unit_test(mint_is_all_or_nothing),
        cmocka_unit_test(mint_rewraps_from_a_source),
        cmocka_unit_test(mint_refuses_a_wrong_source),
        cmocka_unit_test(bad_blobs_are_bad_blobs),
        cmocka_unit_test(unwrap_gives_the_very_key),
        cmocka_unit_test(decrypt_is_for_memory_keys),
        cmocka_unit_test(an_availability_pair_opens_its_copy),
        cmocka_unit_test(a_key_is_carried_to_another_token),
        cmocka_unit_test(open_refuses_every_change),
        cmocka_unit_test(objects_do_not_outlive_their_generation),
    };
    memcpy(out, tests, sizeof tests);
    return HF_COUNT(tests);
}
