/* config_limits: the limits section. */
#pragma once

#include "server/app/yaml_reader.h"

/* config_limits_read: defaults, and what the file says. */
void config_limits_read(struct yaml_reader *reader,
                        const struct yaml_place *place,
                        struct config_limits *out);
