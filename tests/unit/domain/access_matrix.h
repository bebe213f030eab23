/* access_matrix: who may call what, by role: the code has it by verb. */
#pragma once

#include "server/domain/access.h"

#include <stdbool.h>
#include <stddef.h>

struct access_row {
    enum role role;
    const char *text;
    const enum verb *of_tenant; /* in the hands of a tenant's caller */
    size_t of_tenant_count;
    const enum verb *of_service; /* of a caller without a tenant: on tenants */
    size_t of_service_count;
    const enum verb *own; /* the same, on the service's own records */
    size_t own_count;
};

extern const struct access_row access_matrix[ROLE_BITS];

bool access_lists(const enum verb *verbs, size_t count, int verb);
