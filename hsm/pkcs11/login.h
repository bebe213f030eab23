/* login: the user's PIN, once.
 *
 * A PIN that was refused is not offered again in this process, whoever asks:
 * tokens lock after a few wrong ones. What is remembered is a keyed digest of
 * token and PIN, with a key made at random for this process.
 */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"

/* p11_login: logs the token in on work->session, if it wants that.
 *
 * Takes     single flight: the caller is opening or repairing the token.
 * Gives     *out_why, when refused without being asked, in words; else NULL.
 * Returns   HF_OK, also when the user is logged in already; HF_E_DENIED when
 *           the PIN was refused now or before, is locked, expired, or has one
 *           try left; or what C_Login means.
 */
HF_STATUS p11_login(struct p11_work *work, const char **out_why);

/* p11_is_logged_in: from C_GetSessionInfo on work->session. */
HF_STATUS p11_is_logged_in(struct p11_work *work, bool *out_yes);
