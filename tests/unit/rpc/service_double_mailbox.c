/* The double's update of a mailbox. */
#include "server/service/mailboxes.h"

#include "tests/unit/rpc/service_double.h"

#include <stdio.h>

HF_STATUS mailboxes_update(struct service *service, const struct caller *caller,
                           const struct mailbox_update *request,
                           struct mailbox_view *out, struct problem *problem)
{
    (void)service;
    double_say("set=%d%d kind=%d licensed=%d", request->set_kind,
               request->set_licensed, (int)request->kind, request->licensed);
    HF_TRY(double_use_case(caller, "mailboxes_update", request->tenant,
                           request->id, problem));
    *out = (struct mailbox_view){.state = MAILBOX_KEYLESS};
    snprintf(out->tenant, sizeof out->tenant, "%s", request->tenant);
    snprintf(out->record.id, sizeof out->record.id, "%s", request->id);
    out->record.kind = request->kind;
    return HF_OK;
}
