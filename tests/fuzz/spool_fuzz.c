/* spool_fuzz: a segment of the spool as it may be found on a disk. Whatever the
 * bytes are, what is read lies inside them, records count up without a gap, and
 * reading up to the last good frame gives the same again, with a clean end.
 *
 *   input = the file
 */
#include "hsm/base/check.h"

#include "hsm/sys/spool_file.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum hf_status look(void *context, const struct spool_record *record,
                           const uint8_t hash[HF_SHA256_BYTES])
{
    uint64_t *last = context;
    (void)hash;
    CHECK(*last == 0 || record->number == *last + 1);
    CHECK(strlen(record->method) + strlen(record->object) +
              strlen(record->blob) + strlen(record->actor) <
          SPOOL_BODY_MAX_BYTES);
    *last = record->number;
    return HF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spool_segment segment;
    struct spool_segment again;
    uint64_t last = 0;
    struct bytes file = {data, size};
    if (spool_read(file, look, &last, &segment) != HF_OK || !segment.begun) {
        return 0;
    }
    CHECK(segment.used > 0 && segment.used <= size);
    CHECK(segment.left <= size - segment.used);
    CHECK((segment.left == 0) == (segment.end == SPOOL_END_CLEAN));
    CHECK(last == 0 || last == segment.last);
    file.len = segment.used;
    CHECK(spool_read(file, NULL, NULL, &again) == HF_OK);
    CHECK(again.end == SPOOL_END_CLEAN && again.last == segment.last);
    CHECK(bytes_equal(BYTES_OF(again.hash), BYTES_OF(segment.hash)));
    return 0;
}
