/* transport: one attempt at a call over gRPC-core. The only file pair
 * that knows gRPC.
 *
 * Each attempt has a completion queue of its own and waits on it, so any
 * number of threads may share the one channel. gRPC's own repetitions are off:
 * what is repeated is decided in retry.h and nowhere else.
 */
#pragma once

#include "hsm/base/bytes.h"

#include "client/lib/holdfast.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;

/* transport_open: as hf_client_open, which says what is taken and returned. */
enum hf_code transport_open(const struct hf_settings *settings,
                            struct transport **out_transport,
                            struct hf_error *error);
void transport_close(struct transport *transport); /* NULL-safe */

struct attempt {
    const char *path;     /* "/package.Service/Method" */
    struct bytes request; /* stays in place; copied into memory that is wiped */
    int64_t deadline_ms;  /* from now; INT64_MAX: none */
};

/* transport_attempt: sends and waits.
 *
 * Gives     *out_response, for wiped_free, on HF_CODE_OK; else *error.
 * Blocks    up to the deadline.
 * Threads   safe from any thread.
 */
enum hf_code transport_attempt(struct transport *transport,
                               const struct attempt *attempt,
                               uint8_t **out_response, size_t *out_len,
                               struct hf_error *error);

/* transport_pause: waits before the next attempt, and connects again meanwhile
 * if the connection is lost; an attempt that finds none fails without waiting
 * for one.
 *
 * Blocks    wait_ms.
 * Threads   safe from any thread.
 */
void transport_pause(struct transport *transport, int64_t wait_ms);

/* transport_stream: one attempt at a call that is answered with many messages.
 * each gets every one, valid during the call; false: the call is cancelled.
 *
 * Returns   HF_CODE_OK, also when cancelled by each; else *error.
 * Blocks    until it ends.
 * Threads   safe from any thread.
 */
struct transport_sink {
    bool (*each)(void *context, const uint8_t *data, size_t len);
    void *context;
};
enum hf_code transport_stream(struct transport *transport,
                              const struct attempt *attempt,
                              const struct transport_sink *sink,
                              struct hf_error *error);
