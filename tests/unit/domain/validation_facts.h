/* A pair of keys with nothing to be said against it, to be spoiled. */
#pragma once

#include "server/domain/validation.h"

#define VALIDATION_NOW_MS 1795478400000ll /* 2026-11-24 */

struct validation_facts good_pair(void);
/* finding: the one result of that code for that key (-1: the pair). */
const struct check_result *finding(const struct validation_report *report,
                                   enum check_code code, int key);
