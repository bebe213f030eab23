/* The multi-workload DEP of a tenant, and what its workloads reported. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define TENANT_ASSIGNMENT_FORMAT 1
#define WORKLOAD_PROGRESS_FORMAT 1

static void assignment_fields(struct codec *codec,
                              struct tenant_assignment_record *assignment)
{
    code_own_id(codec, &assignment->tenant);
    assignment->state = (enum assignment_state)code_choice(
        codec, (int)assignment->state, ASSIGNMENT_NONE, ASSIGNMENT_OFFBOARDING);
    code_id(codec, &assignment->dep);
    code_refuse_unless(codec, !assignment_holds(assignment->state) ||
                                  !id_is_nil(&assignment->dep));
    code_u32(codec, &assignment->number);
    code_id(codec, &assignment->operation);
    code_time(codec, &assignment->assigned_ms);
    code_time(codec, &assignment->effective_ms);
    code_time(codec, &assignment->overdue_ms);
    code_time(codec, &assignment->updated_ms);
    code_text(codec, assignment->ticket, sizeof assignment->ticket);
    code_text(codec, assignment->contact, sizeof assignment->contact);
    code_text(codec, assignment->ground, sizeof assignment->ground);
}

HF_STATUS tenant_assignment_encode(const struct tenant_assignment_record *in,
                                   struct record *out)
{
    struct tenant_assignment_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, TENANT_ASSIGNMENT_FORMAT);
    assignment_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.tenant);
    return codec_written(&codec, RECORD_TENANT_ASSIGNMENT, &key, out);
}

HF_STATUS tenant_assignment_decode(const struct record *in,
                                   struct tenant_assignment_record *out)
{
    struct tenant_assignment_record fields = {.state = 0};
    struct codec codec;
    codec_to_read(&codec, RECORD_TENANT_ASSIGNMENT, TENANT_ASSIGNMENT_FORMAT,
                  in);
    assignment_fields(&codec, &fields);
    struct record_key key = key_of_id(&fields.tenant);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}

static void progress_fields(struct codec *codec,
                            struct workload_progress_record *progress)
{
    code_own_id(codec, &progress->tenant);
    code_u32(codec, &progress->workload);
    code_u32(codec, &progress->assignment);
    code_u64(codec, &progress->done);
    code_u64(codec, &progress->total);
    code_refuse_unless(codec, progress->done <= progress->total);
    code_time(codec, &progress->reported_ms);
}

HF_STATUS workload_progress_encode(const struct workload_progress_record *in,
                                   struct record *out)
{
    struct workload_progress_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, WORKLOAD_PROGRESS_FORMAT);
    progress_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.tenant, fields.workload);
    return codec_written(&codec, RECORD_WORKLOAD_PROGRESS, &key, out);
}

HF_STATUS workload_progress_decode(const struct record *in,
                                   struct workload_progress_record *out)
{
    struct workload_progress_record fields = {.done = 0};
    struct codec codec;
    codec_to_read(&codec, RECORD_WORKLOAD_PROGRESS, WORKLOAD_PROGRESS_FORMAT,
                  in);
    progress_fields(&codec, &fields);
    struct record_key key = key_of_numbered(&fields.tenant, fields.workload);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
