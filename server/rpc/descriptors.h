/* descriptors: the descriptor set of the proto files, as an index of files and
 * symbols. Read by hand from the wire format: a file is handed out exactly as
 * protoc wrote it.
 */
#pragma once

#include "hsm/base/bytes.h"
#include "hsm/base/status.h"

#include <stdbool.h>

#define DESCRIPTOR_FILES_MAX   64
#define DESCRIPTOR_DEPS_MAX    32
#define DESCRIPTOR_SYMBOLS_MAX 2048

struct descriptor_set;

/* descriptors_read: indexes a FileDescriptorSet; its bytes are borrowed.
 * Returns   HF_OK; HF_E_INVALID when it is malformed or larger than the bounds
 *           above; HF_E_NO_MEMORY. */
HF_STATUS descriptors_read(struct bytes set, struct descriptor_set **out_set);
void descriptors_free(struct descriptor_set *set);

/* All names are full names without a leading dot; -1: none. */
int descriptors_file_named(const struct descriptor_set *set, struct bytes name);
int descriptors_file_of(const struct descriptor_set *set, struct bytes symbol);
/* descriptors_closure: the file and all it needs, itself first; the count. */
size_t descriptors_closure(const struct descriptor_set *set, int file,
                           int out_files[DESCRIPTOR_FILES_MAX]);
struct bytes descriptors_file(const struct descriptor_set *set, int file);
size_t descriptors_service_count(const struct descriptor_set *set);
const char *descriptors_service(const struct descriptor_set *set, size_t index);
bool descriptors_has_service(const struct descriptor_set *set,
                             const char *name);
