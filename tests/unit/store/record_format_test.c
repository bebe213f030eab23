/* The bytes of every record type: round trips, the golden ones in golden/, and
 * nothing but the canonical ones accepted.
 *
 * golden/NAME_{smallest,largest}.hex are bodies of format 1, NAME_formatN_...
 * of a later one. None is ever changed: a store of then must stay readable.
 * With the argument "write", writes those of today that are missing.
 */
#include "hsm/base/check.h"

#include "server/store/record.h"

#include "tests/support/unit.h"
#include "tests/unit/store/record_cases.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for any record struct. */
union room {
    uint8_t bytes[RECORD_STRUCT_MAX_BYTES];
    alignas(max_align_t) char aligned;
};

static struct record encoded(const struct record_case *of, bool largest)
{
    union room sample;
    struct record record;
    assert_true(of->size <= sizeof sample);
    record_case_sample(of, largest, &sample);
    memset(&record, 0, sizeof record);
    assert_ok(of->encode(&sample, &record));
    return record;
}

static void every_sample_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        const struct record_case *of = &record_cases[i / 2];
        union room sample;
        union room back;
        record_case_sample(of, i % 2 == 1, &sample);
        struct record record = encoded(of, i % 2 == 1);
        assert_int_equal(record.kind, of->kind);
        memset(&back, 0, sizeof back);
        assert_ok(of->decode(&record, &back));
        assert_memory_equal(&back, &sample, of->size);
    }
}

/* The ledger's fields are not the codec's. */
static void encoding_leaves_version_and_macs_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < record_case_count; i++) {
        union room sample;
        struct record record;
        record_case_sample(&record_cases[i], true, &sample);
        memset(&record, 0x5a, sizeof record);
        struct record before = record;
        assert_ok(record_cases[i].encode(&sample, &record));
        assert_int_equal(record.version, before.version);
        assert_memory_equal(record.mac, before.mac, sizeof record.mac);
        assert_memory_equal(record.previous_mac, before.previous_mac,
                            sizeof record.previous_mac);
    }
}

static void golden_text(const struct record_case *of, bool largest, char *out,
                        size_t cap)
{
    struct record record = encoded(of, largest);
    size_t at = 0;
    hex_encode(record.key, record.key_len, out, cap);
    at = strlen(out);
    out[at++] = '\n';
    for (size_t done = 0; done < record.body_len; done += 32) {
        size_t left = record.body_len - done;
        hex_encode(record.body + done, left < 32 ? left : 32, out + at,
                   cap - at);
        at += strlen(out + at);
        out[at++] = '\n';
    }
    out[at] = '\0';
}

#define GOLDEN_MAX_BYTES        20000
#define RESOURCE_CHECKED_FORMAT 6 /* whose envelopes may have a key check */

static void golden_path(const struct record_case *of, bool largest, int format,
                        char *out, size_t cap)
{
    const char *source = getenv("HF_SOURCE");
    char infix[16] = "";
    if (format > 1) {
        snprintf(infix, sizeof infix, "format%d_", format);
    }
    snprintf(out, cap, "%s/tests/unit/store/golden/%s_%s%s.hex",
             source != NULL ? source : ".", of->name, infix,
             largest ? "largest" : "smallest");
}

static void golden_read(const struct record_case *of, bool largest, int format,
                        char *out, size_t cap)
{
    char path[4096];
    golden_path(of, largest, format, path, sizeof path);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("%s is missing", path);
    }
    size_t len = fread(out, 1, cap - 1, file);
    fclose(file);
    out[len] = '\0';
}

static void the_format_is_what_it_always_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        const struct record_case *of = &record_cases[i / 2];
        static char today[GOLDEN_MAX_BYTES];
        static char golden[GOLDEN_MAX_BYTES];
        golden_read(of, i % 2 == 1, of->newest, golden, sizeof golden);
        golden_text(of, i % 2 == 1, today, sizeof today);
        assert_string_equal(golden, today);
    }
}

/* The record whose key and body a golden file holds. */
static void golden_record(const struct record_case *of, bool largest,
                          int format, struct record *out)
{
    static char text[GOLDEN_MAX_BYTES];
    golden_read(of, largest, format, text, sizeof text);
    char *rest = NULL;
    char *line = strtok_r(text, "\n", &rest);
    assert_non_null(line);
    *out = (struct record){.kind = of->kind};
    assert_ok(hex_decode(line, out->key, sizeof out->key, &out->key_len));
    while ((line = strtok_r(NULL, "\n", &rest)) != NULL) {
        size_t len = 0;
        assert_ok(hex_decode(line, out->body + out->body_len,
                             sizeof out->body - out->body_len, &len));
        out->body_len += len;
    }
}

static void what_older_versions_wrote_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        const struct record_case *of = &record_cases[i / 2];
        for (int format = 1; format < of->newest; format++) {
            static struct record old;
            struct record now = {.kind = of->kind};
            union room decoded;
            memset(&decoded, 0, sizeof decoded);
            golden_record(of, i % 2 == 1, format, &old);
            assert_ok(of->decode(&old, &decoded));
            assert_ok(of->encode(&decoded, &now));
            assert_int_equal(now.body[0], of->newest);
            assert_int_equal(now.key_len, old.key_len);
            assert_memory_equal(now.key, old.key, old.key_len);
        }
    }
}

/* Envelopes of before had one suite and one length. */
static void older_resources_keep_their_envelopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < record_case_count; i++) {
        const struct record_case *of = &record_cases[i];
        static struct record old;
        static struct resource_record sample;
        static struct resource_record read;
        for (int format = 2;
             of->kind == RECORD_RESOURCE && format < RESOURCE_CHECKED_FORMAT;
             format++) {
            record_case_sample(of, true, &sample);
            golden_record(of, true, format, &old);
            assert_ok(of->decode(&old, &read));
            assert_int_equal(read.envelope_len, 85);
            assert_memory_equal(read.envelope, sample.envelope, 85);
            for (size_t j = 0; j < RESOURCE_EARLIER_MAX; j++) {
                assert_int_equal(read.earlier[j].envelope_len, 85);
                assert_memory_equal(read.earlier[j].envelope,
                                    sample.earlier[j].envelope, 85);
            }
            struct record now = {.kind = of->kind};
            struct resource_record again;
            assert_ok(of->encode(&read, &now));
            memset(&again, 0, sizeof again);
            assert_ok(of->decode(&now, &again));
            assert_memory_equal(&again, &read, sizeof again);
        }
    }
}

static int write_golden(void)
{
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        const struct record_case *of = &record_cases[i / 2];
        char path[4096];
        static char today[GOLDEN_MAX_BYTES];
        golden_path(of, i % 2 == 1, of->newest, path, sizeof path);
        golden_text(of, i % 2 == 1, today, sizeof today);
        FILE *file = fopen(path, "wx"); /* never over one that is there */
        if (file != NULL) {
            fputs(today, file);
            fclose(file);
        }
    }
    return 0;
}

static void assert_corrupt(const struct record_case *of,
                           const struct record *record)
{
    union room out;
    union room before;
    memset(&out, 0xee, sizeof out);
    memset(&before, 0xee, sizeof before);
    assert_status(of->decode(record, &out), HF_E_CORRUPT);
    assert_memory_equal(&out, &before, sizeof out);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        struct record record = encoded(&record_cases[i / 2], i % 2 == 1);
        for (size_t len = record.body_len; len > 0; len--) {
            record.body_len = len - 1;
            assert_corrupt(&record_cases[i / 2], &record);
        }
    }
}

static void every_byte_left_over_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        struct record record = encoded(&record_cases[i / 2], i % 2 == 1);
        size_t whole = record.body_len;
        for (size_t more = 1; more <= 64; more++) {
            record.body_len = whole + more; /* zeroes */
            assert_corrupt(&record_cases[i / 2], &record);
        }
        record.body[whole] = 0xff;
        record.body_len = whole + 1;
        assert_corrupt(&record_cases[i / 2], &record);
        record.body_len = RECORD_BODY_MAX_BYTES + 1; /* no such record */
        assert_corrupt(&record_cases[i / 2], &record);
    }
}

static void another_format_or_kind_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < record_case_count; i++) {
        struct record record = encoded(&record_cases[i], true);
        for (int format = 0; format < 256; format++) {
            if (format != record_cases[i].newest) {
                record.body[0] = (uint8_t)format;
                assert_corrupt(&record_cases[i], &record);
            }
        }
        record = encoded(&record_cases[i], true);
        for (int kind = 0; kind < 256; kind++) {
            if (kind != (int)record_cases[i].kind) {
                record.kind = (enum record_kind)kind;
                assert_corrupt(&record_cases[i], &record);
            }
        }
    }
}

/* N31: a record under another's key is none. */
static void another_key_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < record_case_count; i++) {
        const struct record whole = encoded(&record_cases[i], true);
        struct record record = whole;
        record.key_len = 0;
        assert_corrupt(&record_cases[i], &record);
        record.key_len = RECORD_KEY_MAX_BYTES + 1;
        assert_corrupt(&record_cases[i], &record);
        for (size_t at = 0; at < 8 * whole.key_len; at++) {
            if (record_cases[i].key_is_free) {
                break;
            }
            record = whole;
            record.key[at / 8] ^= (uint8_t)(1 << at % 8);
            assert_corrupt(&record_cases[i], &record);
        }
        for (size_t len = 0; len <= RECORD_KEY_MAX_BYTES; len++) {
            record = whole;
            record.key_len = len;
            if (len != whole.key_len && !record_cases[i].key_is_free) {
                assert_corrupt(&record_cases[i], &record);
            }
        }
    }
}

/* Whatever is accepted is the one way to write what it means, and in range:
 * the encoder checks every range again. */
static bool accepted_canonical(const struct record_case *of,
                               const struct record *record)
{
    union room out;
    memset(&out, 0, sizeof out);
    enum hf_status status = of->decode(record, &out);
    if (status != HF_OK) {
        assert_status(status, HF_E_CORRUPT);
        return false;
    }
    struct record again = {.kind = of->kind};
    assert_ok(of->encode(&out, &again));
    if (record->body[0] < of->newest) {
        return true; /* as an older version wrote it: never as today */
    }
    assert_int_equal(again.body_len, record->body_len);
    assert_memory_equal(again.body, record->body, record->body_len);
    return true;
}

static void every_other_value_of_a_byte_is_canonical_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * record_case_count; i++) {
        struct record record = encoded(&record_cases[i / 2], i % 2 == 1);
        size_t accepted = 0;
        /* the largest have too many bytes to try every value of each */
        int step = record.body_len > 300 ? 37 : 1;
        for (size_t at = 0; at < record.body_len; at++) {
            uint8_t kept = record.body[at];
            for (int value = 0; value < 256; value += step) {
                record.body[at] = (uint8_t)value;
                accepted += accepted_canonical(&record_cases[i / 2], &record);
            }
            record.body[at] = kept;
        }
        assert_true(accepted > 0);
    }
}

/* in the order of their keys moves are in that of the queue. */
static void moves_are_in_the_order_they_are_served(void **state)
{
    static const struct move_line lines[] = {
        {MOVE_QUEUED, MOVE_REGULAR, 0            },
        {MOVE_QUEUED, MOVE_REGULAR, 255          },
        {MOVE_QUEUED, MOVE_REGULAR, 256          },
        {MOVE_QUEUED, MOVE_REGULAR, INT64_MAX    },
        {MOVE_QUEUED, MOVE_LOW,     0            },
        {MOVE_QUEUED, MOVE_LOW,     1700000000000},
        {MOVE_MOVING, 0,            5            },
        {MOVE_MOVING, 0,            6            },
    };
    struct resource_record resource = {
        .tenant = {{1}}, .type = RESOURCE_MAILBOX, .kind = MAILBOX_USER};
    struct record before = {.key_len = 0};
    (void)state;
    resource.id[0] = 'm';
    for (size_t i = 0; i < HF_COUNT(lines); i++) {
        struct record record = {.body_len = 77};
        struct move_line back;
        struct bytes key;
        assert_ok(move_line_encode(&lines[i], &resource, &record));
        assert_ok(move_line_decode(&record, &back, &key));
        assert_int_equal(back.move, lines[i].move);
        assert_int_equal(back.priority, lines[i].priority);
        assert_true(back.at_ms == lines[i].at_ms);
        struct record_key of =
            key_of_resource(&resource.tenant, resource.type, resource.id);
        assert_true(bytes_equal(key, record_key_view(&of)));
        assert_true(bytes_order((struct bytes){before.key, before.key_len},
                                (struct bytes){record.key, record.key_len}) <
                    0);
        struct record_key head =
            key_of_move_lines(&resource.tenant, lines[i].move);
        assert_memory_equal(record.key, head.bytes, head.len);
        before = record;
        record.key[HF_ID_BYTES] = MOVE_UNENCRYPTED; /* no such line */
        assert_status(move_line_decode(&record, &back, &key), HF_E_CORRUPT);
        record = before;
        record.body_len = 1;
        assert_status(move_line_decode(&record, &back, &key), HF_E_CORRUPT);
        record = before;
        record.key[HF_ID_BYTES + 2] = 0xff; /* before all time */
        assert_status(move_line_decode(&record, &back, &key), HF_E_CORRUPT);
    }
    for (int move = MOVE_NONE; move <= MOVE_ON_ARRIVAL; move++) {
        const struct move_line none = {.move = (enum mailbox_move)move};
        struct record record;
        assert_status(move_line_encode(&none, &resource, &record),
                      HF_E_INVALID);
    }
}

/* a list begins with the newest, whatever the DEP. */
static void notices_are_listed_from_the_newest(void **state)
{
    struct notice_record notice = {
        .tenant = {{1}}, .dep = {{9}}, .event = NOTICE_BEGAN, .since_ms = 5};
    struct record newer;
    struct record older;
    (void)state;
    notice.time_ms = 1700000000256;
    assert_ok(notice_encode(&notice, &newer));
    notice.dep.bytes[0] = 2;
    notice.time_ms = 1700000000255;
    assert_ok(notice_encode(&notice, &older));
    const struct bytes first = {newer.key, newer.key_len};
    const struct bytes second = {older.key, older.key_len};
    assert_true(bytes_order(first, second) < 0);
    struct record_key until =
        key_of_notices_until(&notice.tenant, notice.time_ms);
    assert_true(bytes_order(first, record_key_view(&until)) < 0);
    assert_true(bytes_order(record_key_view(&until), second) < 0);
    until = key_of_notices_until(&notice.tenant, notice.time_ms - 1);
    assert_true(bytes_order(record_key_view(&until), second) > 0);
}

static void indexes_hold_what_they_should(void **state)
{
    (void)state;
    struct resource_record resource;
    const struct record_case *of = NULL;
    for (size_t i = 0; i < record_case_count; i++) {
        if (record_cases[i].kind == RECORD_RESOURCE) {
            of = &record_cases[i];
        }
    }
    assert_non_null(of);
    record_case_sample(of, true, &resource);
    struct record whole = encoded(of, true);
    struct record index = {.body_len = 77};
    struct hf_id dep = resource.assigned;
    assert_ok(assigned_encode(&dep, &resource, &index));
    assert_int_equal(index.kind, RECORD_ASSIGNED);
    assert_int_equal(index.body_len, 0);
    assert_int_equal(index.key_len, HF_ID_BYTES + whole.key_len);
    assert_memory_equal(index.key, dep.bytes, HF_ID_BYTES);
    assert_memory_equal(index.key + HF_ID_BYTES, whole.key, whole.key_len);
    struct bytes key;
    assert_ok(assigned_resource(&index, &key));
    assert_int_equal(key.len, whole.key_len);
    assert_memory_equal(key.data, whole.key, whole.key_len);
    struct record other = index;
    other.kind = RECORD_NAME;
    assert_status(assigned_resource(&other, &key), HF_E_CORRUPT);
    other = index;
    other.key_len = HF_ID_BYTES;
    assert_status(assigned_resource(&other, &key), HF_E_CORRUPT);
    other = index;
    other.body_len = 1;
    assert_status(assigned_resource(&other, &key), HF_E_CORRUPT);
    dep = (struct hf_id){{0}};
    assert_status(assigned_encode(&dep, &resource, &index), HF_E_INVALID);
    resource.id[0] = '\0';
    assert_status(assigned_encode(&resource.assigned, &resource, &index),
                  HF_E_INVALID);
}

static void name_keys_have_bounds(void **state)
{
    (void)state;
    const struct hf_id id = {{1}};
    const struct hf_id nil = {{0}};
    char name[RECORD_NAME_MAX_BYTES + 2];
    struct record record = {.kind = RECORD_NAME};
    memset(name, 'n', sizeof name);
    name[RECORD_NAME_MAX_BYTES + 1] = '\0';
    assert_status(name_encode(NAME_DEP, &id, name, &id, &record), HF_E_INVALID);
    assert_int_equal(key_of_name(NAME_DEP, &id, name).len, 0);
    name[RECORD_NAME_MAX_BYTES] = '\0';
    assert_ok(name_encode(NAME_TENANT, &nil, name, &id, &record));
    assert_int_equal(record.key_len, RECORD_KEY_MAX_BYTES);
    assert_status(name_encode(NAME_DEP, &id, "", &id, &record), HF_E_INVALID);
    assert_status(name_encode(NAME_DEP, &id, "n", &nil, &record), HF_E_INVALID);
    assert_status(name_encode((enum name_scope)0, &id, "n", &id, &record),
                  HF_E_INVALID);
    assert_status(
        name_encode((enum name_scope)(NAME_GEO + 1), &id, "n", &id, &record),
        HF_E_INVALID);
    struct hf_id found;
    assert_ok(name_encode(NAME_DEP, &id, "n", &id, &record));
    assert_ok(name_decode(&record, &found));
    record.key[0] = NAME_GEO + 1;
    assert_status(name_decode(&record, &found), HF_E_CORRUPT);
    record.key[0] = NAME_DEP;
    record.key_len = 1 + HF_ID_BYTES; /* a name without letters */
    assert_status(name_decode(&record, &found), HF_E_CORRUPT);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "write") == 0) {
        return write_golden();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_comes_back),
        cmocka_unit_test(encoding_leaves_version_and_macs_alone),
        cmocka_unit_test(the_format_is_what_it_always_was),
        cmocka_unit_test(what_older_versions_wrote_is_read),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_byte_left_over_is_refused),
        cmocka_unit_test(older_resources_keep_their_envelopes),
        cmocka_unit_test(another_format_or_kind_is_refused),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(every_other_value_of_a_byte_is_canonical_or_refused),
        cmocka_unit_test(moves_are_in_the_order_they_are_served),
        cmocka_unit_test(notices_are_listed_from_the_newest),
        cmocka_unit_test(indexes_hold_what_they_should),
        cmocka_unit_test(name_keys_have_bounds),
    };
    return cmocka_run_group_tests_name("record formats", tests, NULL, NULL);
}
