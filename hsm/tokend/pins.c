#include "hsm/tokend/pins.h"

#include "hsm/base/check.h"
#include "hsm/base/limits.h"

#include "hsm/sys/secret_file.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REFUSED_MAX 64

struct pins {
    enum pin_source source;
    const char *path;
    struct secret *key; /* of the digests */
    struct secret *used;
    struct secret *candidate;
    bool trying;           /* what pins_to_try gave is being tried */
    bool trying_candidate; /* and it was the candidate */
    bool tried_candidate;  /* pins_to_try has given the candidate before */
    bool cut_off;          /* the candidate, once */
    uint8_t refused[REFUSED_MAX][HF_SHA256_BYTES];
    size_t refused_count; /* ever; the oldest are overwritten */
    uint64_t seen;        /* the mark of the file at the last look */
    uint64_t read;        /* and when it was read */
    uint64_t refused_file;
    enum hf_status read_status;
};

HF_STATUS pins_new(enum pin_source source, const char *path, uint64_t refused,
                   struct pins **out_pins)
{
    HF_OWNED(pins_freep) struct pins *pins = calloc(1, sizeof *pins);
    if (pins == NULL) {
        return HF_E_NO_MEMORY;
    }
    pins->source = source;
    pins->path = path;
    pins->refused_file = refused;
    HF_TRY(secret_random(HF_SHA256_BYTES, &pins->key));
    *out_pins = HF_GIVE(pins);
    return HF_OK;
}

void pins_free(struct pins *pins)
{
    if (pins != NULL) {
        secret_free(pins->key);
        secret_free(pins->used);
        secret_free(pins->candidate);
        free(pins);
    }
}

static bool digest_of(const struct pins *pins, const struct secret *pin,
                      uint8_t out[HF_SHA256_BYTES])
{
    return HMAC(EVP_sha256(), secret_bytes(pins->key), HF_SHA256_BYTES,
                secret_bytes(pin), secret_len(pin), out, NULL) != NULL;
}

/* One of which that cannot be told counts as refused. */
static bool was_refused(const struct pins *pins, const struct secret *pin)
{
    uint8_t digest[HF_SHA256_BYTES];
    bool yes = !digest_of(pins, pin, digest);
    size_t stored =
        pins->refused_count < REFUSED_MAX ? pins->refused_count : REFUSED_MAX;
    for (size_t i = 0; i < stored; i++) {
        yes =
            yes || equal_constant_time(pins->refused[i], digest, sizeof digest);
    }
    return yes;
}

HF_STATUS pins_offer(struct pins *pins, struct secret *pin)
{
    HF_OWNED(secret_freep) struct secret *offered = pin;
    if (was_refused(pins, offered)) {
        return HF_E_DENIED;
    }
    if (pins->used != NULL && secret_equal(pins->used, offered)) {
        return HF_E_EXISTS;
    }
    if (pins->trying) {
        return HF_E_CONFLICT;
    }
    secret_free(pins->candidate);
    pins->candidate = HF_GIVE(offered);
    pins->tried_candidate = false;
    pins->cut_off = false;
    return HF_OK;
}

/* Which state of the file it is; 0: there is no file. */
static uint64_t mark_of(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0) {
        return 0;
    }
    const uint64_t parts[] = {
        (uint64_t)facts.st_ino, (uint64_t)facts.st_dev, (uint64_t)facts.st_size,
        (uint64_t)facts.st_mtim.tv_sec, (uint64_t)facts.st_mtim.tv_nsec};
    uint64_t mark = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < HF_COUNT(parts); i++) {
        mark = (mark ^ parts[i]) * UINT64_C(0x100000001b3);
        mark ^= mark >> 29;
    }
    return mark != 0 ? mark : 1;
}

HF_STATUS pins_look(struct pins *pins, bool at_once)
{
    if (pins->source != PIN_FROM_FILE) {
        return HF_OK;
    }
    uint64_t mark = mark_of(pins->path);
    bool settled = at_once || mark == pins->seen;
    pins->seen = mark;
    if (mark != 0 && (mark == pins->read || !settled)) {
        return pins->read_status;
    }
    struct secret *pin = NULL;
    pins->read = mark;
    pins->read_status = secret_from_file(pins->path, &pin);
    if (pins->read_status != HF_OK) {
        return pins->read_status;
    }
    if (mark == pins->refused_file) {
        secret_free(pin);
        return HF_OK;
    }
    if (pins_offer(pins, pin) == HF_E_CONFLICT) {
        pins->read = 0; /* at the next look */
    }
    return HF_OK;
}

bool pins_is_new(const struct pins *pins)
{
    return pins->candidate != NULL;
}

bool pins_is_untried(const struct pins *pins)
{
    return pins->candidate != NULL && !pins->tried_candidate;
}

bool pins_have_worked(const struct pins *pins)
{
    return pins->used != NULL;
}

bool pins_may_work_again(const struct pins *pins)
{
    return pins->used != NULL && !was_refused(pins, pins->used);
}

HF_STATUS pins_to_try(struct pins *pins, const struct secret **out_pin)
{
    pins->trying_candidate = pins->candidate != NULL;
    pins->tried_candidate = pins->trying_candidate;
    *out_pin = pins->trying_candidate ? pins->candidate : pins->used;
    pins->trying = pins->source == PIN_FROM_PAD ||
                   (*out_pin != NULL && !was_refused(pins, *out_pin));
    return pins->trying ? HF_OK : HF_E_NOT_FOUND;
}

void pins_undecided(struct pins *pins)
{
    pins->trying = false;
    pins->trying_candidate = false;
}

void pins_proved(struct pins *pins)
{
    if (pins->trying_candidate) {
        secret_free(pins->used);
        pins->used = HF_GIVE(pins->candidate);
    }
    pins->refused_file = 0;
    pins_undecided(pins);
}

void pins_refused(struct pins *pins)
{
    const struct secret *pin =
        pins->trying_candidate ? pins->candidate : pins->used;
    if (pin == NULL) { /* entered at the token itself */
        pins_undecided(pins);
        return;
    }
    uint8_t *place = pins->refused[pins->refused_count % REFUSED_MAX];
    if (digest_of(pins, pin, place)) {
        pins->refused_count += 1;
    }
    if (pins->source == PIN_FROM_FILE) {
        pins->refused_file = pins->read;
    }
    if (pins->trying_candidate) {
        secret_freep(&pins->candidate);
    }
    pins_undecided(pins);
}

bool pins_cut_off(struct pins *pins)
{
    bool again = pins->trying_candidate && pins->cut_off;
    pins->cut_off = pins->trying_candidate;
    if (again) {
        pins_refused(pins);
    } else {
        pins_undecided(pins);
    }
    return again;
}

uint64_t pins_refused_file(const struct pins *pins)
{
    return pins->refused_file;
}
