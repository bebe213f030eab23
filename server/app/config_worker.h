/* config_worker: the part of a token's configuration that says which process
 * has it, and where its PIN comes from. */
#pragma once

#include "server/app/config.h"
#include "server/app/yaml_reader.h"

#define CONFIG_WORKER_KEYS                                                     \
    "pin_file", "pin", "activation_socket", "isolation", "worker_memory_mb",   \
        "worker_socket"

/* config_worker_listens: the token has a holdfast-tokend of its own: then true,
 * its socket is read, and whatever would be that program's is a mistake. */
bool config_worker_listens(struct yaml_reader *reader,
                           const struct yaml_place *map,
                           struct config_token *out);

/* config_worker_read: all else. */
void config_worker_read(struct yaml_reader *reader,
                        const struct yaml_place *map, struct config_token *out);

/* config_worker_settle: where PINs are brought to, unless it is said: in the
 * state folder, under this name. */
void config_worker_settle(struct yaml_reader *reader, const char *state_dir,
                          const char *name, struct config_token *token);
