/* Officers, purges, their approvals, tombstones and certificates. */
#include "server/store/codec.h"
#include "server/store/record.h"

#include <string.h>

#define OFFICER_FORMAT     1
#define PURGE_FORMAT       2
#define APPROVAL_FORMAT    2
#define TOMBSTONE_FORMAT   1
#define CERTIFICATE_FORMAT 1
#define DELETION_FORMAT    1

static void officer_fields(struct codec *codec, struct officer_record *officer)
{
    code_own_id(codec, &officer->tenant);
    code_text(codec, officer->identity, sizeof officer->identity);
    code_text(codec, officer->name, sizeof officer->name);
    code_bytes(codec, officer->public_key, &officer->public_key_len,
               sizeof officer->public_key);
    code_bool(codec, &officer->active);
    code_time(codec, &officer->since_ms);
    code_time(codec, &officer->updated_ms);
}

static void earlier_fields(struct codec *codec,
                           struct purge_earlier list[PURGE_EARLIER_MAX],
                           size_t *list_count)
{
    uint32_t count = (uint32_t)*list_count;
    code_u32(codec, &count);
    if (count > PURGE_EARLIER_MAX) {
        code_refuse_unless(codec, false);
        count = 0;
    }
    *list_count = count;
    for (size_t i = 0; i < count; i++) {
        code_dep_ref(codec, &list[i].ref);
        code_u64(codec, &list[i].resources);
    }
}

static void asked_fields(struct codec *codec, struct purge_record *purge)
{
    code_own_id(codec, &purge->id);
    code_own_id(codec, &purge->tenant);
    code_own_id(codec, &purge->dep);
    purge->phase = (enum purge_phase)code_choice(
        codec, (int)purge->phase, PURGE_REQUESTED, PURGE_CANCELLED);
    code_bool(codec, &purge->paused);
    code_bool(codec, &purge->force);
    purge->before = (enum dep_state)code_choice(codec, (int)purge->before,
                                                DEP_ENABLED, DEP_DISABLED);
    code_text(codec, purge->reason, sizeof purge->reason);
    code_text(codec, purge->contact, sizeof purge->contact);
    code_text(codec, purge->requester, sizeof purge->requester);
    code_time(codec, &purge->requested_ms);
    code_u32(codec, &purge->version);
    code_raw(codec, purge->nonce, sizeof purge->nonce);
    code_time(codec, &purge->expires_ms);
}

static void done_fields(struct codec *codec, struct purge_record *purge)
{
    code_u64(codec, &purge->resources);
    code_u32(codec, &purge->approvals);
    code_bool(codec, &purge->earlier_accepted);
    code_time(codec, &purge->approved_ms);
    code_time(codec, &purge->hold_until_ms);
    code_text(codec, purge->executor, sizeof purge->executor);
    code_time(codec, &purge->executed_ms);
    code_raw(codec, purge->tombstones, sizeof purge->tombstones);
    code_time(codec, &purge->tombstoned_ms);
    code_time(codec, &purge->destroyed_ms);
    code_time(codec, &purge->verified_ms);
    code_text(codec, purge->evidence, sizeof purge->evidence);
    code_time(codec, &purge->purged_ms);
}

static void purge_fields(struct codec *codec, struct purge_record *purge)
{
    asked_fields(codec, purge);
    earlier_fields(codec, purge->earlier, &purge->earlier_count);
    done_fields(codec, purge);
    if (codec->format >= 2) {
        earlier_fields(codec, purge->residual, &purge->residual_count);
    } else if (purge->tombstoned_ms > 0) { /* one list was both */
        memcpy(purge->residual, purge->earlier, sizeof purge->residual);
        purge->residual_count = purge->earlier_count;
    }
}

static void approval_fields(struct codec *codec,
                            struct approval_record *approval)
{
    code_own_id(codec, &approval->tenant);
    code_own_id(codec, &approval->purge);
    code_text(codec, approval->identity, sizeof approval->identity);
    code_u32(codec, &approval->version);
    code_raw(codec, approval->key_fingerprint,
             sizeof approval->key_fingerprint);
    code_raw(codec, approval->document, sizeof approval->document);
    code_bool(codec, &approval->earlier_accepted);
    code_bytes(codec, approval->signature, &approval->signature_len,
               sizeof approval->signature);
    code_time(codec, &approval->approved_ms);
    if (codec->format >= 2) {
        code_bytes(codec, approval->text, &approval->text_len,
                   sizeof approval->text);
    }
}

static void tombstone_fields(struct codec *codec,
                             struct tombstone_record *tombstone)
{
    code_own_id(codec, &tombstone->tenant);
    tombstone->type = (enum resource_type)code_choice(
        codec, (int)tombstone->type, RESOURCE_MAILBOX, RESOURCE_SITE);
    code_text(codec, tombstone->id, sizeof tombstone->id);
    code_own_id(codec, &tombstone->purge);
    code_time(codec, &tombstone->created_ms);
}

static void deletion_fields(struct codec *codec,
                            struct deletion_record *deletion)
{
    code_own_id(codec, &deletion->tenant);
    deletion->type = (enum resource_type)code_choice(
        codec, (int)deletion->type, RESOURCE_MAILBOX, RESOURCE_SITE);
    code_text(codec, deletion->id, sizeof deletion->id);
    code_text(codec, deletion->identity, sizeof deletion->identity);
    code_time(codec, &deletion->deleted_ms);
}

static void certificate_fields(struct codec *codec,
                               struct certificate_record *certificate)
{
    code_own_id(codec, &certificate->tenant);
    code_own_id(codec, &certificate->purge);
    code_bytes(codec, certificate->text, &certificate->text_len,
               sizeof certificate->text);
    code_bytes(codec, certificate->signature, &certificate->signature_len,
               sizeof certificate->signature);
    code_bytes(codec, certificate->public_key, &certificate->public_key_len,
               sizeof certificate->public_key);
}

#define DEFINE_BOTH_WAYS(prefix, WORD, make_key)                               \
    HF_STATUS prefix##_encode(const struct prefix##_record *in,                \
                              struct record *out)                              \
    {                                                                          \
        struct prefix##_record fields = *in;                                   \
        struct codec codec;                                                    \
        codec_to_write(&codec, WORD##_FORMAT);                                 \
        prefix##_fields(&codec, &fields);                                      \
        struct record_key key = make_key;                                      \
        return codec_written(&codec, RECORD_##WORD, &key, out);                \
    }                                                                          \
    HF_STATUS prefix##_decode(const struct record *in,                         \
                              struct prefix##_record *out)                     \
    {                                                                          \
        struct prefix##_record fields = {0};                                   \
        struct codec codec;                                                    \
        codec_to_read(&codec, RECORD_##WORD, WORD##_FORMAT, in);               \
        prefix##_fields(&codec, &fields);                                      \
        struct record_key key = make_key;                                      \
        HF_TRY(codec_read(&codec, in, &key));                                  \
        *out = fields;                                                         \
        return HF_OK;                                                          \
    }

DEFINE_BOTH_WAYS(officer, OFFICER,
                 key_of_grant(&fields.tenant, fields.identity))
DEFINE_BOTH_WAYS(purge, PURGE, key_of_pair(&fields.tenant, &fields.id))
DEFINE_BOTH_WAYS(approval, APPROVAL,
                 key_of_grant(&fields.purge, fields.identity))
DEFINE_BOTH_WAYS(tombstone, TOMBSTONE,
                 key_of_resource(&fields.tenant, fields.type, fields.id))
DEFINE_BOTH_WAYS(deletion, DELETION,
                 key_of_resource(&fields.tenant, fields.type, fields.id))
DEFINE_BOTH_WAYS(certificate, CERTIFICATE,
                 key_of_pair(&fields.tenant, &fields.purge))
