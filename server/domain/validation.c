#include "server/domain/validation.h"

#include "server/domain/validation_check.h"

struct check {
    bool about_pair;
    enum check_evidence evidence;
    check_fn *run;
};

/* clang-format off */
static const struct check checks[VALIDATION_CHECK_COUNT] = {
    /*                             pair   evidence           run */
    [CHECK_TWO_CUSTODY_DOMAINS] = {true,  EVIDENCE_DECLARED, check_two_custody_domains},
    [CHECK_TWO_TOKENS] =          {true,  EVIDENCE_DECLARED, check_two_tokens},
    [CHECK_DOMAIN_ELIGIBLE] =     {false, EVIDENCE_DECLARED, check_domain_eligible},
    [CHECK_TOKEN_IN_DOMAIN] =     {false, EVIDENCE_DECLARED, check_token_in_domain},
    [CHECK_KEY_EXISTS] =          {false, EVIDENCE_MEASURED, check_key_exists},
    [CHECK_KEY_TYPE] =            {false, EVIDENCE_MEASURED, check_key_type},
    [CHECK_KEY_SIZE] =            {false, EVIDENCE_MEASURED, check_key_size},
    [CHECK_KEY_ENABLED] =         {false, EVIDENCE_DECLARED, check_key_enabled},
    [CHECK_KEY_NO_EXPIRY] =       {false, EVIDENCE_DECLARED, check_key_no_expiry},
    [CHECK_KEY_NOT_BEFORE] =      {false, EVIDENCE_DECLARED, check_key_not_before},
    [CHECK_KEY_NON_EXPORTABLE] =  {false, EVIDENCE_MEASURED, check_key_non_exportable},
    [CHECK_KEY_OPS] =             {false, EVIDENCE_MEASURED, check_key_ops},
    [CHECK_PERM_GET] =            {false, EVIDENCE_DECLARED, check_perm_get},
    [CHECK_PERM_WRAP] =           {false, EVIDENCE_DECLARED, check_perm_wrap},
    [CHECK_PERM_UNWRAP] =         {false, EVIDENCE_DECLARED, check_perm_unwrap},
    [CHECK_SOFT_DELETE_90D] =     {false, EVIDENCE_DECLARED, check_soft_delete},
    [CHECK_PURGE_PROTECTION] =    {false, EVIDENCE_DECLARED, check_purge_protection},
    [CHECK_TOKEN_PROTECTED] =     {false, EVIDENCE_DECLARED, check_token_protected},
    [CHECK_HSM_BACKED] =          {false, EVIDENCE_DECLARED, check_hsm_backed},
    [CHECK_MECHANISM_PROBE] =     {false, EVIDENCE_MEASURED, check_mechanism_probe},
    [CHECK_ROUND_TRIP] =          {false, EVIDENCE_MEASURED, check_round_trip},
    [CHECK_TOKEN_SHARED] =        {false, EVIDENCE_MEASURED, check_token_shared},
    [CHECK_KEYS_DISTINCT] =       {true,  EVIDENCE_MEASURED, check_keys_distinct},
    [CHECK_APPROVERS_RECORDED] =  {true,  EVIDENCE_DECLARED, check_approvers_recorded},
    [CHECK_LICENCE] =             {true,  EVIDENCE_DECLARED, check_licence},
};
/* clang-format on */

void line_say(struct line *line, enum check_status status, const char *words)
{
    line->result->status = status;
    text_put(&line->text, words);
}

void line_say_required(struct line *line, const struct validation_facts *facts,
                       const char *words)
{
    if (facts->production_tenant) {
        line_say(line, CHECK_FAIL, words);
        return;
    }
    line_say(line, CHECK_WARN, words);
    text_put(&line->text, "; refused for a production tenant");
}

/* What was declared counts as it stands now. */
static int64_t time_of(const struct validation_facts *facts,
                       enum check_code code, int key)
{
    return checks[code].evidence == EVIDENCE_MEASURED && key >= 0
               ? facts->keys[key].measured_ms
               : facts->now_ms;
}

static void run_check(const struct validation_facts *facts,
                      enum check_code code, int key,
                      struct validation_report *out)
{
    struct check_result *result = &out->results[out->count++];
    *result = (struct check_result){
        .code = code,
        .key = key,
        .status = CHECK_FAIL, /* what a check does not say has not passed */
        .evidence = checks[code].evidence,
        .time_ms = time_of(facts, code, key),
    };
    struct line line = {.result = result};
    text_begin(&line.text, result->text, sizeof result->text);
    checks[code].run(facts, key < 0 ? NULL : &facts->keys[key], &line);
    if (result->status == CHECK_FAIL) {
        out->passed = false;
    }
}

void validation_run(const struct validation_facts *facts,
                    struct validation_report *out)
{
    out->count = 0;
    out->passed = true;
    for (unsigned code = 0; code < VALIDATION_CHECK_COUNT; code++) {
        if (checks[code].about_pair) {
            run_check(facts, (enum check_code)code, -1, out);
            continue;
        }
        for (int key = 0; key < HF_CUSTOMER_KEYS_PER_DEP; key++) {
            run_check(facts, (enum check_code)code, key, out);
        }
    }
}

const char *check_code_text(enum check_code code)
{
    static const char *const texts[CHECK_CODE_COUNT] = {
#define X(code) [CHECK_##code] = #code,
        CHECK_TABLE(X)
#undef X
    };
    return (unsigned)code < CHECK_CODE_COUNT ? texts[code] : "?";
}

const char *check_status_text(enum check_status status)
{
    switch (status) {
    case CHECK_PASS:
        return "PASS";
    case CHECK_FAIL:
        return "FAIL";
    case CHECK_WARN:
        return "WARN";
    case CHECK_SKIPPED:
        return "SKIPPED";
    }
    return "?";
}

const char *check_evidence_text(enum check_evidence evidence)
{
    switch (evidence) {
    case EVIDENCE_MEASURED:
        return "MEASURED";
    case EVIDENCE_ATTESTED:
        return "ATTESTED";
    case EVIDENCE_DECLARED:
        return "DECLARED";
    }
    return "?";
}
