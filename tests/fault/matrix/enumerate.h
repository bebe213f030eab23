/* enumerate: what is in the tokens, by nothing but the module itself. */
#pragma once

/* enumerate: writes a line for each token object, "a key a001" or
 * "a data new-7", and returns a program's exit code. */
int enumerate(const char *module_path);
