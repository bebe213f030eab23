/* The tokens of availability keys, once there is more than one of a kind. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define AK_TOKEN_FORMAT 1

static void ak_token_fields(struct codec *codec, struct ak_token_record *token)
{
    code_own_id(codec, &token->id);
    code_bool(codec, &token->sharepoint);
    code_bool(codec, &token->first);
    token->state = (enum ak_token_state)code_choice(
        codec, (int)token->state, AK_TOKEN_ENROLLING, AK_TOKEN_RETIRED);
    code_text(codec, token->name, sizeof token->name);
    code_text(codec, token->label, sizeof token->label);
    code_text(codec, token->serial, sizeof token->serial);
    code_bytes(codec, token->transport, &token->transport_len,
               sizeof token->transport);
    code_time(codec, &token->enrolled_ms);
    code_time(codec, &token->active_ms);
    code_text(codec, token->disposal, sizeof token->disposal);
    code_text(codec, token->requested_by, sizeof token->requested_by);
    for (size_t i = 0; i < AK_RETIREMENT_APPROVALS; i++) {
        code_text(codec, token->approved_by[i], sizeof token->approved_by[i]);
    }
    code_time(codec, &token->requested_ms);
    code_time(codec, &token->retired_ms);
    /* what a purge waits for, and a certificate names */
    code_refuse_unless(codec, token->serial[0] != '\0');
    code_refuse_unless(codec, (token->state == AK_TOKEN_RETIRED) ==
                                  (token->retired_ms != 0));
}

HF_STATUS ak_token_encode(const struct ak_token_record *in, struct record *out)
{
    struct ak_token_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, AK_TOKEN_FORMAT);
    ak_token_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.id);
    return codec_written(&codec, RECORD_AK_TOKEN, &key, out);
}

HF_STATUS ak_token_decode(const struct record *in, struct ak_token_record *out)
{
    struct ak_token_record fields = {.first = false};
    struct codec codec;
    codec_to_read(&codec, RECORD_AK_TOKEN, AK_TOKEN_FORMAT, in);
    ak_token_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
