#include "server/app/yaml_reader.h"

#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LIST_BYTES 340

void yaml_mistake(struct yaml_reader *reader, size_t line, const char *format,
                  ...)
{
    struct config_mistakes *mistakes = reader->mistakes;
    size_t at = mistakes->count++;
    if (at >= CONFIG_MISTAKES_MAX) {
        return;
    }
    char *out = mistakes->lines[at];
    size_t cap = sizeof mistakes->lines[0];
    int used = line != 0 ? snprintf(out, cap, "%s:%zu: ", reader->path, line)
                         : snprintf(out, cap, "%s: ", reader->path);
    if (used < 0 || (size_t)used >= cap) {
        return;
    }
    va_list values;
    va_start(values, format);
    vsnprintf(out + used, cap - (size_t)used, format, values);
    va_end(values);
}

static bool parse(struct yaml_reader *reader, FILE *file)
{
    yaml_parser_t parser;
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_file(&parser, file);
    bool ok = yaml_parser_load(&parser, &reader->document) == 1;
    if (!ok) {
        yaml_mistake(reader, parser.problem_mark.line + 1, "not YAML: %s%s%s",
                     parser.context != NULL ? parser.context : "",
                     parser.context != NULL ? ", " : "",
                     parser.problem != NULL ? parser.problem : "unreadable");
    }
    yaml_document_t second;
    if (ok && yaml_parser_load(&parser, &second) == 1) {
        if (yaml_document_get_root_node(&second) != NULL) {
            yaml_mistake(reader, second.start_mark.line + 1,
                         "a second document begins here; one is expected");
        }
        yaml_document_delete(&second);
    } else if (ok) {
        yaml_mistake(reader, parser.problem_mark.line + 1, "not YAML: %s",
                     parser.problem != NULL ? parser.problem : "unreadable");
    }
    yaml_parser_delete(&parser);
    return ok;
}

static FILE *open_file(struct yaml_reader *reader)
{
    struct stat facts;
    FILE *file = fopen(reader->path, "re");
    if (file == NULL) {
        yaml_mistake(reader, 0, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    if (fstat(fileno(file), &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size > CONFIG_FILE_MAX_BYTES) {
        yaml_mistake(reader, 0, "must be a regular file of at most %d bytes",
                     CONFIG_FILE_MAX_BYTES);
        fclose(file);
        return NULL;
    }
    return file;
}

static bool find_folder(struct yaml_reader *reader)
{
    char *absolute = realpath(reader->path, NULL);
    char *slash = absolute != NULL ? strrchr(absolute, '/') : NULL;
    bool ok = false;
    if (slash != NULL) {
        slash[slash == absolute ? 1 : 0] = '\0';
        ok =
            text_copy(reader->folder, sizeof reader->folder, absolute) == HF_OK;
    }
    if (!ok) {
        yaml_mistake(reader, 0,
                     "its folder's path cannot be found or is "
                     "longer than %d bytes",
                     CONFIG_PATH_BYTES - 1);
    }
    free(absolute);
    return ok;
}

bool yaml_reader_open(struct yaml_reader *reader, const char *path,
                      struct config_mistakes *mistakes)
{
    reader->path = path;
    reader->mistakes = mistakes;
    FILE *file = open_file(reader);
    if (file == NULL) {
        return false;
    }
    bool ok = find_folder(reader) && parse(reader, file);
    fclose(file);
    return ok;
}

void yaml_reader_close(struct yaml_reader *reader)
{
    yaml_document_delete(&reader->document);
}

struct yaml_place yaml_root(struct yaml_reader *reader)
{
    return (struct yaml_place){
        .node = yaml_document_get_root_node(&reader->document),
        .line = 1,
        .name = "",
    };
}

static const char *name_of(const struct yaml_place *place)
{
    return place->name[0] != '\0' ? place->name : "the file";
}

static const char *kind_of(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return "a single value";
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_NO_NODE:
        break;
    }
    return "nothing";
}

/* The text of a scalar, as it stands between its quotes. */
static const char *scalar_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static void list_words(const char *const *words, char out[LIST_BYTES])
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; words[i] != NULL && at < LIST_BYTES; i++) {
        int n = snprintf(out + at, LIST_BYTES - at, "%s%s", i == 0 ? "" : ", ",
                         words[i]);
        at += n > 0 ? (size_t)n : 0;
    }
}

static bool is_known(const char *key, const char *const *known)
{
    size_t i = 0;
    while (known[i] != NULL && strcmp(known[i], key) != 0) {
        i++;
    }
    return known[i] != NULL;
}

/* A key stands there once; the later one is the mistake. */
static bool is_repeated(struct yaml_reader *reader, const yaml_node_t *map,
                        const yaml_node_pair_t *pair)
{
    const yaml_node_t *key =
        yaml_document_get_node(&reader->document, pair->key);
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair;
         p++) {
        const yaml_node_t *other =
            yaml_document_get_node(&reader->document, p->key);
        if (other->type == YAML_SCALAR_NODE &&
            strcmp(scalar_of(other), scalar_of(key)) == 0) {
            return true;
        }
    }
    return false;
}

static void check_key(struct yaml_reader *reader,
                      const struct yaml_place *place,
                      const yaml_node_pair_t *pair, const char *const *known)
{
    const yaml_node_t *key =
        yaml_document_get_node(&reader->document, pair->key);
    size_t line = key->start_mark.line + 1;
    char list[LIST_BYTES];
    list_words(known, list);
    if (key->type != YAML_SCALAR_NODE) {
        yaml_mistake(reader, line, "%s: a key is %s; keys are %s",
                     name_of(place), kind_of(key), list);
    } else if (!is_known(scalar_of(key), known)) {
        yaml_mistake(reader, line, "%s: unknown key \"%.60s\"; known are %s",
                     name_of(place), scalar_of(key), list);
    } else if (is_repeated(reader, place->node, pair)) {
        yaml_mistake(reader, line, "%s: \"%s\" stands here a second time",
                     name_of(place), scalar_of(key));
    }
}

bool yaml_map(struct yaml_reader *reader, const struct yaml_place *place,
              const char *const *known)
{
    if (place->node == NULL) {
        yaml_mistake(reader, place->line, "%s is %s", name_of(place),
                     place->name[0] != '\0' ? "missing" : "empty");
        return false;
    }
    if (place->node->type != YAML_MAPPING_NODE) {
        char list[LIST_BYTES];
        list_words(known, list);
        yaml_mistake(reader, place->line,
                     "%s is %s; a mapping with the keys %s is expected",
                     name_of(place), kind_of(place->node), list);
        return false;
    }
    for (const yaml_node_pair_t *pair = place->node->data.mapping.pairs.start;
         pair < place->node->data.mapping.pairs.top; pair++) {
        check_key(reader, place, pair, known);
    }
    return true;
}

struct yaml_place yaml_member(struct yaml_reader *reader,
                              const struct yaml_place *map, const char *key)
{
    struct yaml_place out = {.node = NULL, .line = map->line};
    snprintf(out.name, sizeof out.name, "%.48s%s%.40s", map->name,
             map->name[0] != '\0' ? "." : "", key);
    if (map->node == NULL || map->node->type != YAML_MAPPING_NODE) {
        return out;
    }
    for (const yaml_node_pair_t *pair = map->node->data.mapping.pairs.start;
         pair < map->node->data.mapping.pairs.top && out.node == NULL; pair++) {
        const yaml_node_t *name =
            yaml_document_get_node(&reader->document, pair->key);
        if (name->type == YAML_SCALAR_NODE &&
            strcmp(scalar_of(name), key) == 0) {
            out.node = yaml_document_get_node(&reader->document, pair->value);
            out.line = out.node->start_mark.line + 1;
        }
    }
    return out;
}

size_t yaml_count(struct yaml_reader *reader, const struct yaml_place *place,
                  size_t max)
{
    if (place->node == NULL) {
        return 0;
    }
    if (place->node->type != YAML_SEQUENCE_NODE) {
        yaml_mistake(reader, place->line, "%s is %s; a list is expected",
                     name_of(place), kind_of(place->node));
        return 0;
    }
    size_t count = (size_t)(place->node->data.sequence.items.top -
                            place->node->data.sequence.items.start);
    if (count > max) {
        yaml_mistake(reader, place->line, "%s has %zu items; at most %zu",
                     name_of(place), count, max);
        return 0;
    }
    return count;
}

struct yaml_place yaml_item(struct yaml_reader *reader,
                            const struct yaml_place *list, size_t index)
{
    struct yaml_place out;
    out.node = yaml_document_get_node(
        &reader->document, list->node->data.sequence.items.start[index]);
    out.line = out.node->start_mark.line + 1;
    snprintf(out.name, sizeof out.name, "%.80s[%zu]", list->name, index);
    return out;
}

static bool is_scalar(struct yaml_reader *reader,
                      const struct yaml_place *place)
{
    if (place->node == NULL) {
        yaml_mistake(reader, place->line, "%s is missing", name_of(place));
        return false;
    }
    if (place->node->type != YAML_SCALAR_NODE) {
        yaml_mistake(reader, place->line,
                     "%s is %s; a single value is expected", name_of(place),
                     kind_of(place->node));
        return false;
    }
    return true;
}

bool yaml_text(struct yaml_reader *reader, const struct yaml_place *place,
               char *out, size_t cap)
{
    if (!is_scalar(reader, place)) {
        return false;
    }
    const char *text = scalar_of(place->node);
    size_t len = place->node->data.scalar.length;
    bool plain = len > 0;
    for (size_t i = 0; i < len; i++) {
        plain = plain && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
    }
    if (!plain || len >= cap) {
        yaml_mistake(reader, place->line,
                     "%s must be 1 to %zu bytes without control characters",
                     name_of(place), cap - 1);
        return false;
    }
    memcpy(out, text, len + 1);
    return true;
}

bool yaml_number(struct yaml_reader *reader, const struct yaml_place *place,
                 uint32_t low, uint32_t high, uint32_t *out)
{
    if (!is_scalar(reader, place)) {
        return false;
    }
    const char *text = scalar_of(place->node);
    size_t len = place->node->data.scalar.length;
    uint64_t value = 0;
    bool fine = len > 0 && len <= 10;
    for (size_t i = 0; fine && i < len; i++) {
        fine = text[i] >= '0' && text[i] <= '9';
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    if (!fine || value < low || value > high) {
        yaml_mistake(reader, place->line,
                     "%s is \"%.40s\"; a number from %u to %u is expected",
                     name_of(place), text, low, high);
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

bool yaml_path(struct yaml_reader *reader, const struct yaml_place *place,
               char out[CONFIG_PATH_BYTES])
{
    char text[CONFIG_PATH_BYTES];
    if (!yaml_text(reader, place, text, sizeof text)) {
        return false;
    }
    int len = text[0] == '/'
                  ? snprintf(out, CONFIG_PATH_BYTES, "%s", text)
                  : snprintf(out, CONFIG_PATH_BYTES, "%s%s%s", reader->folder,
                             strcmp(reader->folder, "/") == 0 ? "" : "/", text);
    if (len < 0 || len >= CONFIG_PATH_BYTES) {
        yaml_mistake(reader, place->line,
                     "%s: the path is longer than %d bytes", name_of(place),
                     CONFIG_PATH_BYTES - 1);
        return false;
    }
    return true;
}

int yaml_choice(struct yaml_reader *reader, const struct yaml_place *place,
                const char *const *words)
{
    if (!is_scalar(reader, place)) {
        return -1;
    }
    const char *text = scalar_of(place->node);
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            return i;
        }
    }
    char list[LIST_BYTES];
    list_words(words, list);
    yaml_mistake(reader, place->line, "%s is \"%.40s\"; one of %s is expected",
                 name_of(place), text, list);
    return -1;
}
