/* What agent/spool.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/spool.h"
#include "base/fd.h"
#include "base/mem.h"

static char dir[64], path[96];

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-spool-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/spool", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)fd_remove_tree(dir);
    return 0;
}

static struct spool *open_it(size_t max)
{
    struct spool *s = NULL;

    assert_int_equal(spool_open(path, max, &s, NULL), 0);
    return s;
}

static uint64_t put(struct spool *s, const char *text)
{
    uint64_t seq = 0;

    assert_int_equal(spool_append(s, str_of(text), &seq), SPOOL_OK);
    return seq;
}

static void is_oldest(struct spool *s, const char *want)
{
    struct str msg;
    uint64_t seq;

    assert_int_equal(spool_peek(s, &msg, &seq), 1);
    assert_true(str_is(msg, want));
}

static void messages_come_out_in_order_and_numbers_grow(void **state)
{
    AUTO(spool_free) struct spool *s = open_it(4096);
    struct str msg;
    uint64_t a, b, seq;

    (void)state;
    assert_int_equal(spool_peek(s, &msg, &seq), 0);
    assert_int_equal(spool_first_seq(s), 0);
    assert_int_equal(spool_last_seq(s), 0);
    a = put(s, "one");
    b = put(s, "two");
    assert_true(b > a && a > 0);
    assert_int_equal(spool_first_seq(s), a);
    assert_int_equal(spool_last_seq(s), b);
    assert_int_equal(spool_next(s, 0, &msg, &seq), 1);
    assert_true(seq == a && str_is(msg, "one"));
    assert_int_equal(spool_next(s, a, &msg, &seq), 1);
    assert_true(seq == b && str_is(msg, "two"));
    assert_int_equal(spool_next(s, b, &msg, &seq), 0);
    spool_ack(s, a);
    is_oldest(s, "two");
    spool_ack(s, a - 1);
    is_oldest(s, "two");
    spool_ack(s, b + 1000);
    assert_true(spool_is_empty(s));
}

static void epoch_and_numbers_live_as_long_as_the_file(void **state)
{
    struct spool *s = open_it(4096);
    uint64_t epoch = spool_epoch(s), a = put(s, "one");

    (void)state;
    spool_free(s);
    s = open_it(4096);
    assert_true(spool_epoch(s) == epoch && epoch != 0);
    is_oldest(s, "one");
    assert_true(put(s, "two") > a);
    spool_free(s);
    assert_int_equal(unlink(path), 0);
    s = open_it(4096);
    assert_true(spool_epoch(s) != epoch);
    spool_free(s);
}

/* The heart of it: whatever a crash leaves of the second record, the first is there and the second is whole or was never. */
static void accepted_survives_a_cut_at_any_byte_of_the_next_record(void **state)
{
    AUTO(buf_done) struct buf whole = BUF(4096);
    struct spool *s = open_it(4096);
    uint64_t first = put(s, "first"), second = put(s, "second record");
    size_t from;

    (void)state;
    spool_free(s);
    assert_int_equal(fd_read_file(path, &whole), 0);
    from = (size_t)first;
    assert_int_equal(whole.len, second);
    for (size_t cut = from; cut <= whole.len; cut++) {
        struct str msg;
        uint64_t seq;

        assert_int_equal(fd_replace_file(path, str_bytes(whole.ptr, cut), 0600, NULL), 0);
        s = open_it(4096);
        is_oldest(s, "first");
        assert_int_equal(spool_next(s, first, &msg, &seq), cut == whole.len ? 1 : 0);
        assert_true(put(s, "third") > first); /* and it can go on */
        spool_free(s);
        s = open_it(4096);
        assert_int_equal(spool_next(s, cut == whole.len ? second : first, &msg, &seq), 1);
        assert_true(str_is(msg, "third"));
        spool_free(s);
    }
}

static void a_flipped_bit_anywhere_never_yields_a_wrong_message(void **state)
{
    AUTO(buf_done) struct buf whole = BUF(4096);
    struct spool *s = open_it(4096);

    (void)state;
    (void)put(s, "first");
    (void)put(s, "second");
    spool_free(s);
    assert_int_equal(fd_read_file(path, &whole), 0);
    for (size_t i = 0; i < whole.len * 8; i++) {
        struct str msg;
        uint64_t seq = 0;

        whole.ptr[i / 8] ^= (uint8_t)(1 << (i % 8));
        assert_int_equal(fd_replace_file(path, buf_as_str(&whole), 0600, NULL), 0);
        whole.ptr[i / 8] ^= (uint8_t)(1 << (i % 8));
        s = open_it(4096);
        while (spool_next(s, seq, &msg, &seq) == 1)
            assert_true(str_is(msg, "first") || str_is(msg, "second"));
        spool_free(s);
    }
}

static void a_message_fits_exactly_or_not_at_all(void **state)
{
    AUTO(spool_free) struct spool *s = open_it(4096);
    static char big[4096];
    size_t room = 4096 - 24 - 8;
    uint64_t seq = 7;

    (void)state;
    memset(big, 'x', sizeof(big));
    assert_int_equal(spool_append(s, str_bytes(big, room + 1), &seq), SPOOL_FULL);
    assert_int_equal(seq, 7);
    assert_int_equal(spool_append(s, str_bytes(big, room), &seq), SPOOL_OK);
    assert_int_equal(spool_append(s, str_bytes(big, 1), &seq), SPOOL_FULL);
    spool_ack(s, seq);
    assert_int_equal(spool_append(s, str_bytes(big, room), &seq), SPOOL_OK);
}

static void acknowledged_room_is_used_again_and_numbers_go_on(void **state)
{
    struct spool *s = open_it(4096);
    uint64_t last = 0, epoch = spool_epoch(s);
    struct stat st;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        uint64_t seq = put(s, "a message of some thirty bytes.");

        assert_true(seq > last);
        if (i % 3 == 0 && last)
            spool_ack(s, last);
        last = seq;
        if (i % 500 == 0) {
            spool_free(s);
            s = open_it(4096);
        }
    }
    assert_int_equal(spool_epoch(s), epoch);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size <= 4096);
    spool_free(s);
}

/* Random operations against a plain list. */
static void random_operations_agree_with_a_plain_list(void **state)
{
    static struct {
        uint64_t seq;
        char text[40];
    } list[4096];
    struct spool *s = open_it(8192);
    size_t first = 0, n = 0;
    uint32_t r = 1;

    (void)state;
    for (int i = 0; i < 4000; i++) {
        r = r * 1103515245u + 12345u;
        switch (r >> 16 & 7) {
        case 0:
        case 1:
        case 2:
        case 3:
            (void)snprintf(list[n].text, sizeof(list[n].text), "%0*u", (int)(r >> 20 & 31) + 1, r);
            if (spool_append(s, str_of(list[n].text), &list[n].seq) == SPOOL_OK)
                n++;
            break;
        case 4:
        case 5:
            if (first < n) {
                first += (r >> 20) % (n - first) / 2 + 1;
                spool_ack(s, list[first - 1].seq);
            }
            break;
        case 6: {
            struct str msg;
            uint64_t seq = 0;
            size_t at = first;

            while (spool_next(s, seq, &msg, &seq) == 1) {
                assert_true(at < n && seq == list[at].seq && str_is(msg, list[at].text));
                at++;
            }
            assert_int_equal(at, n);
            break;
        }
        default:
            spool_free(s);
            s = open_it(8192);
            if (first > 0)
                spool_ack(s, list[first - 1].seq); /* as the server says on every connection */
        }
    }
    spool_free(s);
}

static void settled_acknowledgements_outlive_the_process(void **state)
{
    struct spool *s = open_it(8192);
    uint64_t epoch = spool_epoch(s), one = put(s, "one"), two = put(s, "two"), three;

    (void)state;
    spool_ack(s, one);
    spool_free(s); /* as after a crash: what was acknowledged is not known, and nothing is lost */
    s = open_it(8192);
    is_oldest(s, "one");

    spool_ack(s, one);
    spool_settle(s);
    spool_settle(s);
    is_oldest(s, "two");
    spool_free(s);
    s = open_it(8192);
    is_oldest(s, "two");
    assert_true(spool_epoch(s) == epoch && spool_first_seq(s) == two && spool_last_seq(s) == two);

    spool_ack(s, two);
    spool_settle(s);
    spool_free(s);
    s = open_it(8192);
    assert_true(spool_is_empty(s) && spool_epoch(s) == epoch && spool_last_seq(s) == two);
    three = put(s, "three");
    assert_true(three > two);
    spool_ack(s, two); /* the server's word on the next connection */
    is_oldest(s, "three");
    spool_free(s);
}

static void renewing_begins_an_empty_epoch(void **state)
{
    AUTO(spool_free) struct spool *s = open_it(4096);
    uint64_t epoch = spool_epoch(s);

    (void)state;
    (void)put(s, "one");
    assert_int_equal(spool_renew(s), 0);
    assert_true(spool_is_empty(s) && spool_epoch(s) != epoch && spool_last_seq(s) == 0);
    (void)put(s, "two");
    is_oldest(s, "two");
}

static void failure_names_itself_and_leaves_ret_alone(void **state)
{
    struct spool *s = (struct spool *)8;
    struct err err = { 0 };

    (void)state;
    assert_int_equal(spool_open(path, 4095, &s, &err), -EINVAL);
    assert_string_equal(err.slug, "spool.too_small");
    assert_ptr_equal(s, (struct spool *)8);
    assert_int_equal(spool_open("/no/such/dir/spool", 4096, &s, &err), -ENOENT);
    assert_string_equal(err.slug, "spool.open");
    assert_ptr_equal(s, (struct spool *)8);
    spool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(messages_come_out_in_order_and_numbers_grow),
        T(epoch_and_numbers_live_as_long_as_the_file),
        T(accepted_survives_a_cut_at_any_byte_of_the_next_record),
        T(a_flipped_bit_anywhere_never_yields_a_wrong_message),
        T(a_message_fits_exactly_or_not_at_all),
        T(acknowledged_room_is_used_again_and_numbers_go_on),
        T(random_operations_agree_with_a_plain_list),
        T(settled_acknowledgements_outlive_the_process),
        T(renewing_begins_an_empty_epoch),
        T(failure_names_itself_and_leaves_ret_alone),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
