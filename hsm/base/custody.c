#include "hsm/base/custody.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/statement.h"

#define TITLE "holdfast-custody-v1"

static const char *const protections[] = {
    [CUSTODY_PROTECTION_NONE] = "none",
    [CUSTODY_PROTECTION_SOFT_DELETE] = "soft-delete",
    [CUSTODY_PROTECTION_SOFT_DELETE_PURGE_PROTECTED] =
        "soft-delete-purge-protected",
    [CUSTODY_PROTECTION_TOKEN_PROTECTED] = "token-protected",
};

const char *custody_protection_text(enum custody_protection protection)
{
    size_t at = (size_t)protection;
    return at < HF_COUNT(protections) ? protections[at] : NULL;
}

HF_STATUS custody_protection_parse(const char *text,
                                   enum custody_protection *out)
{
    for (size_t i = CUSTODY_PROTECTION_NONE; i < HF_COUNT(protections); i++) {
        if (bytes_equal(bytes_of_text(text), bytes_of_text(protections[i]))) {
            *out = (enum custody_protection)i;
            return HF_OK;
        }
    }
    return HF_E_INVALID;
}

/* Days of retention without protection, or protection for no time, would be
 * read by a person as something that it is not. */
static bool retention_is_sound(const struct custody *custody)
{
    bool none = custody->protection == CUSTODY_PROTECTION_NONE;
    return custody->retention_days <= CUSTODY_RETENTION_DAYS_MAX &&
           none == (custody->retention_days == 0);
}

HF_STATUS custody_encode(const struct custody *custody,
                         uint8_t out[CUSTODY_MAX_BYTES], size_t *out_len)
{
    const char *protection = custody_protection_text(custody->protection);
    if (protection == NULL || !retention_is_sound(custody)) {
        return HF_E_INVALID;
    }
    struct statement_writer writer =
        statement_begin((char *)out, CUSTODY_MAX_BYTES, TITLE);
    statement_put_text(&writer, "domain", custody->domain, HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "deletion_protection", protection,
                       HF_NAME_MAX_BYTES);
    statement_put_number(&writer, "retention_days", custody->retention_days);
    statement_put_flag(&writer, "test_only", custody->test_only);
    statement_put_time(&writer, "created_at", custody->created_s);
    return statement_end(&writer, out_len);
}

HF_STATUS custody_parse(struct bytes text, struct custody *out)
{
    struct custody custody = {0};
    char protection[HF_NAME_MAX_BYTES + 1] = "";
    struct statement_reader reader = statement_read(text, TITLE);
    statement_get_text(&reader, "domain", custody.domain,
                       sizeof custody.domain);
    statement_get_text(&reader, "deletion_protection", protection,
                       sizeof protection);
    custody.retention_days = statement_get_number(&reader, "retention_days");
    custody.test_only = statement_get_flag(&reader, "test_only");
    custody.created_s = statement_get_time(&reader, "created_at");
    HF_TRY(statement_done(&reader));
    HF_TRY(custody_protection_parse(protection, &custody.protection));
    if (!retention_is_sound(&custody)) {
        return HF_E_INVALID;
    }
    *out = custody;
    return HF_OK;
}
