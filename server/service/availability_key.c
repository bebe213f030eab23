#include "server/service/availability_key.h"

#include "hsm/base/check.h"

#include "server/service/ak_objects.h"

#include <stdio.h>
#include <string.h>

#define NUMBER_BYTES 4

void ak_key_of(const struct dep_record *dep, uint32_t version,
               struct token_key *out)
{
    CHECK(dep->ak_cka_id_len > NUMBER_BYTES);
    *out =
        (struct token_key){.type = TOKEN_KEY_AES, .id_len = dep->ak_cka_id_len};
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

HF_STATUS ak_generate(struct service *service, const struct dep_record *dep,
                      uint32_t version)
{
    struct token_key_report report = {0};
    struct token_key key;
    char prefix[HF_LABEL_MAX_BYTES + 1];
    struct token_request request = {
        .op = TOKEN_OP_GENERATE,
        .u.generate = {.purpose = TOKEN_FOR_AVAILABILITY_KEY,
                       .report = &report},
    };
    struct token_generate *generate = &request.u.generate;
    ak_key_of(dep, version, &key);
    memcpy(generate->id, key.id, key.id_len);
    generate->id_len = key.id_len;
    ak_label_prefix(&dep->id, prefix);
    snprintf(generate->label, sizeof generate->label, "%.80s%u", prefix,
             version);
    enum hf_status status = token_call(service->settings.ak_token, &request);
    return status == HF_E_EXISTS ? HF_OK : status;
}

HF_STATUS ak_destroy(struct service *service, const struct dep_record *dep,
                     uint32_t version)
{
    struct token_request request = {.op = TOKEN_OP_DESTROY};
    ak_key_of(dep, version, &request.u.destroy.key);
    return token_call(service->settings.ak_token, &request);
}
