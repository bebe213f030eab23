#include "hsm/pkcs11/examine.h"

#include "hsm/base/check.h"

#include "hsm/pkcs11/data.h"
#include "hsm/pkcs11/generate.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/object.h"
#include "hsm/pkcs11/proof.h"
#include "hsm/pkcs11/session_pool.h"

#include <stdlib.h>
#include <string.h>

static void found(struct token_findings *findings, enum token_ability ability,
                  bool can)
{
    findings->of[ability] = can ? TOKEN_CAN : TOKEN_CANNOT;
}

static struct token_key probe_key(enum token_key_type type)
{
    struct token_key key = {.type = type, .id_len = sizeof SELFTEST_OBJECT - 1};
    memcpy(key.id, SELFTEST_OBJECT, key.id_len);
    return key;
}

/* Every object of that name, whatever made it; work->session is another one
 * afterwards. */
static void sweep(struct p11_work *work)
{
    const struct token_destroy destroy = {.key = probe_key(TOKEN_KEY_RSA)};
    HF_IGNORE(p11_destroy(work, &destroy),
              "what stays is named so that its owner knows it");
    p11_session_end(work);
}

static bool make(struct p11_work *work, enum token_purpose purpose,
                 uint32_t bits, struct token_key_report *report)
{
    CK_OBJECT_HANDLE made[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct token_generate how = {.purpose = purpose,
                                 .bits = bits,
                                 .label = SELFTEST_OBJECT,
                                 .id = SELFTEST_OBJECT,
                                 .id_len = sizeof SELFTEST_OBJECT - 1,
                                 .report = report};
    bool done = p11_generate(work, &how, made) == HF_OK;
    p11_session_end(work);
    return done;
}

static bool is_found(struct p11_work *work, const struct token_key *key,
                     CK_OBJECT_HANDLE *out)
{
    struct token_key real;
    return p11_session_need(work) == HF_OK &&
           p11_key_search(work, key, &real, out) == HF_OK;
}

/* Of a key as Holdfast makes them. SoftHSM 2.6.1 copies none that is not
 * CKA_MODIFIABLE (CKR_ATTRIBUTE_READ_ONLY for CKA_TOKEN): there the record MAC
 * key is used as it is. */
static bool is_copied(struct p11_work *work, CK_OBJECT_HANDLE key)
{
    struct p11_template differences = {.count = 0};
    CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
    p11_add_flag(&differences, CKA_TOKEN, false);
    return P11_CALL(work, C_CopyObject, work->session, key, differences.at,
                    differences.count, &copy) == HF_OK;
}

/* With the pinned fingerprint, as a customer key is found. */
static void try_rsa(struct p11_work *work, struct token_findings *findings)
{
    struct token_key_report report;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    bool made = make(work, TOKEN_FOR_CANARY, HF_RSA_MIN_BITS, &report);
    found(findings, TOKEN_ABILITY_RSA_TOKEN, made);
    if (made) {
        found(findings, TOKEN_ABILITY_FIND_ID,
              is_found(work, &report.key, &handle));
        if (handle != CK_INVALID_HANDLE) {
            found(findings, TOKEN_ABILITY_COPY, is_copied(work, handle));
        }
    }
    work->suspect = true;
    p11_session_end(work);
    sweep(work);
}

static void try_aes(struct p11_work *work, struct token_findings *findings)
{
    struct token_key_report report;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    bool made = make(work, TOKEN_FOR_AVAILABILITY_KEY, 0, &report);
    found(findings, TOKEN_ABILITY_AES_TOKEN, made);
    if (made && is_found(work, &report.key, &handle)) {
        found(findings, TOKEN_ABILITY_COPY, is_copied(work, handle));
    }
    work->suspect = true;
    p11_session_end(work);
    sweep(work);
}

static bool same_data(const struct token_data *a, const struct token_data *b)
{
    return bytes_equal((struct bytes){a->value, a->value_len},
                       (struct bytes){b->value, b->value_len});
}

static void try_data(struct p11_work *work, struct token_findings *findings)
{
    const struct token_data data = {
        .label = SELFTEST_OBJECT, .value = "holdfast", .value_len = 8};
    CK_OBJECT_HANDLE made[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    struct token_data *items = NULL;
    size_t count = 0;
    HF_IGNORE(p11_data_destroy(work, &data), "there is none, as a rule");
    bool can = p11_data_create(work, &data, made) == HF_OK &&
               p11_data_list(work, data.label, 2, &items, &count) == HF_OK &&
               count == 1 && same_data(items, &data) &&
               p11_data_destroy(work, &data) == HF_OK;
    free(items);
    found(findings, TOKEN_ABILITY_DATA, can);
    work->suspect = true;
    p11_session_end(work);
}

/* Where no session makes a pair, one in the token tells whether it signs. */
static void try_ecdsa(struct p11_work *work, struct token_findings *findings)
{
    struct pkcs11_refusal refusal = {.text = ""};
    struct selftest test = {.work = work,
                            .refusal = &refusal,
                            .findings = findings,
                            .whole = true,
                            .value = {1}};
    CK_OBJECT_HANDLE pair[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    if (findings->of[TOKEN_ABILITY_ECDSA] != TOKEN_UNTRIED) {
        return;
    }
    bool made = p11_session_need(work) == HF_OK &&
                selftest_ec_pair(&test, true, pair) == HF_OK;
    found(findings, TOKEN_ABILITY_ECDSA, false);
    if (made) {
        HF_IGNORE(selftest_ecdsa(&test, pair[0]), "the findings have it");
    }
    work->suspect = true;
    p11_session_end(work);
    sweep(work);
}

void p11_examine(struct p11_work *work, struct token_findings *findings)
{
    sweep(work);
    try_rsa(work, findings);
    try_aes(work, findings);
    try_ecdsa(work, findings);
    try_data(work, findings);
}
