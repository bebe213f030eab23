#include "server/edge/engine/token_key.h"

#include "hsm/base/bytes.h"
#include "hsm/base/limits.h"
#include "hsm/base/own.h"

#include "hsm/sys/secret.h"
#include "hsm/sys/secret_file.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ui.h>
#ifndef OPENSSL_NO_ENGINE
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <openssl/engine.h>
#endif

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ENGINE_NAME "pkcs11"

__attribute__((format(printf, 4, 5))) static enum hf_status
fail(enum hf_status status, char *why, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, cap, format, args);
    va_end(args);
    ERR_clear_error();
    return status;
}

#ifdef OPENSSL_NO_ENGINE

HF_STATUS token_key_load(const struct token_key_source *from,
                         EVP_PKEY **out_key, char *why, size_t cap)
{
    (void)from;
    (void)out_key;
    return fail(HF_E_INVALID, why, cap, "this OpenSSL knows no engines");
}

#else

/* Engine and module are loaded once for the process, and stay. */
static struct {
    pthread_mutex_t lock;
    ENGINE *engine;
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void engine_drop(ENGINE **engine)
{
    ENGINE_free(*engine); /* NULL-safe */
}

static HF_STATUS engine_need(const struct token_key_source *from, char *why,
                             size_t cap)
{
    if (state.engine != NULL) {
        return HF_OK;
    }
    ENGINE_load_builtin_engines(); /* "dynamic", which finds the others */
    HF_OWNED(engine_drop) ENGINE *engine = ENGINE_by_id(ENGINE_NAME);
    if (engine == NULL) {
        return fail(HF_E_INVALID, why, cap,
                    "OpenSSL has no engine " ENGINE_NAME
                    ": install libengine-pkcs11-openssl");
    }
    if (ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", from->module, 0) != 1 ||
        ENGINE_init(engine) != 1) {
        return fail(HF_E_INVALID, why, cap, "the module %s cannot be loaded",
                    from->module);
    }
    state.engine = HF_GIVE(engine);
    return HF_OK;
}

static HF_STATUS pin_read(const struct token_key_source *from,
                          struct secret **out_pin, char *why, size_t cap)
{
    HF_OWNED(secret_freep) struct secret *line = NULL;
    HF_OWNED(secret_freep) struct secret *text = NULL;
    enum hf_status status = secret_from_file(from->pin_file, &line);
    if (status != HF_OK) {
        return fail(HF_E_INVALID, why, cap,
                    "the PIN file %s: %s; it must be owner-only and hold one "
                    "line",
                    from->pin_file, hf_status_text(status));
    }
    HF_TRY(
        secret_new(secret_len(line) + 1, &text)); /* and a NUL: it is zeroed */
    memcpy(secret_writable(text), secret_bytes(line), secret_len(line));
    *out_pin = HF_GIVE(text);
    return HF_OK;
}

/* The engine says neither why it failed nor what the token answered; its error
 * queue does. */
static bool pin_is_wrong(void)
{
    bool wrong = false;
    unsigned long error = 0;
    while ((error = ERR_get_error()) != 0) {
        const char *reason = ERR_reason_error_string(error);
        const char *library = ERR_lib_error_string(error);
        bool from_token = library != NULL && strstr(library, "PKCS#11") != NULL;
        wrong = wrong ||
                (from_token && reason != NULL && strstr(reason, "PIN") != NULL);
    }
    return wrong;
}

static HF_STATUS load(const struct token_key_source *from,
                      const struct secret *pin, EVP_PKEY **out_key, char *why,
                      size_t cap)
{
    HF_TRY(engine_need(from, why, cap));
    if (ENGINE_ctrl_cmd(state.engine, "PIN", 0, (void *)secret_bytes(pin), NULL,
                        0) != 1) {
        return fail(HF_E_INVALID, why, cap, "the engine takes no PIN");
    }
    ERR_clear_error();
    *out_key = ENGINE_load_private_key(state.engine, from->uri,
                                       (UI_METHOD *)UI_null(), NULL);
    if (*out_key != NULL) {
        ERR_clear_error();
        return HF_OK;
    }
    if (pin_is_wrong()) {
        return fail(HF_E_DENIED, why, cap,
                    "the token refuses the PIN of %s; it was tried once",
                    from->pin_file);
    }
    return fail(HF_E_INVALID, why, cap,
                "there is no such private key in a token of %s", from->module);
}

HF_STATUS token_key_load(const struct token_key_source *from,
                         EVP_PKEY **out_key, char *why, size_t cap)
{
    HF_OWNED(secret_freep) struct secret *pin = NULL;
    HF_TRY(pin_read(from, &pin, why, cap));
    pthread_mutex_lock(&state.lock);
    enum hf_status status = load(from, pin, out_key, why, cap);
    pthread_mutex_unlock(&state.lock);
    return status;
}

#endif
