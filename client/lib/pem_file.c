#include "client/lib/pem_file.h"

#include "hsm/base/limits.h"
#include "hsm/base/own.h"

#include "client/lib/error.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void pem_files_clear(struct pem_files *files)
{
    free(files->ca);
    free(files->certificate);
    secret_free(files->key);
    *files = (struct pem_files){0};
}

static enum hf_code refuse(struct hf_error *error, const char *what,
                           const char *path, const char *why)
{
    char text[ERROR_TEXT_MAX_BYTES];
    bool named = path != NULL && path[0] != '\0';
    (void)snprintf(text, sizeof text, "%s%s%s: %s", what, named ? " " : "",
                   named ? path : "", why);
    return error_set(error, HF_CODE_INVALID_ARGUMENT, "CLIENT_SETTINGS", text);
}

static void closep(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* read_whole: NULL for a file of at most max bytes, read into into (which has
 * room for max); else why not. */
static const char *read_whole(const char *path, uint8_t *into, size_t max,
                              size_t *out_len)
{
    HF_OWNED(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return strerror(errno);
    }
    size_t len = 0;
    while (len < max) {
        ssize_t got = read(fd, into + len, max - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return strerror(errno);
        }
        if (got == 0) {
            break;
        }
        len += (size_t)got;
    }
    if (len == max) {
        return "too large";
    }
    *out_len = len;
    return NULL;
}

static void bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

static bool holds_certificate(const uint8_t *pem, size_t len)
{
    HF_OWNED(bio_freep) BIO *bio = BIO_new_mem_buf(pem, (int)len);
    if (bio == NULL) {
        return false;
    }
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509_free(certificate);
    return certificate != NULL;
}

static int no_password(char *buffer, int size, int writing, void *self)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)self;
    return -1; /* else OpenSSL would ask on the terminal */
}

static bool holds_key(const struct secret *pem, size_t len)
{
    HF_OWNED(bio_freep)
    BIO *bio = BIO_new_mem_buf(secret_bytes(pem), (int)len);
    if (bio == NULL) {
        return false;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    EVP_PKEY_free(key);
    return key != NULL;
}

static enum hf_code read_certificates(const char *what, const char *path,
                                      uint8_t **out, struct hf_error *error)
{
    if (path == NULL || path[0] == '\0') {
        return refuse(error, what, path, "none is named");
    }
    uint8_t *text = calloc(1, PEM_CERTIFICATES_MAX_BYTES + 1);
    if (text == NULL) {
        return error_set(error, HF_CODE_RESOURCE_EXHAUSTED, "CLIENT_RESOURCES",
                         "out of memory");
    }
    *out = text; /* freed with the rest */
    size_t len = 0;
    const char *why = read_whole(path, text, PEM_CERTIFICATES_MAX_BYTES, &len);
    if (why != NULL) {
        return refuse(error, what, path, why);
    }
    if (!holds_certificate(text, len)) {
        return refuse(error, what, path, "holds no certificate in PEM form");
    }
    return HF_CODE_OK;
}

static enum hf_code read_key(const char *path, struct secret **out,
                             struct hf_error *error)
{
    const char *what = "key file";
    if (path == NULL || path[0] == '\0') {
        return refuse(error, what, path, "none is named");
    }
    if (secret_new(HF_SECRET_MAX_BYTES, out) != HF_OK) {
        return error_set(error, HF_CODE_RESOURCE_EXHAUSTED, "CLIENT_RESOURCES",
                         "no locked memory left");
    }
    size_t len = 0;
    const char *why =
        read_whole(path, secret_writable(*out), HF_SECRET_MAX_BYTES, &len);
    if (why != NULL) {
        return refuse(error, what, path, why);
    }
    /* shorter than the buffer, which was zeroed: a NUL follows */
    if (!holds_key(*out, len)) {
        return refuse(error, what, path,
                      "holds no unencrypted private key in PEM form");
    }
    return HF_CODE_OK;
}

enum hf_code pem_files_read(const struct hf_settings *settings,
                            struct pem_files *files, struct hf_error *error)
{
    enum hf_code code =
        read_certificates("CA file", settings->ca_file, &files->ca, error);
    if (code == HF_CODE_OK) {
        code = read_certificates("certificate file", settings->certificate_file,
                                 &files->certificate, error);
    }
    if (code == HF_CODE_OK) {
        code = read_key(settings->key_file, &files->key, error);
    }
    return code;
}
