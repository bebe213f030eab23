/* text: what may stand in a name that people and programs read back. */
#pragma once

#include "hsm/base/bytes.h"

#include <stdbool.h>

/* text_is_plain: well-formed UTF-8 (no surrogates, no overlong form, at most
 * U+10FFFF) without control characters: nothing that could end a line, a
 * string or a terminal's good manners. Empty text is plain. */
bool text_is_plain(struct bytes text);
