/* service init --mirror, service forget-mirror: two tokens that hold the same
 * record MAC key (R-15.10; hsm/token/mirrored.h).
 *
 * A ceremony that was interrupted is begun again: a MAC key in a token that
 * holds neither an epoch nor a view was never used by a service, for that
 * writes an epoch before its first record; it is taken away and made anew. The
 * views come last: with them the pair is ready. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"

#include "hsm/pkcs11/carry.h"
#include "hsm/token/mirror_view.h"
#include "hsm/token/names.h"
#include "hsm/tool/cmd_service.h"
#include "hsm/tool/commands.h"
#include "hsm/tool/facts.h"
#include "hsm/tool/output.h"

#include <string.h>

#define KNOWN_TEXT "HFD1 mirror check"

struct pair {
    struct session ends[2]; /* the first, its mirror */
    struct mirror_view views[2];
    size_t epochs[2];
    bool has_mac[2];
};

static void pair_close(struct pair *pair)
{
    session_close(&pair->ends[0]);
    session_close(&pair->ends[1]);
}

/* --- what is there -------------------------------------------------------- */

/* The mirror's options in the place of the first token's. */
static enum hf_status open_mirror(struct tool *tool, struct session *out)
{
    struct tool other = *tool;
    other.options.values[OPTION_TOKEN] = tool_value(tool, OPTION_MIRROR);
    other.options.values[OPTION_PIN_FILE] =
        tool_value(tool, OPTION_MIRROR_PIN_FILE);
    other.options.given[OPTION_PIN_FILE] =
        tool_has(tool, OPTION_MIRROR_PIN_FILE);
    static const enum option_id first_only[] = {
        OPTION_SERIAL, OPTION_PIN_FD, OPTION_PIN_HALF_FILE, OPTION_PIN_HALF_FD};
    for (size_t i = 0; i < HF_COUNT(first_only); i++) {
        other.options.values[first_only[i]] = NULL;
        other.options.given[first_only[i]] = false;
    }
    if (tool_has(tool, OPTION_MIRROR_MODULE)) {
        other.options.values[OPTION_MODULE] =
            tool_value(tool, OPTION_MIRROR_MODULE);
        other.options.given[OPTION_MODULE] = true;
    }
    enum hf_status status = session_open(&other, out);
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status, "%s", other.problem);
}

static enum hf_status count_epochs(struct tool *tool,
                                   const struct session *session, size_t *out)
{
    struct token_data items[8];
    struct token_request request = {
        .op = TOKEN_OP_DATA_LIST,
        .u.data_list = {.label = TOKEN_NAME_EPOCH,
                        .items = items,
                        .cap = HF_COUNT(items)},
    };
    enum hf_status status =
        session_call(tool, session, &request, "list its epochs");
    *out = status == HF_E_LIMIT ? HF_COUNT(items) : request.u.data_list.count;
    return status == HF_E_LIMIT ? HF_OK : status;
}

static enum hf_status look(struct tool *tool, struct pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        const struct session *session = &pair->ends[i];
        size_t at = 0;
        HF_TRY(service_token_check(tool, session));
        HF_TRY(count_epochs(tool, session, &pair->epochs[i]));
        enum hf_status status =
            mirror_view_read(&session->token, 0, &pair->views[i]);
        if (status != HF_OK) {
            return tool_fail(tool, status,
                             "the token %s does not show its mirrors: %s",
                             session->profile.label, hf_status_text(status));
        }
        pair->has_mac[i] =
            session_named(session, TOKEN_NAME_RECORD_MAC, &at) != NULL;
    }
    return HF_OK;
}

static struct token_key mac_key(void)
{
    struct token_key key = {.type = TOKEN_KEY_GENERIC,
                            .id_len = sizeof TOKEN_NAME_RECORD_MAC - 1};
    memcpy(key.id, TOKEN_NAME_RECORD_MAC, key.id_len);
    return key;
}

/* The known answer that both must give. */
static enum hf_status compare(struct tool *tool, const struct pair *pair)
{
    uint8_t answers[2][HF_SHA256_BYTES];
    for (size_t i = 0; i < 2; i++) {
        struct token_request request = {
            .op = TOKEN_OP_MAC,
            .u.mac = {.key = mac_key(), .in = bytes_of_text(KNOWN_TEXT)},
        };
        HF_TRY(session_call(tool, &pair->ends[i], &request,
                            "use the record MAC key"));
        memcpy(answers[i], request.u.mac.out, sizeof answers[i]);
    }
    return equal_constant_time(answers[0], answers[1], sizeof answers[0])
               ? HF_OK
               : tool_fail(tool, HF_E_CONFLICT,
                           "the two tokens hold different record MAC keys; "
                           "nothing was changed");
}

static bool names_both(const struct pair *pair, const struct mirror_view *view)
{
    return mirror_view_has(view, pair->ends[0].profile.serial) &&
           mirror_view_has(view, pair->ends[1].profile.serial);
}

/* what is in use cannot be carried: its key never leaves. */
static enum hf_status must_be_new(struct tool *tool, const struct pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        if (pair->views[i].number > 0 && !names_both(pair, &pair->views[i])) {
            return tool_fail(tool, HF_E_CONFLICT,
                             "the token %s has mirrors already, and the other "
                             "one given here is not among them",
                             pair->ends[i].profile.label);
        }
        if (pair->views[i].number == 0 && pair->epochs[i] > 0) {
            return tool_fail(
                tool, HF_E_PRECONDITION,
                "the token %s is in use by a service, and its record MAC key "
                "cannot leave it: it gets no mirror afterwards. Prepare two "
                "new tokens with service init --mirror and seal the store "
                "anew under them (holdfastd --reseal-check)",
                pair->ends[i].profile.label);
        }
    }
    return HF_OK;
}

/* --- making it ------------------------------------------------------------ */

static enum hf_status take_away_unused(struct tool *tool,
                                       const struct pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        struct token_request request = {.op = TOKEN_OP_DESTROY,
                                        .u.destroy.key = mac_key()};
        if (pair->has_mac[i]) {
            HF_TRY(session_call(tool, &pair->ends[i], &request,
                                "let go of a record MAC key that was never "
                                "used"));
        }
    }
    return HF_OK;
}

static enum hf_status carry(struct tool *tool, const struct pair *pair)
{
    struct pkcs11_carry_end ends[2];
    struct pkcs11_refusal refusal = {.text = ""};
    const struct token_profile *a = &pair->ends[0].profile;
    const struct token_profile *b = &pair->ends[1].profile;
    for (size_t i = 0; i < 2; i++) {
        ends[i] = (struct pkcs11_carry_end){
            .module_path = pair->ends[i].module,
            .label = pair->ends[i].profile.label,
            .serial = pair->ends[i].profile.serial,
        };
    }
    enum token_suite suite = a->oaep_sha256 && b->oaep_sha256
                                 ? TOKEN_SUITE_OAEP_SHA256
                                 : TOKEN_SUITE_OAEP_SHA1;
    HF_TRY(take_away_unused(tool, pair));
    enum hf_status status = pkcs11_carry_mac_key(
        &ends[0], &ends[1], suite, TOKEN_NAME_RECORD_MAC, &refusal);
    return status == HF_OK ? HF_OK
                           : tool_fail(tool, status, "%s", refusal.text);
}

static enum hf_status report_mac(struct tool *tool,
                                 const struct session *session,
                                 struct token_key_report *out)
{
    struct token_request find = {
        .op = TOKEN_OP_FIND, .u.find = {.key = mac_key(), .report = out}
    };
    HF_TRY(session_call(tool, session, &find, "show the record MAC key"));
    return out->sensitive && !out->extractable && out->can_sign
               ? HF_OK
               : tool_fail(tool, HF_E_DENIED,
                           "the token %s says that its record MAC key can be "
                           "taken out: it does not keep what it was asked",
                           session->profile.label);
}

static enum hf_status write_views(struct tool *tool, const struct pair *pair)
{
    struct mirror_view view = pair->views[0].number > pair->views[1].number
                                  ? pair->views[0]
                                  : pair->views[1];
    if (view.number == 0) {
        view.number = 1;
        view.count = 2;
        for (size_t i = 0; i < 2; i++) {
            const struct token_profile *profile = &pair->ends[i].profile;
            memcpy(view.members[i].label, profile->label,
                   sizeof view.members[i].label);
            memcpy(view.members[i].serial, profile->serial,
                   sizeof view.members[i].serial);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        /* one that the service has left out is brought back by the service */
        if (pair->views[i].number > 0) {
            continue;
        }
        enum hf_status status =
            mirror_view_write(&pair->ends[i].token, 0, &view);
        if (status != HF_OK) {
            return tool_fail(tool, status,
                             "the token %s does not take the list of mirrors: "
                             "%s; repeat the command",
                             pair->ends[i].profile.label,
                             hf_status_text(status));
        }
    }
    return HF_OK;
}

static json_t *facts_of_end(const struct session *session,
                            const struct token_key_report *mac,
                            const struct token_key_report *sign)
{
    return json_pack("{s:o, s:o, s:o}", "token",
                     facts_token_uri(&session->profile), "record_mac",
                     facts_of_key(&session->profile, mac), "audit_sign",
                     facts_of_key(&session->profile, sign));
}

static enum hf_status finish(struct tool *tool, struct pair *pair, bool changed)
{
    struct token_key_report mac[2] = {{.bits = 0}};
    struct token_key_report sign[2] = {{.bits = 0}};
    for (size_t i = 0; i < 2; i++) {
        bool made = false;
        HF_TRY(session_canary(tool, &pair->ends[i], &made));
        changed = changed || made;
        made = false;
        HF_TRY(service_key_ensure(tool, &pair->ends[i], TOKEN_FOR_AUDIT_SIGNING,
                                  TOKEN_NAME_AUDIT_SIGN, &sign[i], &made));
        changed = changed || made;
        HF_TRY(report_mac(tool, &pair->ends[i], &mac[i]));
    }
    HF_TRY(compare(tool, pair));
    changed =
        changed || pair->views[0].number == 0 || pair->views[1].number == 0;
    HF_TRY(write_views(tool, pair));
    return output_object(
        tool,
        json_pack("{s:b, s:o, s:o}", "changed", (int)changed, "first",
                  facts_of_end(&pair->ends[0], &mac[0], &sign[0]), "mirror",
                  facts_of_end(&pair->ends[1], &mac[1], &sign[1])),
        changed ? "Both tokens hold the same record MAC key, and none lets it "
                  "out. Each signs with an audit key of its own: publish both."
                : "Everything was there already; nothing was changed.");
}

HF_STATUS service_init_mirrored(struct tool *tool)
{
    HF_OWNED(pair_close) struct pair pair = {.ends = {{.has_canary = false}}};
    HF_TRY(session_open(tool, &pair.ends[0]));
    HF_TRY(open_mirror(tool, &pair.ends[1]));
    if (strcmp(pair.ends[0].profile.serial, pair.ends[1].profile.serial) == 0) {
        return tool_fail(tool, HF_E_INVALID,
                         "a token is no mirror of itself: --token and --mirror "
                         "are one");
    }
    HF_TRY(look(tool, &pair));
    HF_TRY(must_be_new(tool, &pair));
    bool ready = pair.has_mac[0] && pair.has_mac[1] &&
                 (pair.views[0].number > 0 || pair.views[1].number > 0);
    if (!ready && (pair.views[0].number > 0 || pair.views[1].number > 0)) {
        return tool_fail(tool, HF_E_CONFLICT,
                         "one of the two has lost its record MAC key: it "
                         "cannot be given to it a second time");
    }
    if (!ready) {
        HF_TRY(carry(tool, &pair));
    }
    return finish(tool, &pair, !ready);
}

/* --- one that is lost ----------------------------------------------------- */

static enum hf_status leave_out(struct tool *tool,
                                const struct session *session,
                                struct mirror_view *view)
{
    const char *lost = tool_value(tool, OPTION_MIRROR);
    struct mirror_view next = {.number = view->number + 1};
    for (size_t i = 0; i < view->count; i++) {
        const struct mirror_name *member = &view->members[i];
        bool itself = strcmp(member->serial, session->profile.serial) == 0;
        bool named = strcmp(member->label, lost) == 0 ||
                     strcmp(member->serial, lost) == 0;
        if (itself || !named) {
            next.members[next.count++] = *member;
        }
    }
    if (next.count == view->count ||
        !mirror_view_has(view, session->profile.serial)) {
        return tool_fail(tool, HF_E_NOT_FOUND,
                         "the token %s does not wait for a mirror %s, or is "
                         "itself not up to date",
                         session->profile.label, lost);
    }
    *view = next;
    return HF_OK;
}

HF_STATUS cmd_service_forget_mirror(struct tool *tool)
{
    HF_OWNED(session_close) struct session session = {0};
    struct mirror_view view;
    HF_TRY(session_open(tool, &session));
    enum hf_status status = mirror_view_read(&session.token, 0, &view);
    if (status == HF_OK) {
        HF_TRY(leave_out(tool, &session, &view));
        status = mirror_view_write(&session.token, 0, &view);
    }
    if (status != HF_OK) {
        return tool_fail(tool, status, "the list of mirrors: %s",
                         hf_status_text(status));
    }
    return output_object(
        tool,
        json_pack("{s:o, s:o, s:I, s:i}", "token",
                  facts_token_uri(&session.profile), "forgotten",
                  output_text(tool_value(tool, OPTION_MIRROR)), "view",
                  (json_int_t)view.number, "members", (int)view.count),
        "The service may start without it. If it was not lost but only away, "
        "the store may now be older than what it knew: never bring it back.");
}
