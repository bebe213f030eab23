/* What is found, gathered as JSON, and the same for people. */
#include "server/service/reseal_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

HF_STATUS reseal_verified(struct reseal *reseal, const char *kind)
{
    json_int_t count =
        json_integer_value(json_object_get(reseal->verified, kind));
    reseal->out->verified++;
    return json_object_set_new(reseal->verified, kind,
                               json_integer(count + 1)) == 0
               ? HF_OK
               : HF_E_NO_MEMORY;
}

HF_STATUS reseal_declared(struct reseal *reseal, const char *what,
                          const char *name, json_t *facts)
{
    json_t *entry = facts != NULL ? facts : json_object();
    reseal->out->declared++;
    bool good = json_object_set_new(entry, "what", json_string(what)) == 0 &&
                json_object_set_new(entry, "name", json_string(name)) == 0 &&
                json_array_append(reseal->declared, entry) == 0;
    json_decref(entry);
    return good ? HF_OK : HF_E_NO_MEMORY;
}

/* A chain that is cut or changed nobody can take upon himself: no service would
 * start with it. A store whose chain is whole has to be found first. */
static bool is_of_chain(const char *name)
{
    return strncmp(name, RESEAL_AUDIT_RECORD, sizeof RESEAL_AUDIT_RECORD - 1) ==
               0 ||
           strcmp(name, RESEAL_AUDIT_END) == 0;
}

static bool is_accepted(const struct reseal *reseal, const char *name)
{
    bool found = false;
    for (size_t i = 0;
         i < reseal->settings->accepted_count && !is_of_chain(name); i++) {
        found = found || strcmp(reseal->settings->accepted[i], name) == 0;
    }
    return found;
}

HF_STATUS reseal_bad(struct reseal *reseal, const char *name, const char *why)
{
    bool accepted = is_accepted(reseal, name);
    reseal->out->not_verified++;
    reseal->out->left += accepted ? 0 : 1;
    json_t *entry = json_pack("{s:s, s:s, s:b}", "name", name, "why", why,
                              "accepted", (int)accepted);
    bool good =
        entry != NULL && json_array_append(reseal->not_verified, entry) == 0;
    json_decref(entry);
    return good ? HF_OK : HF_E_NO_MEMORY;
}

/* --- for people ----------------------------------------------------------- */

static void put_counts(FILE *to, json_t *verified)
{
    const char *kind = NULL;
    json_t *count = NULL;
    json_object_foreach(verified, kind, count)
    {
        fprintf(to, "  %8lld  %s\n", (long long)json_integer_value(count),
                kind);
    }
}

static void put_entry(FILE *to, json_t *entry)
{
    const char *key = NULL;
    json_t *value = NULL;
    fprintf(to, "  %s\n", json_string_value(json_object_get(entry, "name")));
    json_object_foreach(entry, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (strcmp(key, "name") != 0 && text != NULL) {
            fprintf(to, "      %s: %s\n", key, text);
        }
        free(text);
    }
}

static void put_list(FILE *to, json_t *list)
{
    size_t i = 0;
    json_t *entry = NULL;
    json_array_foreach(list, i, entry)
    {
        put_entry(to, entry);
    }
}

static void put_keys(FILE *to, const json_t *audit)
{
    size_t i = 0;
    json_t *key = NULL;
    fputs("Audit keys, by which the chain was checked: SHA-256 of each PEM\n",
          to);
    json_array_foreach(json_object_get(audit, "keys"), i, key)
    {
        fprintf(to, "  %s\n", json_string_value(key));
    }
}

static HF_STATUS write_summary(struct reseal *reseal)
{
    size_t len = 0;
    FILE *to = open_memstream(&reseal->out->summary, &len);
    if (to == NULL) {
        return HF_E_NO_MEMORY;
    }
    fputs("Sealing a store anew under another token of the service\n\n", to);
    put_keys(to, json_object_get(reseal->report, "audit"));
    fputs(
        "\nVerified: a token, a key in one, or a signed audit record says so\n",
        to);
    put_counts(to, reseal->verified);
    fputs("\nDeclared: the store alone says so. Read it; who signs says that "
          "it is so\n",
          to);
    put_list(to, reseal->declared);
    fputs("\nNot verified: it does not fit, or could not be seen. It is not "
          "sealed unless accepted by name\n",
          to);
    put_list(to, reseal->not_verified);
    fprintf(to, "\n%s\n",
            reseal->out->left == 0
                ? "It may be sealed when two custodians have signed it."
                : "It may not be sealed as it is.");
    return fclose(to) == 0 ? HF_OK : HF_E_NO_MEMORY;
}

HF_STATUS reseal_write(struct reseal *reseal)
{
    bool good =
        json_object_set(reseal->report, "verified", reseal->verified) == 0 &&
        json_object_set(reseal->report, "declared", reseal->declared) == 0 &&
        json_object_set(reseal->report, "not_verified", reseal->not_verified) ==
            0 &&
        json_object_set_new(reseal->report, "left",
                            json_integer((json_int_t)reseal->out->left)) == 0;
    reseal->out->json =
        good ? json_dumps(reseal->report, JSON_INDENT(1) | JSON_SORT_KEYS)
             : NULL;
    return reseal->out->json != NULL ? write_summary(reseal) : HF_E_NO_MEMORY;
}

void reseal_report_clear(struct reseal_report *report)
{
    free(report->json);
    free(report->summary);
    *report = (struct reseal_report){.json = NULL};
}
