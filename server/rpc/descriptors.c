#include "server/rpc/descriptors.h"

#include "hsm/base/own.h"

#include "server/rpc/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOL_BYTES 160
#define PENDING_MAX  64 /* nested messages still to be read */

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    ANY_NAME = 1,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    SERVICE_METHOD = 2,
    ENUM_VALUE = 2,
};

struct file {
    struct bytes bytes;
    struct bytes name;
    struct bytes package;
    struct bytes needs[DESCRIPTOR_DEPS_MAX];
    size_t need_count;
};

struct symbol {
    char name[SYMBOL_BYTES];
    int file;
    bool is_service;
};

/* A message whose parts are still to be read, and what it is in. */
struct pending {
    struct bytes body;
    char scope[SYMBOL_BYTES];
};

struct descriptor_set {
    struct file files[DESCRIPTOR_FILES_MAX];
    size_t file_count;
    struct symbol symbols[DESCRIPTOR_SYMBOLS_MAX];
    size_t symbol_count;
    struct pending pending[PENDING_MAX];
    size_t pending_count;
};

/* The first field of this number; empty: none. */
static struct bytes part(struct bytes message, uint32_t number)
{
    struct wire_field field;
    while (message.len > 0 && wire_next(&message, &field) == HF_OK) {
        if (field.number == number && field.type == 2) {
            return field.bytes;
        }
    }
    return BYTES_NONE;
}

static HF_STATUS join(const char *scope, struct bytes name,
                      char out[SYMBOL_BYTES])
{
    int n = snprintf(out, SYMBOL_BYTES, "%s%s%.*s", scope,
                     scope[0] != '\0' ? "." : "", (int)name.len,
                     (const char *)name.data);
    return n > 0 && n < SYMBOL_BYTES && name.len > 0 ? HF_OK : HF_E_INVALID;
}

static HF_STATUS add_symbol(struct descriptor_set *set, const char *scope,
                            struct bytes message, bool is_service,
                            char out_name[SYMBOL_BYTES])
{
    if (set->symbol_count == DESCRIPTOR_SYMBOLS_MAX) {
        return HF_E_INVALID;
    }
    struct symbol *symbol = &set->symbols[set->symbol_count];
    HF_TRY(join(scope, part(message, ANY_NAME), symbol->name));
    symbol->file = (int)set->file_count;
    symbol->is_service = is_service;
    set->symbol_count++;
    memcpy(out_name, symbol->name, SYMBOL_BYTES);
    return HF_OK;
}

/* Every part of this number, by name alone. */
static HF_STATUS add_parts(struct descriptor_set *set, const char *scope,
                           struct bytes message, uint32_t number)
{
    char unused[SYMBOL_BYTES];
    struct wire_field field;
    while (message.len > 0) {
        HF_TRY(wire_next(&message, &field));
        if (field.number == number && field.type == 2) {
            HF_TRY(add_symbol(set, scope, field.bytes, false, unused));
        }
    }
    return HF_OK;
}

static HF_STATUS add_enum(struct descriptor_set *set, const char *scope,
                          struct bytes message)
{
    char name[SYMBOL_BYTES];
    HF_TRY(add_symbol(set, scope, message, false, name));
    /* as in C++, the values of an enum belong to what the enum is in */
    return add_parts(set, scope, message, ENUM_VALUE);
}

static HF_STATUS add_service(struct descriptor_set *set, const char *scope,
                             struct bytes message)
{
    char name[SYMBOL_BYTES];
    HF_TRY(add_symbol(set, scope, message, true, name));
    return add_parts(set, name, message, SERVICE_METHOD);
}

static HF_STATUS put_off(struct descriptor_set *set, const char *scope,
                         struct bytes message)
{
    if (set->pending_count == PENDING_MAX) {
        return HF_E_INVALID;
    }
    struct pending *later = &set->pending[set->pending_count];
    later->body = message;
    memcpy(later->scope, scope, SYMBOL_BYTES);
    set->pending_count++;
    return HF_OK;
}

/* A message with its fields and enums; the messages in it are put off. */
static HF_STATUS add_message(struct descriptor_set *set, const char *scope,
                             struct bytes message)
{
    char name[SYMBOL_BYTES];
    HF_TRY(add_symbol(set, scope, message, false, name));
    HF_TRY(add_parts(set, name, message, MESSAGE_FIELD));
    struct wire_field field;
    while (message.len > 0) {
        HF_TRY(wire_next(&message, &field));
        if (field.number == MESSAGE_NESTED && field.type == 2) {
            HF_TRY(put_off(set, name, field.bytes));
        } else if (field.number == MESSAGE_ENUM && field.type == 2) {
            HF_TRY(add_enum(set, name, field.bytes));
        }
    }
    return HF_OK;
}

static HF_STATUS add_pending(struct descriptor_set *set)
{
    while (set->pending_count > 0) {
        struct pending next = set->pending[set->pending_count - 1];
        set->pending_count--;
        HF_TRY(add_message(set, next.scope, next.body));
    }
    return HF_OK;
}

static HF_STATUS add_file_part(struct descriptor_set *set, const char *package,
                               const struct wire_field *field)
{
    struct file *file = &set->files[set->file_count];
    switch (field->number) {
    case FILE_DEPENDENCY:
        if (file->need_count == DESCRIPTOR_DEPS_MAX) {
            return HF_E_INVALID;
        }
        file->needs[file->need_count++] = field->bytes;
        return HF_OK;
    case FILE_MESSAGE:
        HF_TRY(add_message(set, package, field->bytes));
        return add_pending(set);
    case FILE_ENUM:
        return add_enum(set, package, field->bytes);
    case FILE_SERVICE:
        return add_service(set, package, field->bytes);
    default:
        return HF_OK;
    }
}

static HF_STATUS add_file(struct descriptor_set *set, struct bytes bytes)
{
    if (set->file_count == DESCRIPTOR_FILES_MAX) {
        return HF_E_INVALID;
    }
    struct file *file = &set->files[set->file_count];
    file->bytes = bytes;
    file->name = part(bytes, FILE_NAME);
    file->package = part(bytes, FILE_PACKAGE);
    char package[SYMBOL_BYTES] = "";
    if (file->package.len > 0) {
        HF_TRY(join("", file->package, package));
    }
    struct wire_field field;
    while (bytes.len > 0) {
        HF_TRY(wire_next(&bytes, &field));
        if (field.type == 2) {
            HF_TRY(add_file_part(set, package, &field));
        }
    }
    set->file_count++;
    return HF_OK;
}

static int order_symbols(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name,
                  ((const struct symbol *)b)->name);
}

void descriptors_free(struct descriptor_set *set)
{
    free(set);
}
HF_DEFINE_FREEP(struct descriptor_set, descriptors)

HF_STATUS descriptors_read(struct bytes bytes, struct descriptor_set **out_set)
{
    HF_OWNED(descriptors_freep)
    struct descriptor_set *set = calloc(1, sizeof *set);
    if (set == NULL) {
        return HF_E_NO_MEMORY;
    }
    struct wire_field field;
    while (bytes.len > 0) {
        HF_TRY(wire_next(&bytes, &field));
        if (field.number == SET_FILE && field.type == 2) {
            HF_TRY(add_file(set, field.bytes));
        }
    }
    qsort(set->symbols, set->symbol_count, sizeof set->symbols[0],
          order_symbols);
    *out_set = HF_GIVE(set);
    return HF_OK;
}

int descriptors_file_named(const struct descriptor_set *set, struct bytes name)
{
    for (size_t i = 0; i < set->file_count; i++) {
        if (bytes_equal(set->files[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

static const struct symbol *find_symbol(const struct descriptor_set *set,
                                        struct bytes name)
{
    struct symbol key = {.file = -1};
    if (name.len >= SYMBOL_BYTES) {
        return NULL;
    }
    if (name.len > 0) {
        memcpy(key.name, name.data, name.len);
    }
    return bsearch(&key, set->symbols, set->symbol_count,
                   sizeof set->symbols[0], order_symbols);
}

int descriptors_file_of(const struct descriptor_set *set, struct bytes symbol)
{
    const struct symbol *found = find_symbol(set, symbol);
    return found != NULL ? found->file : -1;
}

size_t descriptors_closure(const struct descriptor_set *set, int file,
                           int out_files[DESCRIPTOR_FILES_MAX])
{
    bool taken[DESCRIPTOR_FILES_MAX] = {false};
    size_t count = 0;
    out_files[count++] = file;
    taken[file] = true;
    for (size_t at = 0; at < count; at++) {
        const struct file *one = &set->files[out_files[at]];
        for (size_t i = 0; i < one->need_count; i++) {
            int next = descriptors_file_named(set, one->needs[i]);
            if (next >= 0 && !taken[next]) {
                taken[next] = true;
                out_files[count++] = next;
            }
        }
    }
    return count;
}

struct bytes descriptors_file(const struct descriptor_set *set, int file)
{
    return set->files[file].bytes;
}

size_t descriptors_service_count(const struct descriptor_set *set)
{
    size_t count = 0;
    for (size_t i = 0; i < set->symbol_count; i++) {
        count += set->symbols[i].is_service ? 1 : 0;
    }
    return count;
}

const char *descriptors_service(const struct descriptor_set *set, size_t index)
{
    for (size_t i = 0; i < set->symbol_count; i++) {
        if (set->symbols[i].is_service && index-- == 0) {
            return set->symbols[i].name;
        }
    }
    return NULL;
}

bool descriptors_has_service(const struct descriptor_set *set, const char *name)
{
    const struct symbol *found = find_symbol(set, bytes_of_text(name));
    return found != NULL && found->is_service;
}
