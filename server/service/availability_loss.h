/* availability_loss: a copy of a DEP key that the availability key of its
 * version does not open any more, as a roll may find it. An availability key
 * cannot be had from elsewhere, and a DEP key never leaves a token, so the DEP
 * gets its next generation, whose copy does open. What is
 * under the one before still opens by the customer keys, and comes along as
 * after a refresh.
 */
#pragma once

#include "server/service/core.h"

/* ak_copy_is_lost: a roll met `met`; does another attempt, at the copy itself,
 * say for certain that it is not opened? An outage never does. */
bool ak_copy_is_lost(struct service *service,
                     struct generation_entry *generation, enum hf_status met);

/* ak_loss_mend: the next generation of a DEP whose availability key rolls,
 * under the next version of that, with the operation that ends it (T5, T7).
 * Returns   HF_OK; HF_E_PRECONDITION while another update of its keys runs;
 *           HF_E_CONFLICT; the failures of the tokens: come again. */
HF_STATUS ak_loss_mend(struct service *service, struct dep_entry *dep);
