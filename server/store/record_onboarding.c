/* Onboarding requests, with what the checks said. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define ONBOARDING_FORMAT 1

/* Codes are stored as their numbers: new ones go behind the last. */
_Static_assert(CHECK_TWO_CUSTODY_DOMAINS == 0 && CHECK_LICENCE == 24,
               "stored numbers of checks");
_Static_assert(2 * VALIDATION_CHECK_COUNT <= ONBOARDING_CHECKS_MAX,
               "room for every check");

static void check_fields(struct codec *codec, struct onboarding_check *check)
{
    check->code =
        (enum check_code)code_choice(codec, (int)check->code, 0, CHECK_LICENCE);
    check->key = code_choice(codec, check->key + 1, 0, 2) - 1;
    check->status = (enum check_status)code_choice(codec, (int)check->status,
                                                   CHECK_PASS, CHECK_SKIPPED);
    check->evidence = (enum check_evidence)code_choice(
        codec, (int)check->evidence, EVIDENCE_MEASURED, EVIDENCE_DECLARED);
    code_text(codec, check->text, sizeof check->text);
}

static void onboarding_fields(struct codec *codec,
                              struct onboarding_record *request)
{
    code_own_id(codec, &request->tenant);
    code_u32(codec, &request->slot);
    code_own_id(codec, &request->id);
    code_u64(codec, &request->number);
    request->scenario = (enum dep_type)code_choice(
        codec, (int)request->scenario, DEP_TYPE_EXCHANGE_MAILBOX,
        DEP_TYPE_SERVICE_MANAGED);
    code_refuse_unless(codec, onboarding_has_scenario(request->scenario));
    request->mode = (enum onboarding_mode)code_choice(
        codec, (int)request->mode, ONBOARDING_VALIDATE, ONBOARDING_ENABLE);
    for (size_t i = 0; i < HF_CUSTOMER_KEYS_PER_DEP; i++) {
        code_text(codec, request->domains[i], sizeof request->domains[i]);
        code_text(codec, request->names[i], sizeof request->names[i]);
        code_own_id(codec, &request->keys[i]);
        code_u32(codec, &request->versions[i]);
    }
    code_text(codec, request->identity, sizeof request->identity);
    request->residency = (enum residency)code_choice(
        codec, (int)request->residency, RESIDENCY_TOKEN, RESIDENCY_MEMORY);
    code_text(codec, request->requester, sizeof request->requester);
    code_bool(codec, &request->passed);
    request->enablement =
        (enum enablement)code_choice(codec, (int)request->enablement,
                                     ENABLEMENT_NOT_ASKED, ENABLEMENT_REFUSED);
    code_time(codec, &request->created_ms);
    uint32_t count = (uint32_t)request->check_count;
    code_refuse_unless(codec, request->check_count <= ONBOARDING_CHECKS_MAX);
    code_u32(codec, &count);
    code_refuse_unless(codec, count <= ONBOARDING_CHECKS_MAX);
    for (uint32_t i = 0; !codec->refused && i < count; i++) {
        check_fields(codec, &request->checks[i]);
    }
    request->check_count = count;
}

HF_STATUS onboarding_encode(const struct onboarding_record *in,
                            struct record *out)
{
    struct onboarding_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, ONBOARDING_FORMAT);
    onboarding_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.tenant, fields.slot);
    return codec_written(&codec, RECORD_ONBOARDING, &key, out);
}

HF_STATUS onboarding_decode(const struct record *in,
                            struct onboarding_record *out)
{
    struct onboarding_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_ONBOARDING, ONBOARDING_FORMAT, in);
    onboarding_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.tenant, fields.slot);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
