/* embedded: the descriptor set of all proto files, as an array in the program;
 * written by the build from proto/. */
#pragma once

extern const unsigned char embedded_descriptors[];
extern const unsigned long embedded_descriptors_len;
