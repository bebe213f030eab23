/* own: ownership and early return, written where the variable is born.
 *
 *   HF_OWNED(secret_freep) struct secret *key = NULL;   freed on every return
 *   HF_TRY(secret_new(32, &key));                       returns on failure
 *   *out_key = HF_GIVE(key);                            last step: hand it over
 *
 * HF_TRY is the only macro that returns.
 */
#pragma once

#include "hsm/base/status.h"

#define HF_OWNED(cleanup_fn) __attribute__((cleanup(cleanup_fn)))

#define HF_TRY(call)                                                           \
    do {                                                                       \
        enum hf_status hf_try_status_ = (call);                                \
        if (hf_try_status_ != HF_OK) {                                         \
            return hf_try_status_;                                             \
        }                                                                      \
    } while (0)

/* HF_GIVE: the value of a pointer, which becomes NULL: ownership leaves. */
#define HF_GIVE(pointer)                                                       \
    __extension__({                                                            \
        __typeof__(pointer) hf_given_ = (pointer);                             \
        (pointer) = NULL;                                                      \
        hf_given_;                                                             \
    })

/* HF_IGNORE: a status that is not acted on, with the reason why. */
#define HF_IGNORE(call, why)                                                   \
    do {                                                                       \
        _Static_assert(sizeof(why) > 8, "say why");                            \
        enum hf_status hf_ignored_ = (call);                                   \
        (void)hf_ignored_;                                                     \
    } while (0)

/* HF_DEFINE_FREEP: the cleanup function of a type that has TYPE_free. */
#define HF_DEFINE_FREEP(type, name)                                            \
    static inline void name##_freep(type **pointer)                            \
    {                                                                          \
        name##_free(*pointer);                                                 \
        *pointer = NULL;                                                       \
    }
