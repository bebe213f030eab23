/* token test. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/token/ability.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"
#include "hsm/tool/session.h"
#include "hsm/tool/tool.h"

#include <stdio.h>
#include <string.h>

#define LACKS_MAX_BYTES 512

/* Beside what was found: the number of KWP, and what lenience means. */
static const char *remark(const struct token_findings *findings,
                          enum token_ability ability, char *buffer, size_t cap)
{
    if (ability == TOKEN_ABILITY_KWP && findings->kwp != 0) {
        snprintf(buffer, cap, "mechanism 0x%04lX", findings->kwp);
        return buffer;
    }
    if (findings->of[ability] == TOKEN_LENIENT) {
        return "does not matter: Holdfast chooses every IV and demands tags "
               "of 128 bits";
    }
    return "";
}

static bool append(json_t *list, json_t *item)
{
    return item != NULL && json_array_append_new(list, item) == 0;
}

static json_t *operations(const struct token_findings *findings)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < TOKEN_ABILITY_COUNT; i++) {
        enum token_ability ability = (enum token_ability)i;
        char buffer[48];
        good = append(
            list, json_pack("{s:s, s:s, s:s, s:b, s:s}", "operation",
                            token_ability_key(ability), "words",
                            token_ability_words(ability), "found",
                            token_verdict_key(findings->of[i]), "promise",
                            (int)token_ability_is_promise(ability), "remark",
                            remark(findings, ability, buffer, sizeof buffer)));
    }
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

/* Roles after the operations, in the same columns. */
static json_t *roles(const struct token_findings *findings)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < TOKEN_ROLE_COUNT; i++) {
        enum token_role role = (enum token_role)i;
        char lacks[LACKS_MAX_BYTES];
        token_role_lacks(findings, role, lacks, sizeof lacks);
        good = append(list, json_pack("{s:s, s:s, s:b, s:s}", "role",
                                      token_role_key(role), "words",
                                      token_role_words(role), "serves",
                                      (int)(lacks[0] == '\0'), "lacks", lacks));
    }
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static const char *found_text(enum token_verdict verdict)
{
    switch (verdict) {
    case TOKEN_UNTRIED:
        return "not tried";
    case TOKEN_CAN:
        return "yes";
    case TOKEN_CANNOT:
        return "no";
    case TOKEN_LENIENT:
        return "no, takes it";
    case TOKEN_BREAKS:
        return "BREAKS ITS PROMISE";
    }
    return "?";
}

static json_t *row(const char *what, const char *found, const char *said)
{
    return json_pack("{s:s, s:s, s:s}", "what", what, "found", found, "remark",
                     said);
}

/* What people see: one table, operations first. */
static json_t *rows(const struct token_findings *findings)
{
    json_t *list = json_array();
    bool good = list != NULL;
    for (size_t i = 0; good && i < TOKEN_ABILITY_COUNT; i++) {
        enum token_ability ability = (enum token_ability)i;
        char buffer[48];
        good = append(
            list, row(token_ability_words(ability), found_text(findings->of[i]),
                      remark(findings, ability, buffer, sizeof buffer)));
    }
    for (size_t i = 0; good && i < TOKEN_ROLE_COUNT; i++) {
        char words[96];
        char lacks[LACKS_MAX_BYTES];
        token_role_lacks(findings, (enum token_role)i, lacks, sizeof lacks);
        snprintf(words, sizeof words, "serves: %s",
                 token_role_words((enum token_role)i));
        good = append(list, row(words, lacks[0] == '\0' ? "yes" : "no", lacks));
    }
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static enum hf_status print(struct tool *tool,
                            const struct token_profile *profile,
                            const struct token_findings *findings)
{
    static const struct output_column columns[] = {
        {"what",   "WHAT"  },
        {"found",  "FOUND" },
        {"remark", "REMARK"},
    };
    bool refused = findings->broken[0] != '\0';
    if (!tool_has(tool, OPTION_JSON)) {
        return output_list(tool, json_pack("{s:o}", "rows", rows(findings)),
                           "rows", columns, HF_COUNT(columns));
    }
    json_t *answer = facts_of_profile(profile);
    json_t *more =
        json_pack("{s:o, s:o, s:o, s:b}", "operations", operations(findings),
                  "roles", roles(findings), "breaks",
                  refused ? json_string(findings->broken) : json_null(),
                  "refused", (int)refused);
    if (answer != NULL &&
        (more == NULL || json_object_update(answer, more) != 0)) {
        json_decref(answer);
        answer = NULL;
    }
    json_decref(more);
    return output_object(tool, answer, NULL);
}

/* A module that breaks a promise is refused for tests too: what it does with
 * one key it may do with any, and a test on it would prove nothing. */
HF_STATUS cmd_token_test(struct tool *tool)
{
    struct token_profile profile = {0};
    struct token_findings findings;
    HF_TRY(session_examine(tool, &profile, &findings));
    HF_TRY(print(tool, &profile, &findings));
    if (findings.broken[0] != '\0') {
        return tool_fail(tool, HF_E_UNSUPPORTED,
                         "token %s is refused, for tests as well: %s",
                         profile.label, findings.broken);
    }
    return HF_OK;
}
