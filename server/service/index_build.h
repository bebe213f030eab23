/* index_build: an index of resources that came with a later version of this
 * service is built at the first start with it, and known as complete from then
 * on (RECORD_INDEX). */
#pragma once

#include "server/service/core.h"

/* The line of the index for this resource, kind and key; HF_E_NOT_FOUND: it has
 * none. */
typedef enum hf_status index_line_fn(const struct resource_record *resource,
                                     struct record *out);

/* index_open: HF_OK: every resource has its line. A start that was cut short
 * goes on where the next one begins. */
HF_STATUS index_open(struct service *service, enum index_word index,
                     index_line_fn *line, struct problem *problem);
