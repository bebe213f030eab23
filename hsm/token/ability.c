#include "hsm/token/ability.h"

#include "hsm/base/check.h"

#include <stdio.h>
#include <string.h>

struct ability_row {
    const char *key;
    const char *words;
    bool promise;
};

static const struct ability_row abilities[] = {
#define X(id, key_, promise_, words_)                                          \
    [TOKEN_ABILITY_##                                                          \
        id] = {.key = (key_), .words = (words_), .promise = (promise_)},
    TOKEN_ABILITY_TABLE(X)
#undef X
};
_Static_assert(TOKEN_ABILITY_COUNT <= 64, "sets of abilities are 64 bits");

#define ABILITY(id) (1ull << TOKEN_ABILITY_##id)

/* needs: all of them; oaep: with SHA-256 or with SHA-1 as well. */
struct role_row {
    const char *key;
    const char *words;
    uint64_t needs;
    bool oaep;
};

static const struct role_row roles[] = {
    [TOKEN_ROLE_CUSTOMER_TOKEN] = {"customer_key_token",
                                   "customer keys, residency TOKEN",                 ABILITY(LOG_IN) | ABILITY(RSA_TOKEN) |
                                       ABILITY(FIND_ID) | ABILITY(UNWRAP) |
                                       ABILITY(GCM),
                                   true },
    [TOKEN_ROLE_CUSTOMER_MEMORY] = {"customer_key_memory",
                                   "customer keys, residency MEMORY",                ABILITY(LOG_IN) | ABILITY(RSA_TOKEN) |
                                        ABILITY(FIND_ID),
                                   true },
    [TOKEN_ROLE_AVAILABILITY] = {"availability_key",    "availability keys",
                                   ABILITY(LOG_IN) | ABILITY(AES_TOKEN) |
                                     ABILITY(FIND_ID) | ABILITY(UNWRAP) |
                                     ABILITY(WRAP_OUT) | ABILITY(KWP) |
                                     ABILITY(GCM),
                                   true },
    [TOKEN_ROLE_SERVICE] = {"service",             "the service's own token",
                                   ABILITY(LOG_IN) | ABILITY(HMAC) | ABILITY(ECDSA) |
                                ABILITY(DATA) | ABILITY(FIND_ID),
                                   false},
    [TOKEN_ROLE_TLS] = {"tls_key",             "the server's TLS key",
                                   ABILITY(LOG_IN) | ABILITY(ECDSA) | ABILITY(FIND_ID),
                                   false},
};
_Static_assert(HF_COUNT(roles) == TOKEN_ROLE_COUNT, "every role has a row");

/* What an opening leaves to the whole table: it makes no token object. */
#define NOT_AT_OPENING                                                         \
    (ABILITY(RSA_TOKEN) | ABILITY(RSA_IMPORT) | ABILITY(WRAP_OUT) |            \
     ABILITY(AES_TOKEN) | ABILITY(DATA) | ABILITY(FIND_ID) | ABILITY(COPY))

const char *token_ability_key(enum token_ability ability)
{
    return abilities[ability].key;
}

const char *token_ability_words(enum token_ability ability)
{
    return abilities[ability].words;
}

bool token_ability_is_promise(enum token_ability ability)
{
    return abilities[ability].promise;
}

const char *token_verdict_key(enum token_verdict verdict)
{
    switch (verdict) {
    case TOKEN_UNTRIED:
        return "untried";
    case TOKEN_CAN:
        return "can";
    case TOKEN_CANNOT:
        return "cannot";
    case TOKEN_LENIENT:
        return "lenient";
    case TOKEN_BREAKS:
        return "breaks";
    }
    return "?";
}

const char *token_role_key(enum token_role role)
{
    return roles[role].key;
}

const char *token_role_words(enum token_role role)
{
    return roles[role].words;
}

static void say(char *out, size_t cap, const char *words)
{
    size_t len = strlen(out);
    snprintf(out + len, cap - len, "%s%s", len == 0 ? "" : "; ", words);
}

static bool any_oaep(const struct token_findings *findings)
{
    return findings->of[TOKEN_ABILITY_OAEP_SHA256] == TOKEN_CAN ||
           findings->of[TOKEN_ABILITY_OAEP_SHA1] == TOKEN_CAN;
}

void token_role_lacks(const struct token_findings *findings,
                      enum token_role role, char *out, size_t cap)
{
    CHECK(cap > 0);
    out[0] = '\0';
    for (size_t i = 0; i < TOKEN_ABILITY_COUNT; i++) {
        if (findings->of[i] == TOKEN_BREAKS) {
            snprintf(out, cap, "breaks a promise: %s", findings->broken);
            return;
        }
    }
    for (size_t i = 0; i < TOKEN_ABILITY_COUNT; i++) {
        if ((roles[role].needs & 1ull << i) != 0 &&
            findings->of[i] != TOKEN_CAN) {
            say(out, cap, abilities[i].words);
        }
    }
    if (roles[role].oaep && !any_oaep(findings)) {
        say(out, cap, "RSA-OAEP");
    }
}

void token_profile_lacks(const struct token_profile *profile,
                         enum token_role role, char *out, size_t cap)
{
    const struct {
        enum token_ability ability;
        bool there;
    } known[] = {
        {TOKEN_ABILITY_LOG_IN,      true                     },
        {TOKEN_ABILITY_OAEP_SHA256, profile->oaep_sha256     },
        {TOKEN_ABILITY_OAEP_SHA1,   profile->oaep_sha1       },
        {TOKEN_ABILITY_UNWRAP,      profile->unwrap_to_object},
        {TOKEN_ABILITY_GCM,         profile->aes_gcm         },
        {TOKEN_ABILITY_KWP,         profile->aes_kwp         },
        {TOKEN_ABILITY_HMAC,        profile->hmac_sha256     },
        {TOKEN_ABILITY_ECDSA,       profile->ecdsa_p256      },
    };
    struct token_findings findings = {.broken = ""};
    for (size_t i = 0; i < TOKEN_ABILITY_COUNT; i++) {
        findings.of[i] =
            (NOT_AT_OPENING & 1ull << i) != 0 ? TOKEN_CAN : TOKEN_UNTRIED;
    }
    for (size_t i = 0; i < HF_COUNT(known); i++) {
        findings.of[known[i].ability] =
            known[i].there ? TOKEN_CAN : TOKEN_CANNOT;
    }
    token_role_lacks(&findings, role, out, cap);
}
