/* unit: cmocka with what its header expects to have been included before it. */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#include "hsm/base/status.h"

/* assert_status: as assert_int_equal, with names instead of numbers. */
#define assert_status(call, expected)                                          \
    assert_string_equal(hf_status_name(call), hf_status_name(expected))

#define assert_ok(call) assert_status((call), HF_OK)
