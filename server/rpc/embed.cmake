# Writes the bytes of INPUT as a C array to OUTPUT.
file(READ ${INPUT} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR count "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," body "${hex}")
file(WRITE ${OUTPUT}
"#include \"server/rpc/embedded.h\"\n\nconst unsigned char embedded_descriptors[] = {\n${body}\n};\nconst unsigned long embedded_descriptors_len = ${count};\n")
