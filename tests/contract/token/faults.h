/* faults: two SoftHSM tokens behind the fault shim, for the tests of what the
 * adapter does when a token misbehaves. */
#pragma once

#include "hsm/pkcs11/pkcs11.h"

#include "tests/contract/token/calls.h"
#include "tests/support/fault_control.h"
#include "tests/support/softhsm.h"
#include "tests/support/unit.h"

struct fault_rig {
    struct softhsm softhsm;
    struct fault_control faults;
    struct secret *pin;
    struct token token[2];           /* "fault-a" and "fault-b" */
    struct token_key_report root[2]; /* RSA-2048, TOKEN */
    struct token_key_report memory;  /* the others are in fault-a */
    struct token_key_report ak;
    struct token_key_report mac;
    struct wrapped blob[2];        /* a key under each root */
    struct wrapped memory_blob;    /* and under `memory` */
    struct token_object object[2]; /* unwrapped from blob */
    enum token_suite suite;
};

extern struct fault_rig rig;

/* rig_run: starts SoftHSM and the shim; then the tests, with rig_set_up and
 * rig_tear_down around the group. */
int rig_start(void);
void rig_stop(void);
int rig_set_up(void **state);
int rig_tear_down(void **state);
/* rig_calm: between tests: no rules, no log, fresh objects. */
int rig_calm(void **state);

struct pkcs11_settings rig_settings(size_t which);
HF_STATUS rig_open(size_t which, struct token *out);

/* faults(format, ...): these rules and no others. */
__attribute__((format(printf, 1, 2))) void faults(const char *format, ...);

HF_STATUS rig_unwrap(size_t which, struct token_object *object);
HF_STATUS rig_decrypt(void);
HF_STATUS rig_seal(size_t which);
/* rig_open_sealed: opens what was sealed under object[which] at the start. */
HF_STATUS rig_open_sealed(size_t which);
int64_t now_ms(void);
