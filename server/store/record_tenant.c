/* Tenants and their enrolled tokens. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define TENANT_FORMAT 1
#define TOKEN_FORMAT  1

static void tenant_fields(struct codec *codec, struct tenant_record *tenant)
{
    code_own_id(codec, &tenant->id);
    code_text(codec, tenant->name, sizeof tenant->name);
    code_bool(codec, &tenant->production);
    code_bool(codec, &tenant->licensed);
    code_id(codec, &tenant->service_managed);
    code_time(codec, &tenant->created_ms);
}

HF_STATUS tenant_encode(const struct tenant_record *in, struct record *out)
{
    struct tenant_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, TENANT_FORMAT);
    tenant_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.id);
    return codec_written(&codec, RECORD_TENANT, &key, out);
}

HF_STATUS tenant_decode(const struct record *in, struct tenant_record *out)
{
    struct tenant_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_TENANT, TENANT_FORMAT, in);
    tenant_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void token_fields(struct codec *codec, struct token_record *token)
{
    code_own_id(codec, &token->id);
    code_own_id(codec, &token->tenant);
    code_text(codec, token->name, sizeof token->name);
    code_text(codec, token->label, sizeof token->label);
    code_text(codec, token->serial, sizeof token->serial);
    code_text(codec, token->custody_domain, sizeof token->custody_domain);
    token->protection = (enum deletion_protection)code_choice(
        codec, (int)token->protection, PROTECTION_NONE,
        PROTECTION_TOKEN_PROTECTED);
    code_u32(codec, &token->retention_days);
    code_bool(codec, &token->test_only);
    code_bool(codec, &token->hardware);
    code_time(codec, &token->enrolled_ms);
    code_bytes(codec, token->statement, &token->statement_len,
               sizeof token->statement);
}

HF_STATUS token_record_encode(const struct token_record *in, struct record *out)
{
    struct token_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, TOKEN_FORMAT);
    token_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    return codec_written(&codec, RECORD_TOKEN, &key, out);
}

HF_STATUS token_record_decode(const struct record *in, struct token_record *out)
{
    struct token_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_TOKEN, TOKEN_FORMAT, in);
    token_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
