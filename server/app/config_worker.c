#include "server/app/config_worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WORD_BYTES       64
#define MEMORY_MB        256
#define MEMORY_MAX_MB    (1024 * 1024)
#define SOCKET_MAX_BYTES (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* crypto.md: a PIN comes from an owner-only file. */
static void check_pin_file(struct yaml_reader *reader,
                           const struct yaml_place *place, const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0) {
        yaml_mistake(reader, place->line, "%s: %s: %s", place->name, path,
                     strerror(errno));
        return;
    }
    bool ours = facts.st_uid == geteuid() || facts.st_uid == 0;
    if (!S_ISREG(facts.st_mode) || !ours || (facts.st_mode & 0077) != 0) {
        yaml_mistake(reader, place->line,
                     "%s: %s must be a regular file of this user's that "
                     "nobody else may read or write (chmod 600)",
                     place->name, path);
    }
}

static void read_socket(struct yaml_reader *reader,
                        const struct yaml_place *place,
                        char out[CONFIG_PATH_BYTES])
{
    if (yaml_path(reader, place, out) && strlen(out) > SOCKET_MAX_BYTES) {
        yaml_mistake(reader, place->line,
                     "%s: %s is too long for a socket: at most %zu bytes",
                     place->name, out, SOCKET_MAX_BYTES);
    }
}

static void refuse(struct yaml_reader *reader, const struct yaml_place *map,
                   const char *key, const char *why)
{
    struct yaml_place place = yaml_member(reader, map, key);
    if (place.node != NULL) {
        yaml_mistake(reader, place.line, "%s %s", place.name, why);
    }
}

bool config_worker_listens(struct yaml_reader *reader,
                           const struct yaml_place *map,
                           struct config_token *out)
{
    static const char *const theirs[] = {
        "module",    "pin_file",         "pin",  "activation_socket",
        "isolation", "worker_memory_mb", "sync", "sync_path",
    };
    struct yaml_place place = yaml_member(reader, map, "worker_socket");
    if (place.node == NULL) {
        return false;
    }
    read_socket(reader, &place, out->worker_socket);
    for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
        refuse(reader, map, theirs[i],
               "goes without worker_socket: the holdfast-tokend that listens "
               "there has it");
    }
    return true;
}

/* Which process loads the module. */
static void read_isolation(struct yaml_reader *reader,
                           const struct yaml_place *map,
                           struct config_token *out)
{
    static const char *const words[] = {"process", "none", NULL};
    struct yaml_place isolation = yaml_member(reader, map, "isolation");
    struct yaml_place memory = yaml_member(reader, map, "worker_memory_mb");
    uint32_t megabytes = 0;
    out->in_process =
        isolation.node != NULL && yaml_choice(reader, &isolation, words) == 1;
    out->worker_memory_mb = MEMORY_MB;
    if (memory.node == NULL) {
        return;
    }
    if (yaml_number(reader, &memory, 0, MEMORY_MAX_MB, &megabytes)) {
        out->worker_memory_mb = megabytes;
    }
    if (out->in_process) {
        yaml_mistake(reader, memory.line, "%s goes with isolation: process",
                     memory.name);
    }
}

/* What stands there is not shown: it might be a PIN. */
static enum config_pin read_other_source(struct yaml_reader *reader,
                                         const struct yaml_place *place)
{
    char word[WORD_BYTES];
    if (!yaml_text(reader, place, word, sizeof word)) {
        return CONFIG_PIN_FILE;
    }
    if (strcmp(word, "activation") == 0) {
        return CONFIG_PIN_ACTIVATION;
    }
    if (strcmp(word, "pad") == 0) {
        return CONFIG_PIN_PAD;
    }
    yaml_mistake(reader, place->line,
                 "%s is activation or pad; no PIN stands in this file",
                 place->name);
    return CONFIG_PIN_FILE;
}

static void read_pin(struct yaml_reader *reader, const struct yaml_place *map,
                     struct config_token *out)
{
    struct yaml_place pin = yaml_member(reader, map, "pin");
    struct yaml_place file = yaml_member(reader, map, "pin_file");
    struct yaml_place socket = yaml_member(reader, map, "activation_socket");
    out->pin =
        pin.node != NULL ? read_other_source(reader, &pin) : CONFIG_PIN_FILE;
    if (pin.node == NULL && yaml_path(reader, &file, out->pin_file)) {
        check_pin_file(reader, &file, out->pin_file);
    }
    if (pin.node != NULL) {
        refuse(reader, map, "pin_file", "goes without pin");
    }
    if (pin.node != NULL && out->in_process) {
        yaml_mistake(reader, pin.line, "%s goes with isolation: process",
                     pin.name);
    }
    if (socket.node != NULL && out->pin == CONFIG_PIN_ACTIVATION) {
        read_socket(reader, &socket, out->activation);
    } else if (socket.node != NULL) {
        yaml_mistake(reader, socket.line, "%s goes with pin: activation",
                     socket.name);
    }
}

void config_worker_read(struct yaml_reader *reader,
                        const struct yaml_place *map, struct config_token *out)
{
    read_isolation(reader, map, out);
    read_pin(reader, map, out);
}

void config_worker_settle(struct yaml_reader *reader, const char *state_dir,
                          const char *name, struct config_token *token)
{
    if (token->pin != CONFIG_PIN_ACTIVATION || token->activation[0] != '\0') {
        return;
    }
    int len = snprintf(token->activation, sizeof token->activation,
                       "%s/%s.activation", state_dir, name);
    if (len < 0 || (size_t)len > SOCKET_MAX_BYTES) {
        yaml_mistake(reader, token->line,
                     "activation_socket is missing, and state_dir is too long "
                     "for a socket in it (at most %zu bytes)",
                     SOCKET_MAX_BYTES);
    }
}
