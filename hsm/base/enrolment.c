#include "hsm/base/enrolment.h"

#include "hsm/base/own.h"
#include "hsm/base/statement.h"

#define TITLE "holdfast-enrolment-v1"

/* The same rule as for a token's own custody text. */
static bool retention_is_sound(const struct enrolment *enrolment)
{
    bool none = enrolment->protection == CUSTODY_PROTECTION_NONE;
    return enrolment->retention_days <= CUSTODY_RETENTION_DAYS_MAX &&
           none == (enrolment->retention_days == 0);
}

HF_STATUS enrolment_encode(const struct enrolment *enrolment,
                           uint8_t out[ENROLMENT_MAX_BYTES], size_t *out_len)
{
    const char *protection = custody_protection_text(enrolment->protection);
    if (protection == NULL || !retention_is_sound(enrolment)) {
        return HF_E_INVALID;
    }
    struct statement_writer writer =
        statement_begin((char *)out, ENROLMENT_MAX_BYTES, TITLE);
    statement_put_text(&writer, "tenant", enrolment->tenant, HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "token_label", enrolment->token_label,
                       ENROLMENT_LABEL_MAX_BYTES);
    statement_put_text(&writer, "token_serial", enrolment->token_serial,
                       ENROLMENT_SERIAL_MAX_BYTES);
    statement_put_text(&writer, "custody_domain", enrolment->custody_domain,
                       HF_NAME_MAX_BYTES);
    statement_put_text(&writer, "deletion_protection", protection,
                       HF_NAME_MAX_BYTES);
    statement_put_number(&writer, "retention_days", enrolment->retention_days);
    statement_put_flag(&writer, "test_only", enrolment->test_only);
    statement_put_flag(&writer, "hardware", enrolment->hardware);
    statement_put_time(&writer, "issued_at", enrolment->issued_s);
    return statement_end(&writer, out_len);
}

HF_STATUS enrolment_parse(struct bytes statement, struct enrolment *out)
{
    struct enrolment enrolment = {0};
    char protection[HF_NAME_MAX_BYTES + 1] = "";
    struct statement_reader reader = statement_read(statement, TITLE);
    statement_get_text(&reader, "tenant", enrolment.tenant,
                       sizeof enrolment.tenant);
    statement_get_text(&reader, "token_label", enrolment.token_label,
                       sizeof enrolment.token_label);
    statement_get_text(&reader, "token_serial", enrolment.token_serial,
                       sizeof enrolment.token_serial);
    statement_get_text(&reader, "custody_domain", enrolment.custody_domain,
                       sizeof enrolment.custody_domain);
    statement_get_text(&reader, "deletion_protection", protection,
                       sizeof protection);
    enrolment.retention_days = statement_get_number(&reader, "retention_days");
    enrolment.test_only = statement_get_flag(&reader, "test_only");
    enrolment.hardware = statement_get_flag(&reader, "hardware");
    enrolment.issued_s = statement_get_time(&reader, "issued_at");
    HF_TRY(statement_done(&reader));
    HF_TRY(custody_protection_parse(protection, &enrolment.protection));
    if (!retention_is_sound(&enrolment)) {
        return HF_E_INVALID;
    }
    *out = enrolment;
    return HF_OK;
}
