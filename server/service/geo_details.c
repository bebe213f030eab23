#include "server/service/geo_inside.h"

HF_STATUS geo_details(const struct geo_record *before,
                      const struct geo_record *after,
                      struct details **out_details)
{
    static const struct geo_record nothing = {.state = GEO_UNREGISTERED};
    char from[HF_ID_TEXT];
    char to[HF_ID_TEXT];
    HF_OWNED(details_freep) struct details *details = NULL;
    HF_TRY(details_new(DETAILS_OF_CHANGE, &details));
    before = before == NULL ? &nothing : before;
    id_format(&before->dep, from);
    id_format(&after->dep, to);
    details_text(details, "state", geo_state_text(before->state),
                 geo_state_text(after->state));
    details_text(details, "dep", from, to);
    details_flag(details, "evictOnDenied", before->evict_on_denied,
                 after->evict_on_denied);
    details_text(details, "recovery", geo_recovery_text(before->recovery),
                 geo_recovery_text(after->recovery));
    details_text(details, "requester", before->requested_by,
                 after->requested_by);
    details_text(details, "enabler", before->enabled_by, after->enabled_by);
    details_text(details, "confirmer", before->confirmed_by,
                 after->confirmed_by);
    details_text(details, "ticket", before->ticket, after->ticket);
    details_number(details, "windowMs", before->window_ms, after->window_ms);
    details_time(details, "expireTime", before->until_ms, after->until_ms);
    *out_details = HF_GIVE(details);
    return HF_OK;
}
