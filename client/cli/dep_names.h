/* dep_names: DEPs by the names that people gave them. The service names a DEP
 * by its UUID, which stays when the name changes; a table for people shows the
 * name. Programs (--json) get what the service said. */
#pragma once

#include "client/cli/cli.h"

/* dep_names_put: in each item, wherever a column shows the last part of a
 * resource name and that names a DEP, its UUID becomes its name. One ListDeps,
 * and none when no item names a DEP. What cannot be found out stays as it is.
 */
void dep_names_put(struct cli *cli, json_t *items, const struct column *columns,
                   size_t count);
