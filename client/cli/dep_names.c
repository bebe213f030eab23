#include "client/cli/dep_names.h"

#include "hsm/base/own.h"

#include "client/cli/json.h"

#include "holdfast/v1/dep_service.pb-c.h"

#include <string.h>

static bool is_dep(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && strstr(text, "/deps/") != NULL;
}

static bool any_dep(const json_t *items, const struct column *columns,
                    size_t count)
{
    size_t index = 0;
    const json_t *item = NULL;
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; i < count; i++) {
            if (columns[i].form == COLUMN_LEAF &&
                is_dep(json_object_get(item, columns[i].path))) {
                return true;
            }
        }
    }
    return false;
}

/* by_name: resource name to what people call it; NULL when it is not told. */
static json_t *by_name(struct cli *cli)
{
    HF_OWNED(hf_error_free) struct hf_error error = {0};
    HF_OWNED(json_freep) json_t *deps = NULL;
    char parent[NAME_TEXT];
    Holdfast__V1__ListDepsRequest request =
        HOLDFAST__V1__LIST_DEPS_REQUEST__INIT;
    request.parent = parent;
    const struct cli_list list = {
        .method = {"holdfast.v1.DepService/ListDeps",
                   &holdfast__v1__list_deps_response__descriptor},
        .request = &request.base,
        .items = "deps",
    };
    if (cli_parent(cli, parent) != CLI_OK ||
        cli_gather(cli, &list, &deps, &error) != CLI_OK) {
        return NULL;
    }
    HF_OWNED(json_freep) json_t *names = json_object();
    size_t index = 0;
    const json_t *dep = NULL;
    json_array_foreach(deps, index, dep)
    {
        const char *name = json_string_value(json_object_get(dep, "name"));
        if (name != NULL &&
            json_object_set(names, name, json_object_get(dep, "depId")) != 0) {
            return NULL;
        }
    }
    return HF_GIVE(names);
}

void dep_names_put(struct cli *cli, json_t *items, const struct column *columns,
                   size_t count)
{
    HF_OWNED(json_freep)
    json_t *names = any_dep(items, columns, count) ? by_name(cli) : NULL;
    size_t index = 0;
    json_t *item = NULL;
    json_array_foreach(items, index, item)
    {
        for (size_t i = 0; names != NULL && i < count; i++) {
            const json_t *value = json_object_get(item, columns[i].path);
            json_t *name =
                columns[i].form == COLUMN_LEAF && is_dep(value)
                    ? json_object_get(names, json_string_value(value))
                    : NULL;
            if (name != NULL) {
                (void)json_object_set(item, columns[i].path, name);
            }
        }
    }
}
