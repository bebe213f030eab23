/* opening: from settings to a token that may be used: load, find, log in,
 * probe, test. On a thread of its own, because any of it may hang. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/pkcs11/pkcs11.h"

/* p11_opening_run: see pkcs11_open for what it returns and how long it blocks;
 * out_findings: NULL, or as pkcs11_examine.
 * Gives *out_token, freed with p11_token_free when it has no executor. */
HF_STATUS p11_opening_run(const struct pkcs11_settings *settings,
                          struct token_findings *out_findings,
                          struct p11_token **out_token,
                          struct pkcs11_refusal *out_refusal);

/* p11_token_free: closes its sessions, which ends the log-in, releases the
 * module, wipes and frees. No thread uses it any more. NULL-safe. */
void p11_token_free(struct p11_token *token);
