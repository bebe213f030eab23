/* What two custodians signed is what is verified, byte by byte; a plan is read
 * or refused; a PIN is the sum of its halves. */
#include "hsm/base/bytes.h"
#include "hsm/base/check.h"

#include "hsm/sys/secret.h"
#include "hsm/sys/signature.h"

#include "hsm/tool/ceremony/plan.h"
#include "hsm/tool/ceremony/signed.h"
#include "hsm/tool/ceremony/transcript.h"
#include "hsm/tool/custodian.h"
#include "hsm/tool/doctor/diagnosis.h"
#include "hsm/tool/file.h"
#include "hsm/tool/in_use.h"
#include "hsm/tool/options.h"
#include "hsm/tool/pin.h"

#include "tests/support/unit.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 8192

/* The commands of the program are not linked here: two stand for them. */
static HF_STATUS nothing(struct tool *tool)
{
    (void)tool;
    return HF_OK;
}

const struct command commands[] = {
    {.group = "key",
     .verb = "make",
     .takes = OPTIONS_TOKEN | OPTION_BIT(NAME) | OPTION_BIT(ID),
     .needs = OPTION_BIT(TOKEN) | OPTION_BIT(NAME),
     .is_step = true,
     .undo = STEP_MAKES_KEY,
     .run = nothing},
    {.group = "key",
     .verb = "look",
     .takes = OPTIONS_TOKEN,
     .needs = OPTION_BIT(TOKEN),
     .run = nothing},
    {.group = NULL                                           },
};

static char folder[] = "/tmp/holdfast-ceremony-XXXXXX";
static char path[sizeof folder + 16];

static int prepare(void **state)
{
    (void)state;
    assert_ok(secret_heap_start(1 << 16));
    assert_non_null(mkdtemp(folder));
    assert_true(snprintf(path, sizeof path, "%s/t.jsonl", folder) > 0);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* Everything that ceremony verify looks at. */
struct record {
    uint8_t text[TEXT_MAX];
    uint8_t statement[SIGNED_MAX_BYTES];
    uint8_t signatures[CUSTODIANS][SIGNATURE_MAX_BYTES];
    char pems[CUSTODIANS][CUSTODIAN_PEM_MAX_BYTES];
    struct signed_parts parts;
};

static void fingerprint_of(const struct custodian *custodian, char out[65])
{
    uint8_t hash[HF_SHA256_BYTES];
    assert_ok(custodian_fingerprint(custodian, hash));
    hex_encode(hash, sizeof hash, out, 65);
}

static void write_lines(struct custodian *const custodians[CUSTODIANS])
{
    struct transcript transcript;
    char prints[CUSTODIANS][65];
    unlink(path);
    for (size_t i = 0; i < CUSTODIANS; i++) {
        fingerprint_of(custodians[i], prints[i]);
    }
    assert_ok(transcript_begin(path, &transcript));
    assert_ok(transcript_append(
        &transcript, json_pack("{s:s, s:s, s:s, s:[s, s]}", "event", "begin",
                               "name", "first keys", "token", "ck1",
                               "custodians", prints[0], prints[1])));
    assert_ok(transcript_append(
        &transcript, json_pack("{s:s, s:i}", "event", "step", "step", 0)));
    assert_ok(transcript_append(
        &transcript, json_pack("{s:s, s:s, s:s}", "event", "end", "outcome",
                               "completed", "serial", "4711")));
    transcript_end(&transcript);
}

static size_t read_into(uint8_t *out, size_t cap)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_ok(file_read(path, cap, &bytes, &len));
    memcpy(out, bytes, len);
    free(bytes);
    return len;
}

static void make(struct record *record)
{
    struct custodian *custodians[CUSTODIANS];
    json_t *lines = NULL;
    struct transcript_fault fault;
    size_t whole = 0;
    assert_ok(custodian_new(false, &custodians[0]));
    assert_ok(custodian_new(true, &custodians[1]));
    write_lines(custodians);
    size_t len = read_into(record->text, sizeof record->text);
    record->parts.transcript = (struct bytes){record->text, len};
    assert_ok(
        transcript_check(record->parts.transcript, &lines, &whole, &fault));
    assert_int_equal(whole, len);
    assert_ok(signed_write(lines, record->parts.transcript, record->statement,
                           &record->parts.statement.len));
    record->parts.statement.data = record->statement;
    for (size_t i = 0; i < CUSTODIANS; i++) {
        size_t pem_len = 0;
        assert_ok(custodian_sign(custodians[i], record->parts.statement,
                                 record->signatures[i],
                                 &record->parts.signatures[i].len));
        assert_ok(
            custodian_public_pem(custodians[i], record->pems[i], &pem_len));
        record->parts.signatures[i].data = record->signatures[i];
        record->parts.public_keys[i] =
            (struct bytes){(const uint8_t *)record->pems[i], pem_len};
        custodian_free(custodians[i]);
    }
    json_decref(lines);
}

static enum hf_status verify(const struct record *record)
{
    json_t *lines = NULL;
    struct transcript_fault fault;
    enum hf_status status = signed_verify(&record->parts, &lines, &fault);
    json_decref(lines);
    return status;
}

static void every_bit_counts(void **state)
{
    (void)state;
    static struct record record;
    make(&record);
    assert_ok(verify(&record));
    struct {
        uint8_t *at;
        size_t len;
    } const all[] = {
        {record.text,          record.parts.transcript.len   },
        {record.statement,     record.parts.statement.len    },
        {record.signatures[0], record.parts.signatures[0].len},
        {record.signatures[1], record.parts.signatures[1].len},
    };
    for (size_t part = 0; part < HF_COUNT(all); part++) {
        for (size_t bit = 0; bit < 8 * all[part].len; bit++) {
            all[part].at[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (verify(&record) == HF_OK) {
                fail_msg("part %zu, bit %zu is not looked at", part, bit);
            }
            all[part].at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_ok(verify(&record));
}

/* Without the signatures, by whoever goes on: all but the last line. */
static void an_edit_before_the_end_shows_in_the_chain(void **state)
{
    (void)state;
    static struct record record;
    make(&record);
    struct bytes text = record.parts.transcript;
    size_t last = text.len - 1;
    while (text.data[last - 1] != '\n') {
        last -= 1;
    }
    for (size_t bit = 0; bit < 8 * last; bit++) {
        json_t *lines = NULL;
        struct transcript_fault fault;
        size_t whole = 0;
        record.text[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (transcript_check(text, &lines, &whole, &fault) == HF_OK) {
            fail_msg("bit %zu is not looked at", bit);
        }
        record.text[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* One meaning has one text: blanks, other orders, a key twice. */
static void a_line_that_says_the_same_otherwise_is_refused(void **state)
{
    (void)state;
    static const char zeros[] = "000000000000000000000000000000000000000000000"
                                "0000000000000000000";
    static const char *const forms[] = {
        "{\"at\":\"t\",\"event\":\"begin\",\"n\":0,\"prev\":\"%s\"}\n",
        "{\"at\":\"t\", \"event\":\"begin\",\"n\":0,\"prev\":\"%s\"}\n",
        "{\"event\":\"begin\",\"at\":\"t\",\"n\":0,\"prev\":\"%s\"}\n",
        "{\"at\":\"t\",\"event\":\"begin\",\"n\":0,\"n\":0,\"prev\":\"%s\"}\n",
        "{\"at\":\"\\u0074\",\"event\":\"begin\",\"n\":0,\"prev\":\"%s\"}\n",
    };
    for (size_t i = 0; i < HF_COUNT(forms); i++) {
        char text[256];
        char shape[128];
        json_t *lines = NULL;
        struct transcript_fault fault;
        size_t whole = 0;
        const char *at = strstr(forms[i], "%s");
        assert_true(snprintf(shape, sizeof shape, "%.*s", (int)(at - forms[i]),
                             forms[i]) > 0);
        assert_true(
            snprintf(text, sizeof text, "%s%s%s", shape, zeros, at + 2) > 0);
        assert_status(
            transcript_check(bytes_of_text(text), &lines, &whole, &fault),
            i == 0 ? HF_OK : HF_E_CORRUPT);
        if (i == 0) {
            json_decref(lines);
        }
    }
}

static void every_cut_is_found(void **state)
{
    (void)state;
    static struct record record;
    make(&record);
    size_t whole = record.parts.transcript.len;
    for (size_t len = 0; len < whole; len++) {
        record.parts.transcript.len = len;
        assert_status(verify(&record), HF_E_CORRUPT);
    }
    /* and what stands behind it */
    record.text[whole] = '\n';
    record.parts.transcript.len = whole + 1;
    assert_status(verify(&record), HF_E_CORRUPT);
}

static void either_order_of_keys_and_no_other(void **state)
{
    (void)state;
    static struct record record;
    static struct record other;
    make(&record);
    make(&other);
    struct bytes first = record.parts.public_keys[0];
    record.parts.public_keys[0] = record.parts.public_keys[1];
    record.parts.public_keys[1] = first;
    assert_ok(verify(&record));
    record.parts.public_keys[1] = other.parts.public_keys[0];
    assert_status(verify(&record), HF_E_CORRUPT);
    record.parts.public_keys[1] = record.parts.public_keys[0];
    assert_status(verify(&record), HF_E_CORRUPT);
}

static void a_torn_line_is_cut_off_and_no_other(void **state)
{
    (void)state;
    static struct record record;
    make(&record);
    size_t whole = record.parts.transcript.len;
    for (size_t len = 1; len <= whole; len += 7) {
        struct transcript transcript;
        struct transcript_fault fault;
        json_t *lines = NULL;
        size_t torn = 0;
        assert_int_equal(truncate(path, (off_t)len), 0);
        assert_ok(
            transcript_continue(path, &transcript, &lines, &torn, &fault));
        assert_int_equal(transcript.len + torn, len);
        assert_int_equal(transcript.count, json_array_size(lines));
        assert_ok(transcript_append(&transcript,
                                    json_pack("{s:s}", "event", "resume")));
        transcript_end(&transcript);
        json_decref(lines);
        uint8_t text[TEXT_MAX];
        size_t now = read_into(text, sizeof text);
        size_t good = 0;
        assert_ok(
            transcript_check((struct bytes){text, now}, &lines, &good, &fault));
        assert_int_equal(good, now);
        json_decref(lines);
        unlink(path);
        assert_ok(file_create(path, 0600, record.parts.transcript));
    }
}

static void a_transcript_is_one_process_alone(void **state)
{
    (void)state;
    struct transcript first;
    struct transcript second;
    struct transcript_fault fault;
    json_t *lines = NULL;
    size_t torn = 0;
    unlink(path);
    assert_ok(transcript_begin(path, &first));
    assert_status(transcript_begin(path, &second), HF_E_EXISTS);
    assert_status(transcript_continue(path, &second, &lines, &torn, &fault),
                  HF_E_CONFLICT);
    transcript_end(&first);
}

static void plans(void **state)
{
    (void)state;
    char why[PLAN_WHY_BYTES];
    json_t *plan = NULL;
    struct plan_step step;
    assert_ok(plan_read(bytes_of_text("# a remark\n\n  key make --name \"a b\" "
                                      "\nkey make --name=c --id 0102"),
                        &plan, why));
    assert_int_equal(json_array_size(plan), 2);
    assert_ok(plan_step(plan, 0, &step));
    assert_string_equal(step.options.values[OPTION_NAME], "a b");
    /* the key's id is settled before anything is done */
    assert_int_equal(strlen(step.options.values[OPTION_ID]), 32);
    assert_ok(plan_step(plan, 1, &step));
    assert_string_equal(step.options.values[OPTION_ID], "0102");
    char *text = plan_text(plan, 0);
    assert_non_null(strstr(text, "key make --name \"a b\" --id "));
    free(text);
    json_decref(plan);
    static const char *const bad[] = {
        "",
        "# only a remark",
        "key look",
        "key make",
        "key make --name \"a",
        "key make --name a\tb\x01",
        "key make --name a --token ck1",
        "key make --name a --pin-file x",
        "key make --name a --pin-halves",
        "key make --name a --json",
        "key make --name a --help",
        "key make --name a --name b",
        "key make a",
    };
    for (size_t i = 0; i < HF_COUNT(bad); i++) {
        assert_status(plan_read(bytes_of_text(bad[i]), &plan, why),
                      HF_E_INVALID);
        assert_string_not_equal(why, "");
    }
}

static struct secret *secret_of(const char *text)
{
    struct secret *secret = NULL;
    assert_ok(secret_new(strlen(text), &secret));
    memcpy(secret_writable(secret), text, strlen(text));
    return secret;
}

static void halves(void **state)
{
    (void)state;
    static char long_text[200];
    memset(long_text, 'x', sizeof long_text - 1);
    struct {
        const char *first;
        const char *second;
        size_t min;
        const char *pin; /* NULL: refused */
    } const cases[] = {
        {"abc",     "defg",    2, "abcdefg"     },
        {"defg",    "abc",     2, "defgabc"     },
        {"a",       "bcdef",   2, NULL          },
        {"abcdef",  "b",       2, NULL          },
        {"abcdef",  "bcdef",   6, NULL          },
        {"abcdef",  "abcdef",  6, "abcdefabcdef"},
        {long_text, long_text, 6, NULL          },
    };
    for (size_t i = 0; i < HF_COUNT(cases); i++) {
        struct secret *first = secret_of(cases[i].first);
        struct secret *second = secret_of(cases[i].second);
        struct secret *pin = NULL;
        enum hf_status status = pin_join(first, second, cases[i].min, &pin);
        assert_status(status, cases[i].pin == NULL ? HF_E_INVALID : HF_OK);
        if (pin != NULL) {
            assert_int_equal(secret_len(pin), strlen(cases[i].pin));
            assert_memory_equal(secret_bytes(pin), cases[i].pin,
                                strlen(cases[i].pin));
        }
        secret_free(first);
        secret_free(second);
        secret_free(pin);
    }
}

static void who_depends_on_a_key(void **state)
{
    (void)state;
    static const char text[] =
        "{\"tokens\":[{\"name\":\"hq\",\"serial\":\"s1\"},{\"name\":\"x\","
        "\"serial\":\"s2\"}],\"customerKeys\":[{\"name\":\"mbx\",\"token\":"
        "\"hq\",\"versions\":[{\"version\":1,\"fingerprint\":"
        "\"0101010101010101010101010101010101010101010101010101010101010101\"},"
        "{\"version\":2,\"fingerprint\":"
        "\"0202020202020202020202020202020202020202020202020202020202020202\"}]"
        "}],\"deps\":[{\"name\":\"a\",\"state\":\"ENABLED\",\"generations\":[{"
        "\"customerKeys\":[{\"name\":\"mbx\",\"version\":1}]}]},{\"name\":"
        "\"b\",\"state\":\"DISABLED\",\"generations\":[{\"customerKeys\":[{"
        "\"name\":\"mbx\",\"version\":1},{\"name\":\"other\",\"version\":2}]}]}"
        ",{\"name\":\"c\",\"state\":\"PURGED\",\"generations\":[{"
        "\"customerKeys\":[{\"name\":\"mbx\",\"version\":1}]}]}]}";
    json_t *catalogue = json_loads(text, 0, NULL);
    struct token_key_report key = {.spki_len = 1};
    char depends[64];
    assert_non_null(catalogue);
    memset(key.key.fingerprint, 1, HF_SHA256_BYTES);
    assert_ok(in_use_depends(catalogue, "s1", &key, depends, sizeof depends));
    assert_string_equal(depends, "a, b");
    /* the same key in another token is another copy */
    assert_ok(in_use_depends(catalogue, "s2", &key, depends, sizeof depends));
    assert_string_equal(depends, "");
    memset(key.key.fingerprint, 2, HF_SHA256_BYTES);
    assert_ok(in_use_depends(catalogue, "s1", &key, depends, sizeof depends));
    assert_string_equal(depends, "");
    assert_status(
        in_use_depends(catalogue, "s3", &key, depends, sizeof depends),
        HF_E_NOT_FOUND);
    json_decref(catalogue);
}

static void names_that_are_near(void **state)
{
    (void)state;
    assert_int_equal(text_distance("contoso-ck1", "contoso-ck1"), 0);
    assert_int_equal(text_distance("Contoso-CK1", "contoso-ck1"), 0);
    assert_int_equal(text_distance("contoso-ck1", "contoso-ck2"), 1);
    assert_int_equal(text_distance("contsoo-ck1", "contoso-ck1"), 2);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("abc", ""), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(an_edit_before_the_end_shows_in_the_chain),
        cmocka_unit_test(a_line_that_says_the_same_otherwise_is_refused),
        cmocka_unit_test(every_cut_is_found),
        cmocka_unit_test(either_order_of_keys_and_no_other),
        cmocka_unit_test(a_torn_line_is_cut_off_and_no_other),
        cmocka_unit_test(a_transcript_is_one_process_alone),
        cmocka_unit_test(plans),
        cmocka_unit_test(halves),
        cmocka_unit_test(who_depends_on_a_key),
        cmocka_unit_test(names_that_are_near),
    };
    return cmocka_run_group_tests(tests, prepare, finish);
}
