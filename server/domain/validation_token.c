#include "hsm/base/bytes.h"

#include "server/domain/dep.h"
#include "server/domain/validation_check.h"

/* */
void check_two_custody_domains(const struct validation_facts *facts,
                               const struct key_facts *key, struct line *line)
{
    (void)key;
    char first[HF_NAME_MAX_BYTES + 1];
    char second[HF_NAME_MAX_BYTES + 1];
    name_fold(facts->keys[0].custody_domain, first);
    name_fold(facts->keys[1].custody_domain, second);
    if (first[0] == '\0' || second[0] == '\0') {
        line_say(line, CHECK_FAIL,
                 "the custody domain of a token is not known; it must be "
                 "enrolled with one");
    } else if (bytes_equal(bytes_of_text(first), bytes_of_text(second))) {
        line_say(line, CHECK_FAIL, "both keys are in the custody domain ");
        text_put(&line->text, facts->keys[0].custody_domain);
        text_put(&line->text, "; they must be in two");
    } else {
        line_say(line, CHECK_PASS, "two custody domains");
    }
}

void check_two_tokens(const struct validation_facts *facts,
                      const struct key_facts *key, struct line *line)
{
    (void)key;
    const struct key_facts *keys = facts->keys;
    struct bytes serial = bytes_of_text(keys[0].token_serial);
    bool same_serial = serial.len > 0 &&
                       bytes_equal(serial, bytes_of_text(keys[1].token_serial));
    if (id_equal(&keys[0].token_record, &keys[1].token_record) || same_serial) {
        line_say(line, CHECK_FAIL,
                 "both keys are in the same token; they must be in two");
    } else {
        line_say(line, CHECK_PASS, "two tokens");
    }
}

static bool is_zero(const uint8_t hash[HF_SHA256_BYTES])
{
    static const uint8_t zero[HF_SHA256_BYTES];
    return bytes_equal((struct bytes){hash, HF_SHA256_BYTES}, BYTES_OF(zero));
}

void check_keys_distinct(const struct validation_facts *facts,
                         const struct key_facts *key, struct line *line)
{
    (void)key;
    const struct key_facts *keys = facts->keys;
    bool known = !is_zero(keys[0].fingerprint) && !is_zero(keys[1].fingerprint);
    bool same = id_equal(&keys[0].key_record, &keys[1].key_record) ||
                bytes_equal(BYTES_OF(keys[0].fingerprint),
                            BYTES_OF(keys[1].fingerprint));
    if (!known) {
        line_say(line, CHECK_FAIL, "the public key of a key is not known");
    } else if (same) {
        line_say(line, CHECK_FAIL,
                 "both are the same key; a DEP needs two different ones");
    } else {
        line_say(line, CHECK_PASS, "two different keys");
    }
}

/* Only mailbox DEPs have a purge. It is no danger to
 * the data, and approvers can still be recorded later: a warning. */
void check_approvers_recorded(const struct validation_facts *facts,
                              const struct key_facts *key, struct line *line)
{
    (void)key;
    if (facts->dep_type != DEP_TYPE_EXCHANGE_MAILBOX) {
        line_say(line, CHECK_SKIPPED, "this type of DEP has no purge");
    } else if (facts->approvers_recorded) {
        line_say(line, CHECK_PASS, "purge approvers are recorded");
    } else {
        line_say(line, CHECK_WARN,
                 "no purge approvers are recorded; without them no purge can "
                 "be approved");
    }
}

void check_licence(const struct validation_facts *facts,
                   const struct key_facts *key, struct line *line)
{
    (void)key;
    if (facts->licensed) {
        line_say(line, CHECK_PASS, "the tenant is licensed");
    } else {
        line_say_required(line, facts, "the tenant is not licensed");
    }
}

/* */
void check_domain_eligible(const struct validation_facts *facts,
                           const struct key_facts *key, struct line *line)
{
    if (!key->domain_declared) {
        line_say(line, CHECK_FAIL, "the custody domain ");
        text_put(&line->text, key->custody_domain);
        text_put(&line->text, " is not in the service's configuration");
    } else if (key->test_only) {
        line_say_required(line, facts, "the token is for tests only");
    } else {
        line_say(line, CHECK_PASS, "not a test token");
    }
}

void check_token_in_domain(const struct validation_facts *facts,
                           const struct key_facts *key, struct line *line)
{
    (void)facts;
    char stated[HF_NAME_MAX_BYTES + 1];
    char enrolled[HF_NAME_MAX_BYTES + 1];
    name_fold(key->stated_domain, stated);
    name_fold(key->custody_domain, enrolled);
    if (stated[0] != '\0' &&
        !bytes_equal(bytes_of_text(stated), bytes_of_text(enrolled))) {
        line_say(line, CHECK_FAIL, "the token is in the custody domain ");
        text_put(&line->text, key->custody_domain);
        text_put(&line->text, ", not in ");
        text_put(&line->text, key->stated_domain);
    } else if (key->token_in_domain) {
        line_say(line, CHECK_PASS, "token and enrolment name one domain");
    } else {
        line_say(line, CHECK_FAIL, "the token is not in the custody domain ");
        text_put(&line->text, key->custody_domain);
        text_put(&line->text, " of its enrolment");
    }
}

static bool protects(const struct key_facts *key,
                     enum deletion_protection at_least)
{
    return key->protection >= at_least &&
           key->protection <= PROTECTION_TOKEN_PROTECTED;
}

/* */
void check_soft_delete(const struct validation_facts *facts,
                       const struct key_facts *key, struct line *line)
{
    if (!protects(key, PROTECTION_SOFT_DELETE)) {
        line_say_required(line, facts,
                          "deleted keys are gone at once; 90 days of soft "
                          "delete are needed");
        return;
    }
    bool enough = key->retention_days >= VALIDATION_RETENTION_DAYS;
    text_put(&line->text, "soft delete for ");
    text_put_number(&line->text, key->retention_days);
    if (enough) {
        line_say(line, CHECK_PASS, " days");
    } else {
        line_say_required(line, facts, " days; 90 are needed");
    }
}

void check_purge_protection(const struct validation_facts *facts,
                            const struct key_facts *key, struct line *line)
{
    if (protects(key, PROTECTION_SOFT_DELETE_PURGE_PROTECTED)) {
        line_say(line, CHECK_PASS, "deleted keys cannot be purged earlier");
    } else {
        line_say_required(line, facts,
                          "deleted keys can be purged before their time; "
                          "purge protection is needed");
    }
}

/* needed for SHAREPOINT_GEO only. */
void check_token_protected(const struct validation_facts *facts,
                           const struct key_facts *key, struct line *line)
{
    if (protects(key, PROTECTION_TOKEN_PROTECTED)) {
        line_say(line, CHECK_PASS,
                 "the token cannot be initialised again by one party");
    } else {
        line_say(line,
                 facts->dep_type == DEP_TYPE_SHAREPOINT_GEO ? CHECK_FAIL
                                                            : CHECK_WARN,
                 "one party alone can initialise the token again, and with it "
                 "delete the key");
    }
}

/* */
void check_hsm_backed(const struct validation_facts *facts,
                      const struct key_facts *key, struct line *line)
{
    if (key->hardware) {
        line_say(line, CHECK_PASS, "the token is hardware");
    } else {
        line_say_required(line, facts, "the token is software");
    }
}

/* */
void check_token_shared(const struct validation_facts *facts,
                        const struct key_facts *key, struct line *line)
{
    (void)facts;
    if (key->token_used_by_other_dep) {
        line_say(line, CHECK_WARN,
                 "another DEP uses this token; a pair of tokens for each is "
                 "better");
    } else {
        line_say(line, CHECK_PASS, "no other DEP uses this token");
    }
}
