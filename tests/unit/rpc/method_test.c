/* The table of methods against the two others: the verbs of the rules and the
 * descriptor set of the proto files. */
#include "hsm/base/check.h"

#include "server/rpc/descriptors.h"
#include "server/rpc/embedded.h"
#include "server/rpc/method.h"

#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static struct bytes whole_set(void)
{
    return (struct bytes){embedded_descriptors, embedded_descriptors_len};
}

static struct descriptor_set *read_set(void)
{
    struct descriptor_set *set = NULL;
    assert_ok(descriptors_read(whole_set(), &set));
    return set;
}

static void test_every_verb_once(void **state)
{
    (void)state;
    size_t seen[VERB_COUNT] = {0};
    const struct rpc_method *method = NULL;
    for (size_t i = 0; (method = rpc_method_at(i)) != NULL; i++) {
        if (method->verb == VERB_COUNT) {
            assert_true(strncmp(method->path, "/grpc.", 6) == 0);
            continue;
        }
        seen[method->verb]++;
        const char *name = strrchr(method->path, '/') + 1;
        assert_string_equal(name, verb_method(method->verb));
        bool is_data = access_is_data_plane(method->verb);
        bool is_stream = method->lane == LANE_STREAM;
        if (!is_stream) {
            assert_int_equal(method->lane, is_data ? LANE_DATA : LANE_ADMIN);
        }
        assert_int_equal(is_data, method->decode != NULL);
        assert_int_equal(is_data, method->encode != NULL);
        assert_int_equal(!is_data && !is_stream, method->admin != NULL);
        assert_int_equal(is_stream, method->stream != NULL);
    }
    for (size_t verb = 0; verb < VERB_COUNT; verb++) {
        assert_int_equal(seen[verb], 1);
    }
}

/* Each row is a method of the files, and its request is the one they say. */
static void test_rows_are_methods(void **state)
{
    (void)state;
    struct descriptor_set *set = read_set();
    const struct rpc_method *method = NULL;
    for (size_t i = 0; (method = rpc_method_at(i)) != NULL; i++) {
        char symbol[200];
        size_t len = strlen(method->path + 1);
        assert_true(len < sizeof symbol);
        memcpy(symbol, method->path + 1, len + 1);
        *strchr(symbol, '/') = '.';
        assert_true(descriptors_file_of(set, bytes_of_text(symbol)) >= 0);
        const char *type = method->request->name;
        assert_true(descriptors_file_of(set, bytes_of_text(type)) >= 0);
        if (method->verb != VERB_COUNT) {
            char expected[200] = "holdfast.v1.";
            strncat(expected, verb_method(method->verb), 100);
            strncat(expected, "Request", 100);
            assert_string_equal(type, expected);
        }
    }
    descriptors_free(set);
}

static void test_closures_are_complete(void **state)
{
    (void)state;
    struct descriptor_set *set = read_set();
    int file = descriptors_file_named(
        set, bytes_of_text("holdfast/v1/dep_service.proto"));
    assert_true(file >= 0);
    int files[DESCRIPTOR_FILES_MAX];
    size_t count = descriptors_closure(set, file, files);
    assert_int_equal(files[0], file);
    static const char *const needed[] = {
        "holdfast/v1/common.proto", "google/protobuf/timestamp.proto",
        "google/protobuf/duration.proto", "google/protobuf/field_mask.proto",
        "holdfast/v1/operation_service.proto"};
    assert_int_equal(count, HF_COUNT(needed) + 1);
    for (size_t i = 0; i < HF_COUNT(needed); i++) {
        int one = descriptors_file_named(set, bytes_of_text(needed[i]));
        size_t at = 0;
        while (at < count && files[at] != one) {
            at++;
        }
        assert_true(at < count);
    }
    descriptors_free(set);
}

static void test_names(void **state)
{
    (void)state;
    struct descriptor_set *set = read_set();
    assert_true(descriptors_has_service(set, "holdfast.v1.KeyService"));
    static const char *const not_services[] = {
        "",
        "holdfast.v1.Dep",
        "holdfast.v1",
        "KeyService",
        "holdfast.v1.KeyService.UnwrapKey",
        "holdfast.v1.KeyServic"};
    for (size_t i = 0; i < 6; i++) {
        assert_false(descriptors_has_service(set, not_services[i]));
    }
    static const char *const symbols[] = {
        "holdfast.v1.Dep",
        "holdfast.v1.Dep.uid",
        "holdfast.v1.CheckResult.Status",
        "holdfast.v1.CheckResult.PASS",
        "google.rpc.ErrorInfo.MetadataEntry.key",
        "holdfast.v1.KeyService.UnwrapKey"};
    for (size_t i = 0; i < 6; i++) {
        if (descriptors_file_of(set, bytes_of_text(symbols[i])) < 0) {
            fail_msg("%s", symbols[i]);
        }
    }
    char long_name[400];
    memset(long_name, 'x', sizeof long_name);
    assert_int_equal(
        descriptors_file_of(set, (struct bytes){(uint8_t *)long_name, 400}),
        -1);
    descriptors_free(set);
}

/* Cut anywhere, bent anywhere: refused or read, never beyond the bytes (the
 * copy is exactly as long as what is read, for the sanitizers). */
static void test_damaged_sets(void **state)
{
    (void)state;
    struct bytes whole = whole_set();
    for (size_t n = 0; n < 1500; n++) {
        size_t len = n < 750 ? n * (whole.len / 750) : whole.len;
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, whole.data, len);
        if (n >= 750) {
            copy[(n * 2654435761u) % len] ^= (uint8_t)(1u << n % 8);
        }
        struct descriptor_set *set = NULL;
        if (descriptors_read((struct bytes){copy, len}, &set) == HF_OK) {
            int files[DESCRIPTOR_FILES_MAX];
            int file = descriptors_file_of(
                set, bytes_of_text("holdfast.v1.DepService"));
            if (file >= 0) {
                assert_true(descriptors_closure(set, file, files) >= 1);
            }
            assert_true(descriptors_service_count(set) < 100);
        }
        descriptors_free(set);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_verb_once),
        cmocka_unit_test(test_rows_are_methods),
        cmocka_unit_test(test_closures_are_complete),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_damaged_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
