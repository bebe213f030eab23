/* softhsm: a SoftHSM of the test's own, in a temporary folder.
 *
 * SoftHSM reads its configuration when it is initialised, so softhsm_start and
 * softhsm_add_token come before the first pkcs11_open of the process; a process
 * has one at a time.
 */
#pragma once

#include "hsm/base/status.h"

struct softhsm {
    char folder[256]; /* 0700, removed by softhsm_stop */
    char conf[300];   /* SOFTHSM2_CONF of this process and its children */
    char tokens[300]; /* the token directory: for sync_path */
};

/* softhsm_start: makes the folder under TMPDIR (else /tmp) and points
 * SOFTHSM2_CONF at it.
 * Returns   HF_OK; HF_E_UNSUPPORTED when SoftHSM is not installed; HF_E_IO. */
HF_STATUS softhsm_start(struct softhsm *out);

/* softhsm_add_token: an empty token with this label, user PIN and SO PIN, made
 * by softhsm2-util in a process of its own. HF_OK; HF_E_IO. */
HF_STATUS softhsm_add_token(const struct softhsm *softhsm, const char *label,
                            const char *pin, const char *so_pin);

/* softhsm_stop: removes everything. Every token of this process is closed. */
void softhsm_stop(struct softhsm *softhsm);

/* softhsm_module: the path of libsofthsm2.so; NULL when it is not installed.
 * HF_SOFTHSM_MODULE in the environment wins. */
const char *softhsm_module(void);

/* softhsm_run: runs a program and waits for it; quiet: its output goes nowhere.
 * Returns   its exit status, or -1. */
int softhsm_run(const char *const argv[], int quiet);
