/* Geos: where a tenant's SharePoint data is, and under which DEP. */
#include "server/store/codec.h"
#include "server/store/record.h"

#define GEO_FORMAT 1

static void recovery_fields(struct codec *codec, struct geo_record *geo)
{
    geo->recovery = (enum geo_recovery)code_choice(
        codec, (int)geo->recovery, GEO_RECOVERY_NONE, GEO_RECOVERY_OPEN);
    code_text(codec, geo->requested_by, sizeof geo->requested_by);
    code_text(codec, geo->enabled_by, sizeof geo->enabled_by);
    code_text(codec, geo->confirmed_by, sizeof geo->confirmed_by);
    code_text(codec, geo->ticket, sizeof geo->ticket);
    code_time(codec, &geo->requested_ms);
    code_time(codec, &geo->window_ms);
    code_time(codec, &geo->until_ms);
    /* open only by a request and two others */
    bool open = geo->recovery == GEO_RECOVERY_OPEN;
    code_refuse_unless(codec, !open || (geo->requested_by[0] != '\0' &&
                                        geo->enabled_by[0] != '\0' &&
                                        geo->confirmed_by[0] != '\0'));
}

static void geo_fields(struct codec *codec, struct geo_record *geo)
{
    code_own_id(codec, &geo->id);
    code_own_id(codec, &geo->tenant);
    code_text(codec, geo->name, sizeof geo->name);
    geo->state = (enum geo_state)code_choice(codec, (int)geo->state,
                                             GEO_UNREGISTERED, GEO_RECOVERING);
    code_id(codec, &geo->dep);
    /* registered is: it has a DEP */
    code_refuse_unless(codec, (geo->state == GEO_UNREGISTERED) ==
                                  id_is_nil(&geo->dep));
    code_id(codec, &geo->operation);
    code_raw(codec, geo->ak_fingerprint, sizeof geo->ak_fingerprint);
    code_bool(codec, &geo->evict_on_denied);
    recovery_fields(codec, geo);
    code_time(codec, &geo->created_ms);
    code_time(codec, &geo->updated_ms);
}

HF_STATUS geo_encode(const struct geo_record *in, struct record *out)
{
    struct geo_record fields = *in;
    struct codec codec;
    codec_to_write(&codec, GEO_FORMAT);
    geo_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    return codec_written(&codec, RECORD_GEO, &key, out);
}

HF_STATUS geo_decode(const struct record *in, struct geo_record *out)
{
    struct geo_record fields = {0};
    struct codec codec;
    codec_to_read(&codec, RECORD_GEO, GEO_FORMAT, in);
    geo_fields(&codec, &fields);
    struct record_key key = key_of_pair(&fields.tenant, &fields.id);
    HF_TRY(codec_read(&codec, in, &key));
    *out = fields;
    return HF_OK;
}
