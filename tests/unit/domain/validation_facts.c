#include "tests/unit/domain/validation_facts.h"

#include "tests/support/unit.h"

#include <stdio.h>

static struct key_facts good_key(uint8_t number)
{
    struct key_facts key = {
        .reachable = true,
        .exists = true,
        .is_rsa = true,
        .bits = 3072,
        .enabled = true,
        .sensitive = true,
        .always_sensitive = true,
        .never_extractable = true,
        .can_unwrap = true,
        .mechanism_ok = true,
        .round_trip_ok = true,
        .has_get = true,
        .has_wrap = true,
        .has_unwrap = true,
        .key_record = {{number, 1}},
        .fingerprint = {number,      2},
        .token_record = {{number, 3}          },
        .domain_declared = true,
        .token_in_domain = true,
        .hardware = true,
        .protection = PROTECTION_TOKEN_PROTECTED,
        .retention_days = 90,
        .measured_ms = VALIDATION_NOW_MS,
    };
    snprintf(key.token_serial, sizeof key.token_serial, "00000000000000%02x",
             (unsigned)number);
    snprintf(key.custody_domain, sizeof key.custody_domain, "domain-%u",
             (unsigned)number);
    return key;
}

struct validation_facts good_pair(void)
{
    return (struct validation_facts){
        .keys = {good_key(1), good_key(2)},
        .dep_type = DEP_TYPE_EXCHANGE_MAILBOX,
        .residency = RESIDENCY_TOKEN,
        .production_tenant = true,
        .approvers_recorded = true,
        .licensed = true,
        .now_ms = VALIDATION_NOW_MS,
    };
}

const struct check_result *finding(const struct validation_report *report,
                                   enum check_code code, int key)
{
    const struct check_result *found = NULL;
    for (size_t i = 0; i < report->count; i++) {
        if (report->results[i].code == code && report->results[i].key == key) {
            assert_null(found);
            found = &report->results[i];
        }
    }
    assert_non_null(found);
    return found;
}
