/* Customer keys, their versions, and who may use them. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define CUSTOMER_KEY_FORMAT 2
#define KEY_VERSION_FORMAT  3
#define GRANT_FORMAT        1

#define PERMISSIONS_ALL     (PERMISSION_GET | PERMISSION_WRAP | PERMISSION_UNWRAP)

static void customer_key_fields(struct codec *codec,
                                struct customer_key_record *key)
{
    code_own_id(codec, &key->id);
    code_own_id(codec, &key->tenant);
    code_text(codec, key->name, sizeof key->name);
    code_id(codec, &key->token);
    code_u32(codec, &key->current_version);
    code_time(codec, &key->created_ms);
    if (codec->format >= 2) {
        key->state = (enum key_state)code_choice(codec, (int)key->state,
                                                 KEY_ACTIVE, KEY_GONE);
        code_time(codec, &key->deleted_ms);
        code_time(codec, &key->purge_ms);
        code_refuse_unless(codec,
                           (key->state == KEY_ACTIVE) == (key->purge_ms == 0));
    }
}

HF_STATUS customer_key_encode(const struct customer_key_record *in,
                              struct record *out)
{
    struct customer_key_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, CUSTOMER_KEY_FORMAT);
    customer_key_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    return codec_written(&codec, RECORD_CUSTOMER_KEY, &key, out);
}

HF_STATUS customer_key_decode(const struct record *in,
                              struct customer_key_record *out)
{
    struct customer_key_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_CUSTOMER_KEY, CUSTOMER_KEY_FORMAT, in);
    customer_key_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void key_version_fields(struct codec *codec,
                               struct key_version_record *version)
{
    code_own_id(codec, &version->key);
    code_u32(codec, &version->version);
    code_bytes(codec, version->cka_id, &version->cka_id_len,
               sizeof version->cka_id);
    code_raw(codec, version->fingerprint, sizeof version->fingerprint);
    code_bytes(codec, version->spki, &version->spki_len, sizeof version->spki);
    code_u32(codec, &version->bits);
    code_suite(codec, &version->suite);
    code_bool(codec, &version->enabled);
    code_time(codec, &version->not_before_ms);
    code_time(codec, &version->expires_ms);
    code_bool(codec, &version->allows_token);
    code_bool(codec, &version->allows_memory);
    code_bool(codec, &version->imported);
    code_time(codec, &version->created_ms);
    code_time(codec, &version->updated_ms);
    if (codec->format >= 2) {
        code_text(codec, version->label, sizeof version->label);
    }
    if (codec->format >= 3) {
        code_bool(codec, &version->attributes_known);
        code_bool(codec, &version->sensitive);
        code_bool(codec, &version->extractable);
        code_bool(codec, &version->always_sensitive);
        code_bool(codec, &version->never_extractable);
        code_u32(codec, &version->mechanisms);
    }
}

HF_STATUS key_version_encode(const struct key_version_record *in,
                             struct record *out)
{
    struct key_version_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, KEY_VERSION_FORMAT);
    key_version_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.key, fields.version);
    return codec_written(&codec, RECORD_KEY_VERSION, &key, out);
}

HF_STATUS key_version_decode(const struct record *in,
                             struct key_version_record *out)
{
    struct key_version_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_KEY_VERSION, KEY_VERSION_FORMAT, in);
    key_version_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.key, fields.version);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void grant_fields(struct codec *codec, struct grant_record *grant)
{
    code_own_id(codec, &grant->key);
    code_text(codec, grant->identity, sizeof grant->identity);
    grant->granted =
        (uint8_t)code_choice(codec, grant->granted, 0, PERMISSIONS_ALL);
    grant->ever_held =
        (uint8_t)code_choice(codec, grant->ever_held, 0, PERMISSIONS_ALL);
    /* what is held now was held at some time */
    code_refuse_unless(codec, (grant->granted & ~grant->ever_held) == 0);
    code_time(codec, &grant->updated_ms);
}

/* The identity is hashed into the key, so it must be a text first. */
static struct record_key grant_key(const struct codec *codec,
                                   const struct grant_record *grant)
{
    return codec->refused ? (struct record_key){0}
                          : key_of_grant(&grant->key, grant->identity);
}

HF_STATUS grant_encode(const struct grant_record *in, struct record *out)
{
    struct grant_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, GRANT_FORMAT);
    grant_fields(&codec, &fields);
    struct record_key key = grant_key(&codec, &fields);
    return codec_written(&codec, RECORD_GRANT, &key, out);
}

HF_STATUS grant_decode(const struct record *in, struct grant_record *out)
{
    struct grant_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_GRANT, GRANT_FORMAT, in);
    grant_fields(&codec, &fields);
    struct record_key key = grant_key(&codec, &fields);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
