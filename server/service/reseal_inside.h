/* reseal_inside: shared by the files of reseal. */
#pragma once

#include "server/service/core.h"
#include "server/service/reseal.h"
#include "server/service/seals.h"

#include <jansson.h>

#define RESEAL_FORMAT     "holdfast-reseal-v1"
#define RESEAL_KNOWN_TEXT "HFD1 reseal check"
#define RESEAL_NAME_BYTES 700
/* of the audit chain */
#define RESEAL_AUDIT_RECORD "audit/records/"
#define RESEAL_AUDIT_END    "audit/end"

struct reseal {
    const struct reseal_settings *settings;
    /* enough of one to load the catalogue and to ask tokens; its ledger checks
     * no MAC */
    struct service *service;
    struct problem *problem;
    json_t *report;
    json_t *verified;     /* how many of each kind */
    json_t *declared;     /* {what, name, ...} */
    json_t *not_verified; /* {name, why, accepted} */
    /* of the audit chain: the last word on each grant, DEP, purge and token of
     * availability keys, as {"after": {...}, "index": N} */
    json_t *grants;
    json_t *deps;
    json_t *purges;
    json_t *ak_tokens;
    json_t *keys;          /* by name the state, by version the rest */
    uint64_t signed_until; /* by the audit keys given; 0: nothing is */
    struct reseal_report *out;
};

/* --- reseal_report.c */
HF_STATUS reseal_verified(struct reseal *reseal, const char *kind);
/* reseal_declared: facts may be NULL; taken over. */
HF_STATUS reseal_declared(struct reseal *reseal, const char *what,
                          const char *name, json_t *facts);
HF_STATUS reseal_bad(struct reseal *reseal, const char *name, const char *why);
/* reseal_write: the report as it is signed and its summary. */
HF_STATUS reseal_write(struct reseal *reseal);

/* --- reseal_store.c */
struct reseal_content {
    uint8_t digest[HF_SHA256_BYTES];
    uint64_t records;
    uint64_t epoch;
    uint64_t audit_index;
    uint8_t audit_hash[HF_SHA256_BYTES];
};
HF_STATUS reseal_content_of(const struct store *store,
                            struct reseal_content *out);
/* reseal_token_answer: a known text under the new MAC key. */
HF_STATUS reseal_token_answer(const struct token *token,
                              uint8_t out[HF_SHA256_BYTES]);

/* --- reseal_chain.c: the links, what was signed, and what they say */
HF_STATUS reseal_chain(struct reseal *reseal);

/* --- reseal_keys.c: tokens, customer keys, copies, stored keys */
HF_STATUS reseal_keys(struct reseal *reseal);

/* --- reseal_facts.c: tenants, approvers, grants, DEPs, purges */
HF_STATUS reseal_facts(struct reseal *reseal);
