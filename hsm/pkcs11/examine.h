/* examine: the rest of the table: what only objects of the token can show. It
 * makes keys and a data object named SELFTEST_OBJECT and destroys them again;
 * what an interrupted run left behind goes first. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/pkcs11/inside.h"
#include "hsm/token/ability.h"

/* p11_examine: fills in the findings that p11_selftest left.
 * Takes     p11_selftest was run; nobody else uses the token.
 * Blocks    for the generation of an RSA-2048 key pair in the token. */
void p11_examine(struct p11_work *work, struct token_findings *findings);
