/* inside: shared by the files of the token contract suite. */
#pragma once

#include "hsm/token/token.h"

#include "tests/contract/token/token_contract.h"
#include "tests/support/unit.h"

struct contract_tokens {
    struct token token[2];
    struct token_key_report root[2]; /* TOKEN residency, RSA-2048, one each */
    struct token_key_report memory;  /* the others are in token 0 */
    struct token_key_report ak;
    struct token_key_report mac;
    struct token_key_report audit;
    enum token_suite suite;
};

extern const struct contract_subject *contract_subject;
extern struct contract_tokens contract;

/* Each writes its tests to out and returns how many. */
size_t contract_keys_tests(struct CMUnitTest *out);
size_t contract_flow_tests(struct CMUnitTest *out);
