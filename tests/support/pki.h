/* pki: certificates for tests, made in the test (P-256, ECDSA with SHA-256).
 *
 *   struct pki_ca *ca = pki_ca_new("Test root", NULL);
 *   pki_ca_write(ca, dir, "ca.pem");
 *   pki_issue(ca, &(struct pki_leaf){.uris = {"spiffe://t/a"}}, dir, "alice");
 *   pki_crl_write(ca, &(struct pki_crl){.serials = {7}, .count = 1}, dir,
 *                 "crl.pem");
 *
 * Files are PEM in dir. Whatever goes wrong stops the test (CHECK): a test
 * without its certificates proves nothing. Threads: each object one thread.
 */
#pragma once

#include "hsm/base/own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PKI_DAY_S          ((int64_t)86400)
#define PKI_URIS_MAX       4
#define PKI_SERIALS_MAX    64
#define PKI_PATH_BYTES     512
#define PKI_NO_NEXT_UPDATE INT64_MIN /* a list that never ends: hostile */

struct pki_ca;

enum pki_usage {
    PKI_CLIENT,        /* extended key usage clientAuth */
    PKI_SERVER,        /* serverAuth */
    PKI_CLIENT_SERVER, /* both */
    PKI_CODE_SIGNING,  /* neither */
    PKI_ANY,           /* anyExtendedKeyUsage alone */
    PKI_NO_USAGE,      /* no such extension */
};

/* A zero field means the usual: valid from an hour ago for 30 days, the next
 * serial of the CA, PKI_CLIENT. */
struct pki_leaf {
    const char *common_name; /* NULL: the file's name */
    const char *uris[PKI_URIS_MAX];
    size_t uri_lens[PKI_URIS_MAX]; /* 0: up to the NUL; else with any byte */
    const char *dns;               /* NULL: none */
    const char *ip;                /* NULL: none; else a literal */
    int64_t not_before_s;          /* from now, may be negative */
    int64_t not_after_s;           /* from now */
    uint64_t serial;
    enum pki_usage usage;
    bool is_ca; /* basicConstraints CA:TRUE on a leaf: hostile */
};

struct pki_crl {
    uint64_t serials[PKI_SERIALS_MAX];
    size_t count;
    int64_t last_update_s; /* from now; 0: an hour ago */
    int64_t next_update_s; /* from now; 0: in 30 days; PKI_NO_NEXT_UPDATE */
};

/* pki_ca_new: a self-signed root, or an intermediate below parent, valid for
 * ten years. Gives: freed with pki_ca_free; the parent may be freed first. */
struct pki_ca *pki_ca_new(const char *common_name, struct pki_ca *parent);
uint64_t pki_ca_serial(const struct pki_ca *ca);
void pki_ca_free(struct pki_ca *ca);
HF_DEFINE_FREEP(struct pki_ca, pki_ca)

/* pki_ca_write: the CA's certificate into dir/file. */
void pki_ca_write(const struct pki_ca *ca, const char *dir, const char *file);

/* pki_issue: dir/name.crt (the leaf, then the intermediates up to but without
 * the root) and dir/name.key. Returns the serial. */
uint64_t pki_issue(struct pki_ca *ca, const struct pki_leaf *leaf,
                   const char *dir, const char *name);

/* pki_crl_write: the CA's revocation list into dir/file, replaced as a whole.
 * pki_append:    dir/file grows by the bytes of dir/from. */
void pki_crl_write(const struct pki_ca *ca, const struct pki_crl *crl,
                   const char *dir, const char *file);
void pki_append(const char *dir, const char *file, const char *from);

/* pki_text_write: any text into dir/file (garbage, an empty file). */
void pki_text_write(const char *dir, const char *file, const char *text);

/* pki_path: dir/file. pki_dir_new: a private folder; pki_dir_remove: with the
 * plain files and sockets in it. */
void pki_path(char out[PKI_PATH_BYTES], const char *dir, const char *file);
void pki_dir_new(char out_dir[PKI_PATH_BYTES]);
void pki_dir_remove(const char *dir);
