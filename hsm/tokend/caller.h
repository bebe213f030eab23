/* caller: whoever brings the PIN (hsm/worker/activation.h): one at a time, of
 * this user or root, and told what came of it. */
#pragma once

#include "hsm/base/status.h"

#include "hsm/sys/secret.h"

#include "hsm/tokend/options.h"

struct caller {
    const struct tokend_options *options;
    int listener; /* -1: PINs are not brought */
    int socket;   /* -1: nobody is there */
    bool asked;   /* his PIN is being tried */
};

/* caller_open: HF_OK, also when the options name no place for it; HF_E_IO and
 * what door_open returns. */
HF_STATUS caller_open(struct caller *caller,
                      const struct tokend_options *options);
void caller_close(struct caller *caller);
void caller_accept(struct caller *caller);
/* caller_hear: HF_OK with *out_pin, when he has brought one; else nothing is to
 * be done. */
HF_STATUS caller_hear(struct caller *caller, struct secret **out_pin);
/* caller_tell: if one waits for it. */
void caller_tell(struct caller *caller, enum hf_status status, const char *why);
