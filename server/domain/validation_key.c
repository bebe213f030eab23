#include "server/domain/customer_key.h"
#include "server/domain/validation_check.h"

/* What is measured cannot be said of a key nobody has seen. KEY_EXISTS has then
 * failed, so nothing that is skipped here can let a validation pass. */
static bool was_seen(const struct key_facts *key, struct line *line)
{
    if (!key->reachable) {
        line_say(line, CHECK_SKIPPED, "its token does not answer");
        return false;
    }
    if (!key->exists) {
        line_say(line, CHECK_SKIPPED, "there is no such key in the token");
        return false;
    }
    return true;
}

void check_key_exists(const struct validation_facts *facts,
                      const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (!key->reachable) {
        line_say(line, CHECK_FAIL,
                 "its token does not answer, so nothing is known of the key");
    } else if (!key->exists) {
        line_say(line, CHECK_FAIL,
                 "the token has no key with the registered id and public key");
    } else {
        line_say(line, CHECK_PASS, "the token has the registered key");
    }
}

void check_key_type(const struct validation_facts *facts,
                    const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (!was_seen(key, line)) {
        return;
    }
    if (key->is_rsa) {
        line_say(line, CHECK_PASS, "RSA");
    } else {
        line_say(line, CHECK_FAIL,
                 "not an RSA key; only RSA keys can wrap (2048, 3072 or 4096 "
                 "bits)");
    }
}

void check_key_size(const struct validation_facts *facts,
                    const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (!was_seen(key, line)) {
        return;
    }
    if (!key->is_rsa) {
        line_say(line, CHECK_SKIPPED, "not an RSA key");
        return;
    }
    bool fits = key->bits == 2048 || key->bits == 3072 || key->bits == 4096;
    text_put_number(&line->text, key->bits);
    line_say(line, fits ? CHECK_PASS : CHECK_FAIL,
             fits ? " bits" : " bits; it must be 2048, 3072 or 4096");
}

void check_key_enabled(const struct validation_facts *facts,
                       const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (key->deleted) {
        line_say(line, CHECK_FAIL,
                 "soft-deleted; RecoverCustomerKey brings it back");
    } else if (key->enabled) {
        line_say(line, CHECK_PASS, "enabled");
    } else {
        line_say(line, CHECK_FAIL, "disabled; enable the key version");
    }
}

/* */
void check_key_no_expiry(const struct validation_facts *facts,
                         const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (key->expires_ms == 0) {
        line_say(line, CHECK_PASS, "does not expire");
    } else if (key->expires_ms == CUSTOMER_KEY_NO_EXPIRY_MS) {
        line_say(line, CHECK_PASS, "expires 9999-12-31, which counts as never");
    } else {
        line_say(line, CHECK_FAIL, "expires ");
        text_put_date(&line->text, key->expires_ms);
        text_put(&line->text, "; allowed are none or 9999-12-31");
    }
}

/* */
void check_key_not_before(const struct validation_facts *facts,
                          const struct key_facts *key, struct line *line)
{
    if (key->not_before_ms <= facts->now_ms) {
        line_say(line, CHECK_PASS, "valid already");
        return;
    }
    line_say(line, CHECK_FAIL, "not valid before ");
    text_put_date(&line->text, key->not_before_ms);
    text_put(&line->text, "; it must be now or earlier");
}

/* A key brought in from outside was readable somewhere once.
 */
void check_key_non_exportable(const struct validation_facts *facts,
                              const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (!was_seen(key, line)) {
        return;
    }
    if (!key->sensitive || key->extractable) {
        line_say(line, CHECK_FAIL,
                 "can be taken out of the token; it must be sensitive and not "
                 "extractable");
    } else if (key->imported) {
        line_say(line, CHECK_WARN,
                 "cannot be taken out, but was imported: copies may exist "
                 "outside");
    } else if (!key->never_extractable || !key->always_sensitive) {
        line_say(line, CHECK_FAIL,
                 key->never_extractable
                     ? "could be read at some time; generate it as sensitive"
                     : "could be taken out of the token at some time; "
                       "generate it as not extractable");
    } else {
        line_say(line, CHECK_PASS,
                 "could never be taken out of the token: generated in it, "
                 "always sensitive, never extractable");
    }
}

static bool may_oaep(const struct key_facts *key)
{
    return key->mechanism_ok && key->mechanisms != KEY_MECHANISMS_NO_OAEP;
}

static bool has_ops(const struct key_facts *key, enum residency residency)
{
    return (residency == RESIDENCY_TOKEN && key->can_unwrap &&
            key->token_lacks[0] == '\0') ||
           (residency == RESIDENCY_MEMORY && key->can_decrypt);
}

/* fixed when the key is generated. */
void check_key_ops(const struct validation_facts *facts,
                   const struct key_facts *key, struct line *line)
{
    if (!was_seen(key, line)) {
        return;
    }
    bool in_memory = facts->residency == RESIDENCY_MEMORY;
    if (!in_memory && key->token_lacks[0] != '\0') {
        line_say(line, CHECK_FAIL, "residency TOKEN is beyond its token: no ");
        text_put(&line->text, key->token_lacks);
    } else if (has_ops(key, facts->residency)) {
        line_say(line, CHECK_PASS,
                 in_memory ? "may decrypt, as residency MEMORY needs"
                           : "may unwrap, as residency TOKEN needs");
    } else {
        line_say(line, CHECK_FAIL,
                 in_memory ? "may not decrypt; residency MEMORY needs a key "
                             "generated for it"
                           : "may not unwrap; residency TOKEN needs a key "
                             "generated for it");
    }
}

static void say_permission(struct line *line, bool held, const char *name)
{
    line_say(line, held ? CHECK_PASS : CHECK_FAIL,
             held ? "the workload identity holds "
                  : "the workload identity lacks ");
    text_put(&line->text, name);
    text_put(&line->text, held ? "" : " on this key; grant it");
}

void check_perm_get(const struct validation_facts *facts,
                    const struct key_facts *key, struct line *line)
{
    (void)facts;
    say_permission(line, key->has_get, "get");
}

void check_perm_wrap(const struct validation_facts *facts,
                     const struct key_facts *key, struct line *line)
{
    (void)facts;
    say_permission(line, key->has_wrap, "wrap");
}

void check_perm_unwrap(const struct validation_facts *facts,
                       const struct key_facts *key, struct line *line)
{
    (void)facts;
    say_permission(line, key->has_unwrap, "unwrap");
}

static const struct {
    enum check_status status;
    const char *words;
} mechanism_lines[] = {
    [KEY_MECHANISMS_ANY] =
        {CHECK_PASS, "its token has RSA-OAEP; the key is not limited to it"   },
    [KEY_MECHANISMS_OAEP_ONLY] =
        {CHECK_PASS, "its token has RSA-OAEP, and the key allows nothing else"},
    [KEY_MECHANISMS_OAEP_TOO] =
        {CHECK_PASS,
                              "its token has RSA-OAEP; the key allows other mechanisms too"        },
    [KEY_MECHANISMS_NO_OAEP] = {CHECK_FAIL, "the key does not allow RSA-OAEP"                        },
};

void check_mechanism_probe(const struct validation_facts *facts,
                           const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (!was_seen(key, line)) {
        return;
    }
    if (!key->mechanism_ok) {
        line_say(line, CHECK_FAIL,
                 "its token has RSA-OAEP neither with SHA-256 nor with SHA-1");
        return;
    }
    line_say(line, mechanism_lines[key->mechanisms].status,
             mechanism_lines[key->mechanisms].words);
}

/* with the workload's own rights: without them it is not tried, and
 * what is missing has failed under its own code. */
void check_round_trip(const struct validation_facts *facts,
                      const struct key_facts *key, struct line *line)
{
    if (!was_seen(key, line)) {
        return;
    }
    if (key->deleted || !key->enabled || !key->has_wrap || !key->has_unwrap) {
        line_say(line, CHECK_SKIPPED,
                 "not tried: the workload identity may not wrap and unwrap");
    } else if (!key->is_rsa || !may_oaep(key) ||
               !has_ops(key, facts->residency)) {
        line_say(line, CHECK_SKIPPED, "not tried: the key cannot do it");
    } else if (!key->round_trip_ok) {
        line_say(line, CHECK_FAIL,
                 "random bytes wrapped for the key did not come back");
    } else {
        line_say(line, CHECK_PASS, "random bytes wrapped and unwrapped");
    }
}
