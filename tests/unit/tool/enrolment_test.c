/* The custodian's statement and the token's custody text: one text for one
 * meaning, and whose signature a statement bears. */
#include "hsm/base/check.h"
#include "hsm/base/custody.h"
#include "hsm/base/enrolment.h"

#include "hsm/sys/signature.h"

#include "tests/support/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <string.h>

static const struct enrolment example = {
    .tenant = "contoso",
    .token_label = "contoso-ck1",
    .token_serial = "8f2a4c1d5e6b7a90",
    .custody_domain = "contoso-hq",
    .protection = CUSTODY_PROTECTION_SOFT_DELETE_PURGE_PROTECTED,
    .retention_days = 90,
    .hardware = true,
    .issued_s = 1795510800,
};

static const char golden[] = "holdfast-enrolment-v1\n"
                             "tenant=contoso\n"
                             "token_label=contoso-ck1\n"
                             "token_serial=8f2a4c1d5e6b7a90\n"
                             "custody_domain=contoso-hq\n"
                             "deletion_protection=soft-delete-purge-protected\n"
                             "retention_days=90\n"
                             "test_only=false\n"
                             "hardware=true\n"
                             "issued_at=2026-11-24T09:00:00Z\n";

static const char golden_custody[] = "holdfast-custody-v1\n"
                                     "domain=contoso-hq\n"
                                     "deletion_protection=none\n"
                                     "retention_days=0\n"
                                     "test_only=true\n"
                                     "created_at=2026-11-24T09:00:00Z\n";

static void the_text_is_golden(void **state)
{
    (void)state;
    uint8_t text[ENROLMENT_MAX_BYTES];
    size_t len = 0;
    struct enrolment back;
    assert_ok(enrolment_encode(&example, text, &len));
    assert_int_equal(len, strlen(golden));
    assert_memory_equal(text, golden, len);
    assert_ok(enrolment_parse((struct bytes){text, len}, &back));
    assert_memory_equal(&back, &example, sizeof back);

    struct custody custody;
    assert_ok(custody_parse(bytes_of_text(golden_custody), &custody));
    assert_string_equal(custody.domain, "contoso-hq");
    assert_true(custody.test_only);
    assert_ok(custody_encode(&custody, text, &len));
    assert_int_equal(len, strlen(golden_custody));
    assert_memory_equal(text, golden_custody, len);
}

/* Every single byte changed to every other value is refused, or is another
 * statement that encodes to itself: never two texts for one meaning. */
static void no_second_text_for_one_meaning(void **state)
{
    (void)state;
    uint8_t text[sizeof golden - 1];
    for (size_t at = 0; at < sizeof text; at++) {
        for (unsigned value = 0; value < 256; value++) {
            struct enrolment parsed;
            uint8_t again[ENROLMENT_MAX_BYTES];
            size_t len = 0;
            memcpy(text, golden, sizeof text);
            text[at] = (uint8_t)value;
            if (enrolment_parse(BYTES_OF(text), &parsed) != HF_OK) {
                continue;
            }
            assert_ok(enrolment_encode(&parsed, again, &len));
            assert_int_equal(len, sizeof text);
            assert_memory_equal(again, text, len);
        }
    }
}

static void cut_or_longer_texts_are_refused(void **state)
{
    (void)state;
    struct enrolment parsed;
    char text[sizeof golden + 64];
    for (size_t len = 0; len < strlen(golden); len++) {
        assert_status(
            enrolment_parse((struct bytes){(const uint8_t *)golden, len},
                            &parsed),
            HF_E_INVALID);
    }
    for (size_t more = 1; more <= 64; more++) {
        memset(text, '\n', sizeof text);
        memcpy(text, golden, strlen(golden));
        assert_status(enrolment_parse((struct bytes){(const uint8_t *)text,
                                                     strlen(golden) + more},
                                      &parsed),
                      HF_E_INVALID);
    }
}

static void replace(const char *from, const char *to, char *out, size_t cap)
{
    const char *at = strstr(golden, from);
    assert_non_null(at);
    size_t before = (size_t)(at - golden);
    size_t after = strlen(at + strlen(from));
    assert_true(before + strlen(to) + after < cap);
    memcpy(out, golden, before);
    memcpy(out + before, to, strlen(to));
    memcpy(out + before + strlen(to), at + strlen(from), after + 1);
}

static void odd_values_are_refused(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"-v1",                           "-v2"                              },
        {"tenant=contoso",                "tenant="                          },
        {"tenant=contoso",                "tenant=a\tb"                      },
        {"tenant=contoso",                "tenant=a\x7f"                     },
        {"tenant=contoso",                "tenant=\xc3"                      },
        {"tenant=contoso",                "tenant=a\r"                       },
        {"tenant=contoso\n",              ""                                 },
        {"tenant=contoso\n",              "tenant=contoso\ntenant=contoso\n" },
        {"tenant=contoso\n",              "tenant=contoso\nextra=1\n"        },
        {"days=90",                       "days=090"                         },
        {"days=90",                       "days=-1"                          },
        {"days=90",                       "days=+90"                         },
        {"days=90",                       "days="                            },
        {"days=90",                       "days=0"                           },
        {"days=90",                       "days=36501"                       },
        {"days=90",                       "days=4294967296"                  },
        {"days=90",                       "days=99999999999999999999"        },
        {"only=false",                    "only=False"                       },
        {"only=false",                    "only=0"                           },
        {"soft-delete-purge-protected\n", "none\n"                           },
        {"soft-delete-purge-protected\n", "purge\n"                          },
        {"2026-11-24T09:00:00Z",          "2026-11-31T09:00:00Z"             },
        {"2026-11-24T09:00:00Z",          "2026-11-24t09:00:00Z"             },
        {"2026-11-24T09:00:00Z",          "2026-11-24T24:00:00Z"             },
        {"2026-11-24T09:00:00Z",          "2026-11-24T09:00:60Z"             },
        {"2026-11-24T09:00:00Z",          "2026-11-24T09:00:00+00:00"        },
        {"2026-11-24T09:00:00Z",          "1999-12-31T23:59:59Z"             },
        {"8f2a4c1d5e6b7a90",              "8f2a4c1d5e6b7a901"                },
        {"contoso-ck1",                   "123456789012345678901234567890123"},
    };
    for (size_t i = 0; i < HF_COUNT(changes); i++) {
        char text[sizeof golden + 64];
        struct enrolment parsed;
        replace(changes[i][0], changes[i][1], text, sizeof text);
        if (enrolment_parse(bytes_of_text(text), &parsed) != HF_E_INVALID) {
            fail_msg("accepted: %s", changes[i][1]);
        }
    }
}

static void what_cannot_be_said_is_not_written(void **state)
{
    (void)state;
    uint8_t text[ENROLMENT_MAX_BYTES];
    size_t len = 0;
    struct enrolment odd = example;
    odd.tenant[0] = '\0';
    assert_status(enrolment_encode(&odd, text, &len), HF_E_INVALID);
    odd = example;
    odd.token_label[3] = '\n';
    assert_status(enrolment_encode(&odd, text, &len), HF_E_INVALID);
    odd = example;
    odd.retention_days = 0;
    assert_status(enrolment_encode(&odd, text, &len), HF_E_INVALID);
    odd = example;
    odd.issued_s = 0;
    assert_status(enrolment_encode(&odd, text, &len), HF_E_INVALID);
    odd = example;
    memset(&odd.protection, 0, sizeof odd.protection);
    assert_status(enrolment_encode(&odd, text, &len), HF_E_INVALID);
}

struct signer {
    EVP_PKEY *key;
    uint8_t der[256];
    size_t der_len;
    char pem[512];
};

static void signer_make(struct signer *signer, EVP_PKEY *key)
{
    assert_non_null(key);
    signer->key = key;
    uint8_t *at = signer->der;
    int len = i2d_PUBKEY(key, NULL);
    assert_in_range(len, 1, sizeof signer->der);
    assert_int_equal(i2d_PUBKEY(key, &at), len);
    signer->der_len = (size_t)len;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    int pem_len = BIO_read(bio, signer->pem, sizeof signer->pem - 1);
    assert_true(pem_len > 0);
    signer->pem[pem_len] = '\0';
    BIO_free(bio);
}

static size_t sign(const struct signer *signer, struct bytes message,
                   uint8_t out[SIGNATURE_MAX_BYTES])
{
    const EVP_MD *hash =
        EVP_PKEY_get_base_id(signer->key) == EVP_PKEY_EC ? EVP_sha256() : NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = SIGNATURE_MAX_BYTES;
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, hash, NULL, signer->key), 1);
    assert_int_equal(EVP_DigestSign(ctx, out, &len, message.data, message.len),
                     1);
    EVP_MD_CTX_free(ctx);
    return len;
}

static void check_signer(const struct signer *signer,
                         const struct signer *other)
{
    struct bytes message = bytes_of_text(golden);
    struct bytes der = {signer->der, signer->der_len};
    uint8_t signature[SIGNATURE_MAX_BYTES];
    size_t len = sign(signer, message, signature);
    struct bytes signed_ = {signature, len};
    assert_ok(signature_verify(der, message, signed_));
    assert_ok(signature_verify(bytes_of_text(signer->pem), message, signed_));
    assert_status(signature_verify(bytes_of_text(other->pem), message, signed_),
                  HF_E_DENIED);
    /* another message; every bit; every length */
    assert_status(signature_verify(der, bytes_of_text(golden + 1), signed_),
                  HF_E_DENIED);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_status(signature_verify(der, message, signed_), HF_E_DENIED);
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_status(
            signature_verify(der, message, (struct bytes){signature, cut}),
            HF_E_DENIED);
    }
    uint8_t from_pem[HF_SHA256_BYTES];
    uint8_t from_der[HF_SHA256_BYTES];
    assert_ok(signature_key_fingerprint(der, from_der));
    assert_ok(signature_key_fingerprint(bytes_of_text(signer->pem), from_pem));
    assert_memory_equal(from_pem, from_der, sizeof from_pem);
}

static void signatures_are_the_owners(void **state)
{
    (void)state;
    struct signer p256;
    struct signer ed25519;
    signer_make(&p256, EVP_EC_gen("P-256"));
    signer_make(&ed25519, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    check_signer(&p256, &ed25519);
    check_signer(&ed25519, &p256);
    EVP_PKEY_free(p256.key);
    EVP_PKEY_free(ed25519.key);
}

static void other_keys_are_not_accepted(void **state)
{
    (void)state;
    EVP_PKEY *keys[] = {EVP_EC_gen("P-384"), EVP_EC_gen("secp256k1"),
                        EVP_RSA_gen(2048)};
    uint8_t fingerprint[HF_SHA256_BYTES];
    for (size_t i = 0; i < HF_COUNT(keys); i++) {
        uint8_t der[512];
        uint8_t *at = der;
        int len = i2d_PUBKEY(keys[i], &at);
        assert_true(len > 0);
        assert_status(signature_verify((struct bytes){der, (size_t)len},
                                       bytes_of_text("m"), BYTES_OF(der)),
                      HF_E_INVALID);
        EVP_PKEY_free(keys[i]);
    }
    struct signer p256;
    signer_make(&p256, EVP_EC_gen("P-256"));
    p256.der[p256.der_len] = 0; /* something stands behind it */
    assert_status(signature_key_fingerprint(
                      (struct bytes){p256.der, p256.der_len + 1}, fingerprint),
                  HF_E_INVALID);
    for (size_t cut = 0; cut < p256.der_len; cut++) {
        assert_status(signature_key_fingerprint((struct bytes){p256.der, cut},
                                                fingerprint),
                      HF_E_INVALID);
    }
    assert_status(signature_key_fingerprint(
                      bytes_of_text("-----BEGIN PUBLIC KEY-----"), fingerprint),
                  HF_E_INVALID);
    EVP_PKEY_free(p256.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_is_golden),
        cmocka_unit_test(no_second_text_for_one_meaning),
        cmocka_unit_test(cut_or_longer_texts_are_refused),
        cmocka_unit_test(odd_values_are_refused),
        cmocka_unit_test(what_cannot_be_said_is_not_written),
        cmocka_unit_test(signatures_are_the_owners),
        cmocka_unit_test(other_keys_are_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
