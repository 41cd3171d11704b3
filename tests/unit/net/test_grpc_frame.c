/* Promises of net/grpc_frame.h. */
#include "lib.h"
#include "net/grpc_frame.h"

struct got {
    struct buf all;
    int n;
    int stop_at;
};

static bool on_msg(void *ctx, struct str msg)
{
    struct got *s = ctx;

    s->n++;
    buf_printf(&s->all, "[%.*s]", STR_FMT(msg));
    return s->n != s->stop_at;
}

static const char wire[] = "\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\5hello";
static const struct str stream = { wire, sizeof(wire) - 1 };

static void messages_come_whole_at_any_split(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= stream.len; cut++) {
        struct grpc_reader r = { 0 };
        struct got s = { .all = BUF(1000) };

        assert_int_equal(grpc_reader_feed(&r, 100, str_sub(stream, 0, cut), on_msg, &s), GRPC_FRAME_OK);
        assert_int_equal(grpc_reader_feed(&r, 100, str_sub(stream, cut, SIZE_MAX), on_msg, &s), GRPC_FRAME_OK);
        assert_string_equal(buf_as_cstr(&s.all), "[abc][][hello]");
        assert_true(grpc_reader_is_empty(&r));
        buf_done(&s.all);
        grpc_reader_done(&r);
    }
}

static void messages_come_whole_byte_by_byte(void **state)
{
    struct grpc_reader r = { 0 };
    struct got s = { .all = BUF(1000) };

    (void)state;
    for (size_t i = 0; i < stream.len; i++)
        assert_int_equal(grpc_reader_feed(&r, 100, str_sub(stream, i, 1), on_msg, &s), GRPC_FRAME_OK);
    assert_string_equal(buf_as_cstr(&s.all), "[abc][][hello]");
    buf_done(&s.all);
}

static void a_message_over_the_cap_is_refused_at_its_prefix(void **state)
{
    struct got s = { .all = BUF(1000) };
    struct grpc_reader r = { 0 };

    (void)state;
    assert_int_equal(grpc_reader_feed(&r, 4, str_bytes("\0\0\0\0\4abcd", 9), on_msg, &s), GRPC_FRAME_OK);
    assert_int_equal(grpc_reader_feed(&r, 5, str_bytes("\0\0\0\0\4", 5), on_msg, &s), GRPC_FRAME_OK);
    grpc_reader_done(&r);
    assert_int_equal(grpc_reader_feed(&r, 3, str_bytes("\0\0\0\0\4", 5), on_msg, &s), GRPC_FRAME_TOO_BIG);
    grpc_reader_done(&r);
    assert_int_equal(grpc_reader_feed(&r, 3, str_bytes("\0\377\377\377\377", 5), on_msg, &s), GRPC_FRAME_TOO_BIG);
    grpc_reader_done(&r);
    buf_done(&s.all);
}

static void an_announced_size_costs_no_memory(void **state)
{
    struct grpc_reader r = { 0 };
    struct got s = { .all = BUF(10) };

    (void)state;
    assert_int_equal(grpc_reader_feed(&r, 4 << 20, str_bytes("\0\0\77\0\0x", 6), on_msg, &s), GRPC_FRAME_OK);
    assert_true(r.cap <= 1024);
    grpc_reader_done(&r);
}

static void a_compressed_message_is_named(void **state)
{
    struct grpc_reader r = { 0 };
    struct got s = { .all = BUF(10) };

    (void)state;
    assert_int_equal(grpc_reader_feed(&r, 100, str_bytes("\1", 1), on_msg, &s), GRPC_FRAME_COMPRESSED);
}

static void a_callback_can_stop_the_reading(void **state)
{
    struct grpc_reader r = { 0 };
    struct got s = { .all = BUF(100), .stop_at = 1 };

    (void)state;
    assert_int_equal(grpc_reader_feed(&r, 100, stream, on_msg, &s), GRPC_FRAME_STOPPED);
    assert_int_equal(s.n, 1);
    buf_done(&s.all);
}

static void timeouts_are_read_in_every_unit(void **state)
{
    static const struct {
        const char *text;
        usec_t us;
    } good[] = { { "1H", USEC_PER_HOUR }, { "2M", 2 * USEC_PER_MIN }, { "3S", 3000000 }, { "100m", 100000 },
                 { "7u", 7 },             { "1n", 1 },                { "0S", 0 },       { "99999999H", 99999999 * USEC_PER_HOUR } };
    static const char *const bad[] = { "", "1", "S", "1s", "1X", "-1S", "123456789S", " 1S", "1 S" };
    usec_t t;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(grpc_timeout_parse(str_of(good[i].text), &t), 0);
        assert_int_equal(t, good[i].us);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(grpc_timeout_parse(str_of(bad[i]), &t), -EINVAL);
}

static void a_written_timeout_is_never_shorter(void **state)
{
    static const usec_t times[] = { 1, 99999999, 100000000, 100000001, USEC_PER_HOUR, 400 * USEC_PER_DAY };
    char text[GRPC_TIMEOUT_MAX];
    usec_t back;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        grpc_timeout_format(times[i], text);
        assert_int_equal(grpc_timeout_parse(str_of(text), &back), 0);
        assert_true(back >= times[i]);
    }
}

static void texts_survive_percent_encoding(void **state)
{
    struct str text = STR("100% gr\303\274n\n");
    struct buf enc = BUF(100), dec = BUF(100);

    (void)state;
    assert_int_equal(grpc_percent_encode(&enc, text), 0);
    assert_string_equal(buf_as_cstr(&enc), "100%25 gr%C3%BCn%0A");
    assert_int_equal(grpc_percent_decode(&dec, buf_as_str(&enc)), 0);
    assert_true(str_eq(buf_as_str(&dec), text));
    buf_reset(&dec);
    assert_int_equal(grpc_percent_decode(&dec, STR("%zz%4")), 0);
    assert_string_equal(buf_as_cstr(&dec), "%zz%4");
    buf_done(&enc);
    buf_done(&dec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_whole_at_any_split),
        cmocka_unit_test(messages_come_whole_byte_by_byte),
        cmocka_unit_test(a_message_over_the_cap_is_refused_at_its_prefix),
        cmocka_unit_test(an_announced_size_costs_no_memory),
        cmocka_unit_test(a_compressed_message_is_named),
        cmocka_unit_test(a_callback_can_stop_the_reading),
        cmocka_unit_test(timeouts_are_read_in_every_unit),
        cmocka_unit_test(a_written_timeout_is_never_shorter),
        cmocka_unit_test(texts_survive_percent_encoding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
