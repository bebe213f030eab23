/* data: data objects, and signatures: the small things of the service's own
 * token. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_data_list: *out_items is allocated and the caller's to free.
 * Returns   HF_OK; HF_E_LIMIT when there are more than cap, or one is longer
 *           than TOKEN_DATA_MAX_BYTES; HF_E_UNCONFIRMED when there is none and
 *           the token is not to be believed (missing.h); else as the module. */
HF_STATUS p11_data_list(struct p11_work *work, const char *label, size_t cap,
                        struct token_data **out_items, size_t *out_count);
/* p11_data_create: made[0] as in p11_generate. HF_OK: a fresh session sees it;
 * HF_E_IO when it could not be made durable, then it was destroyed again.
 * p11_data_destroy: HF_OK: a fresh session sees none; HF_E_UNCONFIRMED when
 * nothing was found and that is not to be believed. */
HF_STATUS p11_data_create(struct p11_work *work, const struct token_data *data,
                          CK_OBJECT_HANDLE made[2]);
HF_STATUS p11_data_destroy(struct p11_work *work,
                           const struct token_data *data);
HF_STATUS p11_sign(struct p11_work *work, struct token_sign *sign);
/* p11_health: a session of this token answers and is logged in. */
HF_STATUS p11_health(struct p11_work *work);
