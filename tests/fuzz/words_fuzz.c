/* words_fuzz: names of things and of roles, as they come from requests and from
 * the configuration. A name has one folded form, which is a name and folds to
 * itself; only a role's own word is that role.
 *
 *   input = the text, without the NUL
 */
#include "hsm/base/check.h"

#include "server/domain/access.h"
#include "server/domain/dep.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_name(const char *text)
{
    char folded[HF_NAME_MAX_BYTES + 1];
    char twice[HF_NAME_MAX_BYTES + 1];
    size_t len = strlen(text);
    bool valid = name_is_valid(text);
    name_fold(text, folded);
    name_fold(folded, twice);
    CHECK(strcmp(folded, twice) == 0);
    CHECK(!valid || (len >= 1 && len <= HF_NAME_MAX_BYTES));
    CHECK(strlen(folded) == (len <= HF_NAME_MAX_BYTES ? len : 0));
    CHECK(name_is_valid(folded) == valid);
}

static void look_at_role(const char *text)
{
    uint32_t role = role_parse(text);
    if (role == 0) {
        return;
    }
    CHECK((role & (role - 1)) == 0 && role < 1u << ROLE_BITS);
    CHECK(strcmp(role_text((enum role)role), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    look_at_name(text);
    look_at_role(text);
    free(text);
    return 0;
}
