/* text: words that came from somewhere else, made harmless to show.
 *
 * What a server, a file name or a profile says may hold terminal escapes or
 * broken UTF-8; shown as it is, it could rewrite the screen or break JSON.
 */
#pragma once

#include <stddef.h>

/* text_clean: replaces, in place, control characters (C0, DEL, C1) and every
 * byte that is not part of valid UTF-8 by '?'; the text never gets longer. */
void text_clean(char *text);

/* text_clean_copy: a cleaned copy of up to max_bytes bytes, cut at a whole
 * character; NULL (of text, too) counts as "". Freed with free; NULL without
 * memory. */
char *text_clean_copy(const char *text, size_t max_bytes);
