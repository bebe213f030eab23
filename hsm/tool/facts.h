/* facts: what tokens and keys are, as JSON. */
#pragma once

#include "hsm/base/custody.h"
#include "hsm/base/status.h"

#include "hsm/token/token.h"

#include <jansson.h>

/* All give NULL without memory. */
json_t *facts_of_custody(const struct custody *custody);
/* facts_of_token: its names, PIN flags and memory. facts_of_profile: that and
 * what the self-test found. */
json_t *facts_of_token(const struct token_profile *profile);
json_t *facts_of_profile(const struct token_profile *profile);
/* facts_of_key: name, role, type, id, fingerprint, RFC 7512 URI, attributes. */
json_t *facts_of_key(const struct token_profile *profile,
                     const struct token_key_report *key);
/* facts_token_uri: "pkcs11:token=...;serial=..." */
json_t *facts_token_uri(const struct token_profile *profile);
