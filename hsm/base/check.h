/* check: what our own code guarantees.
 *
 * CHECK(x) stops the process when x is false, in release builds too. It is for
 * our own bugs only; whatever a peer, a file, a token or a database can cause
 * is an hf_status.
 */
#pragma once

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (__builtin_expect(!(condition), 0)) {                               \
            check_failed(#condition, __FILE__, __LINE__);                      \
        }                                                                      \
    } while (0)

/* check_failed: writes one line to standard error and aborts. */
__attribute__((noreturn)) void check_failed(const char *condition,
                                            const char *file, int line);

#define HF_COUNT(array) (sizeof(array) / sizeof((array)[0]))
