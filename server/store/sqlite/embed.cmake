# Writes schema/NNN_name.sql as a C table, in the order of their numbers.
#   cmake -DSCHEMA=folder -DOUT=file.c -P embed.cmake
file(GLOB files ${SCHEMA}/*.sql)
list(SORT files)
set(rows "")
set(expected 0)
foreach(path IN LISTS files)
    get_filename_component(name ${path} NAME)
    if(NOT name MATCHES "^([0-9][0-9][0-9])_([a-z_]+)\\.sql$")
        message(FATAL_ERROR "${name}: not NNN_name.sql")
    endif()
    set(title ${CMAKE_MATCH_2})
    math(EXPR expected "${expected} + 1")
    math(EXPR number "1${CMAKE_MATCH_1} - 1000")
    if(NOT number EQUAL expected)
        message(FATAL_ERROR "${name}: expected number ${expected}")
    endif()
    file(READ ${path} sql)
    string(REPLACE "\\" "\\\\" sql "${sql}")
    string(REPLACE "\"" "\\\"" sql "${sql}")
    string(REPLACE "\n" "\\n\"\n     \"" sql "${sql}")
    string(APPEND rows "    {${number}, \"${title}\",\n     \"${sql}\"},\n")
endforeach()
file(WRITE ${OUT} "/* made from server/store/sqlite/schema */
#include \"server/store/sqlite/sqlite_migrate.h\"

const struct sqlite_migration sqlite_migrations[] = {
${rows}};
const size_t sqlite_migration_count =
    sizeof sqlite_migrations / sizeof sqlite_migrations[0];
")
