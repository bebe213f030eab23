/* config_tokens: the tokens and the custody domains they are in. */
#pragma once

#include "server/app/yaml_reader.h"

/* Reads service_token, ak_token, sharepoint_ak_token, custody_domains and
 * tokens of root, and holds them against each other. */
HF_STATUS config_tokens_read(struct yaml_reader *reader,
                             const struct yaml_place *root, struct config *out);
