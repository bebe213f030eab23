#include "server/service/availability_key.h"

#include "hsm/base/check.h"

#include "hsm/token/names.h"

#include "server/service/ak_objects.h"
#include "server/store/hash.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_BYTES 4
/* The one of all geos. */
#define AK_SHARED_ID "hf-ak-deployment"

bool ak_is_shared(const struct dep_record *dep)
{
    return bytes_equal((struct bytes){dep->ak_cka_id, dep->ak_cka_id_len},
                       bytes_of_text(AK_SHARED_ID));
}

void ak_share(struct dep_record *dep)
{
    dep->ak_cka_id_len = sizeof AK_SHARED_ID - 1;
    memcpy(dep->ak_cka_id, AK_SHARED_ID, dep->ak_cka_id_len);
}

static bool is_pair(const struct dep_record *dep)
{
    return dep->type == DEP_TYPE_SHAREPOINT_GEO;
}

void ak_key_of(const struct dep_record *dep, uint32_t version,
               struct token_key *out)
{
    CHECK(dep->ak_cka_id_len > NUMBER_BYTES);
    *out = (struct token_key){
        .type = is_pair(dep) ? TOKEN_KEY_RSA : TOKEN_KEY_AES,
        .id_len = dep->ak_cka_id_len,
    };
    if (ak_is_shared(dep)) {
        memcpy(out->id, dep->ak_cka_id, dep->ak_cka_id_len);
        return;
    }
    struct byte_writer writer = byte_writer_on(out->id, sizeof out->id);
    put_raw(&writer, dep->ak_cka_id, dep->ak_cka_id_len - NUMBER_BYTES);
    put_u32(&writer, version);
}

void ak_set_version(struct dep_record *dep, uint32_t version)
{
    struct token_key key;
    ak_key_of(dep, version, &key);
    memcpy(dep->ak_cka_id, key.id, key.id_len);
    dep->ak_version = version;
}

HF_STATUS ak_generate_in(const struct token *token,
                         const struct dep_record *dep, uint32_t version)
{
    struct token_key_report report = {0};
    struct token_key key;
    char prefix[HF_LABEL_MAX_BYTES + 1];
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = is_pair(dep) ? TOKEN_FOR_AVAILABILITY_PAIR
                                               : TOKEN_FOR_AVAILABILITY_KEY,
                       .bits = is_pair(dep) ? HF_RSA_MIN_BITS : 0,
                       .report = &report},
    };
    struct token_generate *generate = &request.u.generate;
    ak_key_of(dep, version, &key);
    memcpy(generate->id, key.id, key.id_len);
    generate->id_len = key.id_len;
    ak_label_prefix(&dep->id, prefix);
    snprintf(generate->label, sizeof generate->label, "%.80s%u", prefix,
             version);
    if (ak_is_shared(dep)) {
        snprintf(generate->label, sizeof generate->label, AK_SHARED_ID);
    }
    enum hf_status status = token_call(token, &request);
    return status == HF_E_EXISTS ? HF_OK : status;
}

HF_STATUS ak_generate(struct service *service, const struct dep_record *dep,
                      uint32_t version)
{
    struct ak_token_set set;
    ak_tokens_of(service, dep->type, &set);
    for (size_t i = 0; i < set.count; i++) {
        HF_TRY(ak_token_open(&set.at[i]));
    }
    for (size_t i = 0; i < set.count; i++) {
        HF_TRY(ak_generate_in(set.at[i].token, dep, version));
    }
    return set.count > 0 ? HF_OK : HF_E_MISUSE;
}

HF_STATUS ak_generate_where_enrolling(struct service *service,
                                      const struct dep_record *dep,
                                      uint32_t version)
{
    struct ak_token_set set;
    ak_tokens_of(service, dep->type, &set);
    for (size_t i = 0; i < set.count; i++) {
        if (set.at[i].enrolling) {
            HF_TRY(ak_token_open(&set.at[i]));
            HF_TRY(ak_generate_in(set.at[i].token, dep, version));
        }
    }
    return HF_OK;
}

HF_STATUS ak_destroy_in(const struct ak_token_ref *ref,
                        const struct dep_record *dep, uint32_t version)
{
    struct token_request request = {.op = TOKEN_OP_DESTROY};
    CHECK(!ak_is_shared(dep));
    HF_TRY(ak_token_open(ref));
    ak_key_of(dep, version, &request.u.destroy.key);
    return token_call(ref->token, &request);
}

HF_STATUS ak_destroy(struct service *service, const struct dep_record *dep,
                     uint32_t version)
{
    struct ak_token_set set;
    enum hf_status first = HF_OK;
    if (ak_is_shared(dep)) {
        return HF_OK; /* other geos rest on it */
    }
    ak_tokens_of(service, dep->type, &set);
    for (size_t i = 0; i < set.count; i++) {
        enum hf_status status = ak_destroy_in(&set.at[i], dep, version);
        first = first == HF_OK ? status : first;
    }
    return set.count > 0 ? first : HF_E_MISUSE;
}

struct token_key ak_transport_key(const struct ak_token_ref *ref)
{
    struct token_key key = {
        .type = TOKEN_KEY_RSA,
        .id_len = sizeof TOKEN_NAME_TRANSPORT - 1,
    };
    memcpy(key.id, TOKEN_NAME_TRANSPORT, key.id_len);
    HF_IGNORE(sha256((struct bytes){ref->transport, ref->transport_len},
                     key.fingerprint),
              "a wrong one is refused by the token");
    return key;
}
