/* availability_key: the objects of a DEP's availability key in the AK token,
 * one per version (specification 3.6), and of the tenant's own root of a
 * SERVICE_MANAGED DEP, which are made alike.
 */
#pragma once

#include "server/service/core.h"

/* ak_key_of: the object of a version. Every version has the id of the DEP's
 * record with its own number at the end. */
void ak_key_of(const struct dep_record *dep, uint32_t version,
               struct token_key *out);
/* ak_generate: makes sure that the object of this version is there, durable; a
 * step that runs again finds it. ak_destroy: that it is not. */
HF_STATUS ak_generate(struct service *service, const struct dep_record *dep,
                      uint32_t version);
HF_STATUS ak_destroy(struct service *service, const struct dep_record *dep,
                     uint32_t version);
/* Of geos the objects are RSA pairs in a token of their own, one for
 * each DEP, or one for all where the configuration says so (PER_DEPLOYMENT,
 * ak_share names that one, which is never destroyed with a DEP.
 * ak_call: asks the token of DEPs of this type; HF_E_MISUSE: there is none. */
void ak_share(struct dep_record *dep);
bool ak_is_shared(const struct dep_record *dep);
HF_STATUS ak_call(struct service *service, enum dep_type type,
                  struct token_request *request);

/* ak_set_version: the record names this version from now on. */
void ak_set_version(struct dep_record *dep, uint32_t version);
