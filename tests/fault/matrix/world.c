#include "tests/fault/matrix/world.h"

#include "hsm/pkcs11/reference.h"

#include <stdio.h>
#include <string.h>

const uint8_t world_key[HF_KEY_BYTES] = {4, 2, 4, 2};
const uint8_t world_text[HF_KEY_BYTES] = {7, 7, 7};
const uint8_t world_iv[HF_GCM_IV_BYTES] = {1, 2, 3};
const char *const world_labels[2] = {"fault-a", "fault-b"};

static HF_STATUS make_root(const struct token *token, size_t which,
                           struct world *world)
{
    struct token_key_report canary;
    HF_TRY(call_generate(token, TOKEN_FOR_CANARY, 2048, 9, &canary));
    HF_TRY(call_generate(token, TOKEN_FOR_CUSTOMER_KEY_TOKEN, 2048, 1,
                         &world->root[which]));
    return wrap_for(&world->root[which], world->suite, BYTES_OF(world_key),
                    &world->blob[which]);
}

static HF_STATUS make_doomed(const struct token *token)
{
    struct token_key_report report;
    for (uint8_t i = 0; i < WORLD_DOOMED; i++) {
        char value[32];
        snprintf(value, sizeof value, "%s %u", WORLD_DATA, (unsigned)i);
        HF_TRY(call_generate(token, TOKEN_FOR_AVAILABILITY_KEY, 0,
                             (uint8_t)(WORLD_FIRST + i), &report));
        HF_TRY(call_data(token, TOKEN_OP_DATA_CREATE, WORLD_DATA, value));
    }
    return HF_OK;
}

HF_STATUS world_make(const struct token token[2], struct world *out)
{
    struct token_profile profile;
    *out = (struct world){.suite = TOKEN_SUITE_NONE};
    token_profile_get(&token[0], &profile);
    out->suite = token_suite_preferred(&profile);
    HF_TRY(make_root(&token[0], 0, out));
    HF_TRY(make_root(&token[1], 1, out));
    HF_TRY(call_generate(&token[0], TOKEN_FOR_CUSTOMER_KEY_MEMORY, 2048, 2,
                         &out->memory));
    HF_TRY(wrap_for(&out->memory, out->suite, BYTES_OF(world_key),
                    &out->memory_blob));
    HF_TRY(
        call_generate(&token[0], TOKEN_FOR_AVAILABILITY_KEY, 0, 3, &out->ak));
    HF_TRY(call_generate(&token[0], TOKEN_FOR_RECORD_MAC, 0, 4, &out->mac));
    HF_TRY(
        call_generate(&token[0], TOKEN_FOR_AUDIT_SIGNING, 0, 5, &out->audit));
    HF_TRY(call_mac(&token[0], &out->mac.key, WORLD_MAC, out->mac_value));
    out->minted.copy_count = 1;
    out->minted.copies[0].suite = TOKEN_SUITE_AES_KWP;
    out->minted.copies[0].key = out->ak.key;
    out->minted.check_text = bytes_of_text(WORLD_CHECK);
    HF_TRY(call_mint(&token[0], &out->minted));
    HF_TRY(make_doomed(&token[0]));
    return reference_gcm(world_key, world_iv, bytes_of_text(WORLD_AAD),
                         BYTES_OF(world_text), out->sealed);
}

HF_STATUS world_save(const struct world *world, const char *path)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return HF_E_IO;
    }
    size_t written = fwrite(world, sizeof *world, 1, file);
    return fclose(file) == 0 && written == 1 ? HF_OK : HF_E_IO;
}

HF_STATUS world_load(struct world *out, const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return HF_E_IO;
    }
    size_t read = fread(out, sizeof *out, 1, file);
    fclose(file);
    /* pointers do not survive a file */
    out->minted.check_text = bytes_of_text(WORLD_CHECK);
    out->minted.check_aad = BYTES_NONE;
    return read == 1 ? HF_OK : HF_E_IO;
}
