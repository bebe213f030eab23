/* health: the standard health service, asked once. */
#include "client/lib/client.h"

#include "grpc/health/v1/health.pb-c.h"

enum hf_code hf_health(struct hf_client *client, const char *service,
                       enum hf_serving *out_serving, struct hf_error *error)
{
    Grpc__Health__V1__HealthCheckRequest request =
        GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)(uintptr_t)service; /* read only */
    const struct hf_unary unary = {
        .method = "grpc.health.v1.Health/Check",
        .request = &request.base,
        .response = &grpc__health__v1__health_check_response__descriptor,
    };
    ProtobufCMessage *got = NULL;
    enum hf_code code = hf_call(client, &unary, &got, error);
    if (code != HF_CODE_OK) {
        return code;
    }
    int status =
        (int)((const Grpc__Health__V1__HealthCheckResponse *)got)->status;
    hf_message_free(got);
    *out_serving = status == HF_SERVING || status == HF_NOT_SERVING
                       ? (enum hf_serving)status
                       : HF_SERVING_UNKNOWN;
    return HF_CODE_OK;
}
