/* report: what the token says of a root key, attribute by attribute. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_report: of the private or secret key `handle`, whose type and id are in
 * key. work->session open. */
HF_STATUS p11_report(struct p11_work *work, const struct token_key *key,
                     CK_OBJECT_HANDLE handle, struct token_key_report *out);

/* p11_report_find: FIND. p11_report_list: LIST; *out_reports is allocated and
 * the caller's to free; HF_E_LIMIT when there are more than cap. */
HF_STATUS p11_report_find(struct p11_work *work, struct token_find *find);
HF_STATUS p11_report_list(struct p11_work *work, struct token_list *list,
                          size_t cap, struct token_key_report **out_reports);
