/* fuzz: base - the small parsers: times, uuids, hex, base64, UTF-8, numbers. */
#include <stdint.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/uuid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool is_ok)
{
    if (!is_ok)
        abort();
}

static void round_trips(struct str in)
{
    usec_t wall, again;
    struct uuid u, u2;
    char text[64];
    if (clock_parse(in, &wall) == 0 && wall < 253402300800ULL * USEC_PER_SEC) {
        clock_format(wall, 6, text);
        must(clock_parse(str_of(text), &again) == 0 && again == wall);
    }
    if (uuid_parse(in, &u) == 0) {
        uuid_format(&u, text);
        must(uuid_parse(str_of(text), &u2) == 0 && uuid_eq(&u, &u2));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = str_bytes(data, n);
    AUTO(buf_done) struct buf a = BUF(4 * n + 16);
    AUTO(buf_done) struct buf b = BUF(4 * n + 16);
    uint64_t v;
    int64_t i;
    double f;
    round_trips(in);
    (void)str_to_u64(in, &v);
    (void)str_to_i64(in, &i);
    (void)str_to_f64(in, &f);
    (void)str_to_hex_u64(in, &v);
    (void)str_to_duration_us(in, &v);
    (void)str_to_size(in, &v);
    (void)utf8_columns(in);
    must(utf8_whole_prefix(in) + 3 >= n);
    must(base64_encode(&a, in) == 0 && base64_decode(&b, buf_as_str(&a)) == 0 && str_eq(buf_as_str(&b), in));
    buf_reset(&a);
    (void)base64_decode(&a, in);
    buf_reset(&a);
    must(utf8_lossy(&a, in) == 0 && utf8_is_valid(buf_as_str(&a)));
    must(utf8_is_valid(in) == str_eq(buf_as_str(&a), in) || str_find(in, STR("\xef\xbf\xbd")) >= 0);
    buf_reset(&a);
    must(text_printable(&a, in) == 0 && utf8_is_valid(buf_as_str(&a)));
    return 0;
}
