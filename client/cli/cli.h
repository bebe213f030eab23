/* cli: what every command has at hand: who we are, the server, and one way to
 * call, to show and to fail.
 */
#pragma once

#include "client/cli/args.h"
#include "client/cli/exit.h"
#include "client/cli/output.h"
#include "client/cli/settings.h"
#include "client/lib/holdfast.h"

#include <jansson.h>
#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stdio.h>

struct cli {
    struct settings settings;
    bool json;
    FILE *out; /* results */
    FILE *err; /* everything else */
    const struct args *args;
    struct hf_client *client; /* opened by the first call */
};

/* --- failing: each says so, in the form asked for, and returns the code ----
 */

/* cli_usage: the command line asks for something that cannot be. */
__attribute__((format(printf, 2, 3))) enum cli_exit
cli_usage(struct cli *cli, const char *format, ...);
/* cli_fail: something here, not at the server, went wrong. */
__attribute__((format(printf, 3, 4))) enum cli_exit
cli_fail(struct cli *cli, enum cli_exit code, const char *format, ...);
/* cli_error: an answer of the service: one or two lines, the fields, and all
 * checks of a failed validation as a table. */
enum cli_exit cli_error(struct cli *cli, const struct hf_error *error);

/* cli_note: something worth knowing beside the result; for people alone. */
__attribute__((format(printf, 2, 3))) void cli_note(struct cli *cli,
                                                    const char *format, ...);

/* --- calling ---------------------------------------------------------------
 */

/* cli_connect: opens the client, once. */
enum cli_exit cli_connect(struct cli *cli);

struct cli_method {
    const char *name; /* "holdfast.v1.DepService/GetDep" */
    const ProtobufCMessageDescriptor *response;
};

/* cli_ask: one call; on failure *error is filled and nothing is said yet.
 * Gives *out_response, freed with hf_message_free. */
enum cli_exit cli_ask(struct cli *cli, const struct cli_method *method,
                      const ProtobufCMessage *request,
                      ProtobufCMessage **out_response, struct hf_error *error);

/* cli_show: one call whose answer is shown as one item. */
enum cli_exit cli_show(struct cli *cli, const struct cli_method *method,
                       const ProtobufCMessage *request,
                       const struct column *columns, size_t count);

/* cli_show_item: what was answered, as one item; of an order that was only to
 * be checked (--validate-only), that nothing was changed and what it would
 * come to. */
enum cli_exit cli_show_item(struct cli *cli, const json_t *item,
                            const struct column *columns, size_t count);

/* cli_gather: all pages of a list, as one JSON array of what the member named
 * items holds; most: stop after so many (0: all). *error as in cli_ask. */
struct cli_list {
    struct cli_method method;
    ProtobufCMessage *request; /* its page_token is written here */
    const char *items;         /* "deps" */
    size_t most;
    bool names_deps; /* to be shown by name: who may list these may list DEPs */
};
enum cli_exit cli_gather(struct cli *cli, const struct cli_list *list,
                         json_t **out_array, struct hf_error *error);
/* cli_show_list: cli_gather, shown: a table, or {"deps": [...]}. */
enum cli_exit cli_show_list(struct cli *cli, const struct cli_list *list,
                            const struct column *columns, size_t count);

/* cli_show_report: a validation: a table of every check; CLI_CONFLICT when it
 * did not pass. */
enum cli_exit cli_show_report(struct cli *cli, const struct cli_method *method,
                              const ProtobufCMessage *request);

/* cli_report_table: the checks of a report, as a table for people. */
enum cli_exit cli_report_table(struct cli *cli, const json_t *results);

/* --- names -----------------------------------------------------------------
 */

#define NAME_TEXT 512

/* cli_parent: "tenants/TENANT". cli_name: "tenants/TENANT/COLLECTION/ID"; an
 * id that is a full name stays as it is. Both say what is missing. */
enum cli_exit cli_parent(struct cli *cli, char out[NAME_TEXT]);
enum cli_exit cli_name(struct cli *cli, const char *collection, const char *id,
                       char out[NAME_TEXT]);

/* cli_request_id: --request-id, or a fresh one. */
enum cli_exit cli_request_id(struct cli *cli, char out[HF_REQUEST_ID_TEXT]);

/* cli_order: what every order about one thing says: name (the first operand, in
 * its collection; where the request has that field), request_id and
 * validate_only. The words are the request's texts: they outlive it. */
struct cli_words {
    char name[NAME_TEXT];
    char request_id[HF_REQUEST_ID_TEXT];
};
enum cli_exit cli_order(struct cli *cli, const char *collection,
                        ProtobufCMessage *request, struct cli_words *words);

/* proto_text: for the generated structs, which want writable pointers but
 * write nothing; NULL becomes "". */
char *proto_text(const char *text);

/* Options that several commands share. */
#define OPTIONS_OF_A_CHANGE                                                    \
    {"validate-only", NULL, "check everything, change nothing", false, false}, \
    {                                                                          \
        "request-id", "UUID", "the same id again does nothing twice", false,   \
            false                                                              \
    }
#define OPTIONS_OF_AN_ACCESS                                                   \
    {"initiator", "WHO", "user (default) or system", false, false},            \
        {"purpose", "WHAT",                                                    \
         "of a system access: ediscovery, anti-malware, anti-spam, "           \
         "search-indexing, data-loss-prevention, move, rewrap",                \
         false, false},                                                        \
    {                                                                          \
        "request-id", "UUID", "shown in the audit record", false, false        \
    }

/* The tables of the command files. */
extern const struct command_set commands_of_tenant;
extern const struct command_set commands_of_token;
extern const struct command_set commands_of_onboarding;
extern const struct command_set commands_of_catalogue;
extern const struct command_set commands_of_key;
extern const struct command_set commands_of_key_life;
extern const struct command_set commands_of_dep;
extern const struct command_set commands_of_dep_keys;
extern const struct command_set commands_of_mailbox;
extern const struct command_set commands_of_notice;
extern const struct command_set commands_of_ak_token;
extern const struct command_set commands_of_assignment;
extern const struct command_set commands_of_workload;
extern const struct command_set commands_of_approvers;
extern const struct command_set commands_of_purge;
extern const struct command_set commands_of_purge_approve;
extern const struct command_set commands_of_purge_verify;
extern const struct command_set commands_of_geo;
extern const struct command_set commands_of_site;
extern const struct command_set commands_of_seal;
extern const struct command_set commands_of_data;
extern const struct command_set commands_of_operation;
extern const struct command_set commands_of_audit;
extern const struct command_set commands_of_audit_stream;
extern const struct command_set commands_of_audit_verify;
extern const struct command_set commands_of_checkpoint;
extern const struct command_set commands_of_spool;
extern const struct command_set commands_of_status;
