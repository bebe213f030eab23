/* config_people: the identities section: who is which caller. */
#pragma once

#include "server/app/yaml_reader.h"

HF_STATUS config_people_read(struct yaml_reader *reader,
                             const struct yaml_place *place,
                             struct config *out);
