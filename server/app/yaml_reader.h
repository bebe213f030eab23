/* yaml_reader: a parsed YAML file, read piece by piece, every mistake noted
 * with its line. Readers go on after a mistake, so that all are found.
 */
#pragma once

#include "server/app/config.h"

#include <yaml.h>

struct yaml_reader {
    const char *path;
    char folder[CONFIG_PATH_BYTES]; /* what relative paths are relative to */
    yaml_document_t document;
    struct config_mistakes *mistakes;
};

/* One place in the file: a value, and the name it goes by in mistakes. */
struct yaml_place {
    yaml_node_t *node; /* NULL: absent */
    size_t line;       /* of the value, or of what it is missing from */
    char name[96];     /* "tokens[2].label" */
};

/* yaml_reader_open: parses; a syntax error is a mistake (false).
 * yaml_reader_close: after a true open. */
bool yaml_reader_open(struct yaml_reader *reader, const char *path,
                      struct config_mistakes *mistakes);
void yaml_reader_close(struct yaml_reader *reader);
struct yaml_place yaml_root(struct yaml_reader *reader);

__attribute__((format(printf, 3, 4))) void
yaml_mistake(struct yaml_reader *reader, size_t line, const char *format, ...);

/* yaml_map: is it a mapping? false and a mistake if not, also when it is
 * absent. Keys that are not among known (NULL at the end) or stand there twice
 * are mistakes, after which it is read on. */
bool yaml_map(struct yaml_reader *reader, const struct yaml_place *place,
              const char *const *known);
/* yaml_member: one value of a mapping. */
struct yaml_place yaml_member(struct yaml_reader *reader,
                              const struct yaml_place *map, const char *key);
/* yaml_count: items of a sequence; 0 and a mistake when it is none; absent is
 * 0. yaml_item: one of them. */
size_t yaml_count(struct yaml_reader *reader, const struct yaml_place *place,
                  size_t max);
struct yaml_place yaml_item(struct yaml_reader *reader,
                            const struct yaml_place *list, size_t index);

/* yaml_text: a scalar of 1 to cap - 1 bytes without control characters; false
 * and a mistake otherwise, also when it is absent. */
bool yaml_text(struct yaml_reader *reader, const struct yaml_place *place,
               char *out, size_t cap);
/* yaml_number: decimal, in range. */
bool yaml_number(struct yaml_reader *reader, const struct yaml_place *place,
                 uint32_t low, uint32_t high, uint32_t *out);
/* yaml_path: as text, made absolute. */
bool yaml_path(struct yaml_reader *reader, const struct yaml_place *place,
               char out[CONFIG_PATH_BYTES]);
/* yaml_choice: the index of the word among words (NULL at the end); -1. */
int yaml_choice(struct yaml_reader *reader, const struct yaml_place *place,
                const char *const *words);
