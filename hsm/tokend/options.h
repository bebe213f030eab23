/* options: what holdfast-tokend is started with. Never a secret: PINs come by
 * other ways. */
#pragma once

#include "hsm/sys/log.h"

#include "hsm/pkcs11/pkcs11.h"
#include "hsm/tokend/pins.h"

#include <stdbool.h>
#include <stdint.h>

struct tokend_options {
    const char *name; /* of the token for people; by default its label */
    const char *module;
    const char *label;
    const char *serial; /* NULL: any */
    enum pin_source pin_source;
    unsigned sources; /* how many were named */
    const char *pin_file;
    const char *activation; /* a socket's path; NULL: none */
    enum pkcs11_sync sync;
    const char *sync_path;
    uint32_t sessions;
    uint32_t queue;
    uint32_t memory_mb;
    const char *listen; /* a socket's path; NULL: the control socket is
                           inherited */
    bool has_peer;
    uint32_t peer; /* a user that may connect to it */
    uint32_t first_worker;
    uint64_t refused_pin;
    enum log_level log_level;
    bool child;
    uint32_t worker; /* of a child: its number */
};

/* options_read: -1: go on; else the exit code: help was asked for, or something
 * is wrong and said so. */
int options_read(int argc, char **argv, struct tokend_options *out);
