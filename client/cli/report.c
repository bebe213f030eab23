/* report: how a command says that something went wrong. */
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "client/cli/advice.h"
#include "client/cli/cli.h"
#include "client/cli/json.h"
#include "client/cli/words.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_BYTES 1024

static const struct column check_columns[] = {
    {"CHECK",          "code",        NULL, COLUMN_TEXT},
    {"KEY",            "customerKey", NULL, COLUMN_LEAF},
    {"RESULT",         "status",      NULL, COLUMN_TEXT},
    {"BY",             "evidence",    NULL, COLUMN_TEXT},
    {"WHAT WAS FOUND", "text",        NULL, COLUMN_WRAP},
};

static const char *const status_words[] = {"STATUS_UNSPECIFIED", "PASS", "FAIL",
                                           "WARN", "SKIPPED"};
static const char *const evidence_words[] = {"EVIDENCE_UNSPECIFIED", "MEASURED",
                                             "ATTESTED", "DECLARED"};

static const char *word(const char *const *words, size_t count, int value)
{
    return value > 0 && (size_t)value < count ? words[value] : words[0];
}

static void text_freep(char **text)
{
    free(*text);
}

/* --- our own words ---------------------------------------------------------
 */

static enum cli_exit tell(struct cli *cli, enum cli_exit code,
                          const char *word_of_code, const char *text)
{
    HF_OWNED(json_freep) json_t *clean = json_text(text);
    if (cli->json) {
        HF_OWNED(json_freep)
        json_t *document = json_pack("{s{sssO}}", "error", "code", word_of_code,
                                     "message", clean);
        (void)output_json(cli->out, document);
    } else {
        (void)fprintf(cli->err, "holdfast: %s\n", json_string_value(clean));
    }
    return code;
}

enum cli_exit cli_usage(struct cli *cli, const char *format, ...)
{
    char text[SENTENCE_BYTES];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    (void)tell(cli, CLI_USAGE, "USAGE", text);
    const struct command *command =
        cli->args != NULL ? cli->args->command : NULL;
    if (!cli->json && command != NULL) {
        (void)fprintf(cli->err, "  see: holdfast %s%s%s --help\n",
                      command->group, command->verb != NULL ? " " : "",
                      command->verb != NULL ? command->verb : "");
    }
    return CLI_USAGE;
}

enum cli_exit cli_fail(struct cli *cli, enum cli_exit code, const char *format,
                       ...)
{
    static const char *const words[] = {
        [CLI_OK] = "OK",
        [CLI_OTHER] = "FAILED",
        [CLI_USAGE] = "USAGE",
        [CLI_DENIED] = "DENIED",
        [CLI_MISSING] = "NOT_FOUND",
        [CLI_CONFLICT] = "CONFLICT",
        [CLI_UNAVAILABLE] = "UNAVAILABLE",
        [CLI_DATA_LOSS] = "DATA_LOSS",
    };
    char text[SENTENCE_BYTES];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return tell(cli, code, words[code], text);
}

void cli_note(struct cli *cli, const char *format, ...)
{
    char text[SENTENCE_BYTES];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (!cli->json) {
        (void)tell(cli, CLI_OK, "OK", text);
    }
}

/* --- the service's words ---------------------------------------------------
 */

static json_t *checks_json(const struct hf_error *error)
{
    json_t *array = json_array();
    for (size_t i = 0; i < error->check_count; i++) {
        const struct hf_check *check = &error->checks[i];
        json_t *item = json_pack(
            "{sososossss}", "code", json_text(check->code), "customerKey",
            json_text(check->customer_key), "text", json_text(check->text),
            "status", word(status_words, HF_COUNT(status_words), check->status),
            "evidence",
            word(evidence_words, HF_COUNT(evidence_words), check->evidence));
        if (item != NULL) {
            (void)json_array_append_new(array, item);
        }
    }
    return array;
}

static json_t *error_json(const struct hf_error *error, const char *advice)
{
    json_t *metadata = json_object();
    for (size_t i = 0; i < error->metadata_count; i++) {
        (void)json_object_set_new(metadata, error->metadata[i].key,
                                  json_text(error->metadata[i].value));
    }
    json_t *fields = json_array();
    for (size_t i = 0; i < error->violation_count; i++) {
        (void)json_array_append_new(
            fields,
            json_pack("{soso}", "field", json_text(error->violations[i].field),
                      "description",
                      json_text(error->violations[i].description)));
    }
    return json_pack(
        "{s{sssosososososs?sIsi}}", "error", "code", hf_code_text(error->code),
        "reason", json_text(error->reason), "message",
        json_text(error->message), "metadata", metadata, "fieldViolations",
        fields, "checks", checks_json(error), "advice", advice, "retryDelayMs",
        (json_int_t)error->retry_delay_ms, "attempts", (int)error->attempts);
}

/* A field by the option or operand that fills it. */
static void field_for_people(struct cli *cli,
                             const struct hf_violation *violation)
{
    static const char must[] = "must be true";
    char field[FIELD_WORDS_BYTES];
    HF_OWNED(text_freep) char *text = words_of_text(violation->description);
    const struct command *command =
        cli->args != NULL ? cli->args->command : NULL;
    const struct option *option =
        words_of_field(command, violation->field, field);
    const char *shown = text != NULL ? text : violation->description;
    if (option != NULL && option->value == NULL &&
        strncmp(shown, must, sizeof must - 1) == 0) {
        (void)fprintf(cli->err, "  %s must be given%s\n", field,
                      shown + sizeof must - 1);
    } else {
        (void)fprintf(cli->err, "  %s: %s\n", field, shown);
    }
}

/* Said once: with the field it is about, if that is all. */
static bool is_the_fields(const struct hf_error *error)
{
    return error->violation_count == 1 && error->message != NULL &&
           strcmp(error->message, error->violations[0].description) == 0;
}

static void error_for_people(struct cli *cli, const struct hf_error *error,
                             const char *advice)
{
    const char *reason = error->reason != NULL ? error->reason : "";
    HF_OWNED(text_freep)
    char *text = words_of_text(
        error->message != NULL && !is_the_fields(error) ? error->message : "");
    const char *message = text != NULL ? text : "";
    (void)fprintf(cli->err, "holdfast: %s%s%s%s%s\n", hf_code_text(error->code),
                  reason[0] != '\0' ? " / " : "", reason,
                  message[0] != '\0' ? ": " : "", message);
    for (size_t i = 0; i < error->violation_count; i++) {
        field_for_people(cli, &error->violations[i]);
    }
    if (error->check_count > 0) {
        HF_OWNED(json_freep) json_t *checks = checks_json(error);
        (void)output_table(cli->err, checks, check_columns,
                           HF_COUNT(check_columns));
    }
    if (advice != NULL) {
        (void)fprintf(cli->err, "  next: %s\n", advice);
    }
}

enum cli_exit cli_error(struct cli *cli, const struct hf_error *error)
{
    HF_OWNED(text_freep) char *advice = advice_text(error, cli->args);
    if (cli->json) {
        HF_OWNED(json_freep) json_t *document = error_json(error, advice);
        (void)output_json(cli->out, document);
    } else {
        error_for_people(cli, error, advice);
    }
    return advice_exit(error);
}

enum cli_exit cli_report_table(struct cli *cli, const json_t *results)
{
    return output_table(cli->out, results, check_columns,
                        HF_COUNT(check_columns));
}

enum cli_exit cli_show_report(struct cli *cli, const struct cli_method *method,
                              const ProtobufCMessage *request)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    ProtobufCMessage *response = NULL;
    enum cli_exit code = cli_ask(cli, method, request, &response, &error);
    if (code != CLI_OK) {
        return error.code != HF_CODE_OK ? cli_error(cli, &error) : code;
    }
    HF_OWNED(json_freep) json_t *report = message_json(response);
    hf_message_free(response);
    bool passed = json_is_true(json_object_get(report, "passed"));
    if (cli->json) {
        code = output_json(cli->out, report);
    } else {
        code = output_table(cli->out, json_object_get(report, "results"),
                            check_columns, HF_COUNT(check_columns));
        (void)fprintf(cli->out, "%s\n", passed ? "passed" : "FAILED");
    }
    return code == CLI_OK && !passed ? CLI_CONFLICT : code;
}
