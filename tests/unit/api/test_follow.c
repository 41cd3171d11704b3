/* tests/unit/api/test_follow.c - the promises of api/follow.h, against a log made of numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <stdio.h>
#include <stdlib.h>

#include "api/follow.h"
#include "base/mem.h"

struct world {
    struct follow *f;
    uint64_t first, last; /* kept and committed */
    bool has_room, wants_room, reading, is_over, is_ended;
    uint64_t after, got, n_got, n_gap;
    uint32_t limit;
};

static void read_log(void *ctx, struct follow *f, uint64_t after, uint32_t limit)
{
    struct world *w = ctx;

    (void)f;
    assert_false(w->reading);
    w->reading = true;
    w->after = after;
    w->limit = limit;
}

static void over(void *ctx)
{
    ((struct world *)ctx)->is_over = true;
}

static void put(void *ctx, const char *event, uint64_t id, struct str json)
{
    struct world *w = ctx;

    if (event) {
        assert_string_equal(event, "gap");
        w->n_gap++;
        w->got = w->first - 1;
        return;
    }
    if (w->got)
        assert_int_equal(id, w->got + 1); /* in order, none twice */
    w->got = id;
    w->n_got++;
    assert_true(json.len > 0);
}

static bool has_room(void *ctx)
{
    return ((struct world *)ctx)->has_room;
}

static void want_room(void *ctx)
{
    ((struct world *)ctx)->wants_room = true;
}

static void end(void *ctx)
{
    ((struct world *)ctx)->is_ended = true;
}

static void tell(struct world *w, uint64_t id, void (*to)(struct follow *f, uint64_t id, struct str json))
{
    char json[32];
    int n = snprintf(json, sizeof(json), "{\"id\":%d}", (int)id);

    to(w->f, id, str_bytes(json, (size_t)n));
}

static void happen(struct world *w)
{
    w->last++;
    tell(w, w->last, follow_live);
}

static void answer(struct world *w)
{
    uint32_t n = 0;

    if (!w->reading)
        return;
    w->reading = false;
    for (uint64_t id = w->after + 1 > w->first ? w->after + 1 : w->first; id <= w->last && n < w->limit;
         id++, n++)
        tell(w, id, follow_row);
    follow_read_done(w->f, 0);
}

static void begin(struct world *w, uint64_t first, uint64_t last, bool is_new, uint64_t after)
{
    static struct sink sink;

    *w = (struct world){ .first = first, .last = last, .has_room = true };
    sink = (struct sink){ put, has_room, want_room, end, w };
    w->f = follow_new(&(struct follow_source){ read_log, over, w }, true);
    if (is_new)
        follow_start_new(w->f, &sink);
    else
        follow_start_after(w->f, &sink, after);
}

static void settle(struct world *w)
{
    for (int k = 0; k < 10000 && (w->reading || w->wants_room); k++) {
        w->has_room = true;
        if (w->reading) {
            answer(w);
        } else {
            w->wants_room = false;
            follow_feed_ops.room(w->f);
        }
    }
}

static void only_what_is_new_is_told_without_reading(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 50, true, 0);
    happen(&w);
    happen(&w);
    assert_int_equal(w.n_got, 2);
    assert_int_equal(w.got, 52);
    follow_feed_ops.gone(w.f);
    assert_true(w.is_over);
}

static void what_is_older_comes_first_in_pages(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 1000, false, 10);
    happen(&w);
    settle(&w);
    assert_int_equal(w.n_got, 991);
    happen(&w);
    assert_int_equal(w.got, 1002);
    follow_feed_ops.gone(w.f);
}

static void items_told_during_the_last_read_are_neither_lost_nor_doubled(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 5, false, 0);
    w.reading = false; /* the read sees up to 5, then two more are told before it comes back */
    for (uint64_t id = 1; id <= 5; id++)
        tell(&w, id, follow_row);
    happen(&w);
    happen(&w);
    follow_read_done(w.f, 0);
    assert_int_equal(w.got, 7);
    assert_int_equal(w.n_got, 7);
    follow_feed_ops.gone(w.f);
}

static void a_slow_reader_is_caught_up_from_the_log(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 0, true, 0);
    happen(&w);
    w.has_room = false;
    for (int i = 0; i < 500; i++)
        happen(&w);
    assert_int_equal(w.n_got, 1);
    settle(&w);
    assert_int_equal(w.n_got, 501);
    assert_int_equal(w.n_gap, 0);
    follow_feed_ops.gone(w.f);
}

static void a_reader_that_was_never_fast_misses_nothing_since_it_joined(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 20, true, 0);
    w.has_room = false;
    happen(&w);
    settle(&w);
    assert_int_equal(w.n_got, 1);
    assert_int_equal(w.got, 21);
    follow_feed_ops.gone(w.f);
}

static void what_retention_took_is_a_gap(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 40, 50, false, 10);
    settle(&w);
    assert_int_equal(w.n_gap, 1);
    assert_int_equal(w.n_got, 11);
    follow_feed_ops.gone(w.f);
}

static void a_failed_read_ends_it(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 5, false, 0);
    follow_read_done(w.f, -EIO);
    assert_true(w.is_ended);
    assert_true(w.is_over);
}

static void leaving_during_a_read_frees_after_it(void **state)
{
    struct world w;

    (void)state;
    begin(&w, 1, 5, false, 0);
    follow_feed_ops.gone(w.f);
    follow_row(w.f, 1, STR("{}"));
    assert_int_equal(w.n_got, 0);
    follow_read_done(w.f, 0);
}

static void any_order_of_events_tells_each_item_once(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 500; seed++) {
        struct world w;

        srand(seed);
        begin(&w, 1, (uint64_t)(rand() % 700), false, 0);
        for (int k = 0; k < 2000; k++) {
            switch (rand() % 5) {
            case 0:
            case 1:
                happen(&w);
                break;
            case 2:
                answer(&w);
                break;
            case 3:
                w.has_room = rand() % 2;
                break;
            case 4:
                if (w.wants_room && w.has_room) {
                    w.wants_room = false;
                    follow_feed_ops.room(w.f);
                }
                break;
            }
        }
        settle(&w);
        assert_int_equal(w.n_got, w.last);
        assert_int_equal(w.got, w.last);
        follow_feed_ops.gone(w.f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_new_is_told_without_reading),
        cmocka_unit_test(what_is_older_comes_first_in_pages),
        cmocka_unit_test(items_told_during_the_last_read_are_neither_lost_nor_doubled),
        cmocka_unit_test(a_slow_reader_is_caught_up_from_the_log),
        cmocka_unit_test(a_reader_that_was_never_fast_misses_nothing_since_it_joined),
        cmocka_unit_test(what_retention_took_is_a_gap),
        cmocka_unit_test(a_failed_read_ends_it),
        cmocka_unit_test(leaving_during_a_read_frees_after_it),
        cmocka_unit_test(any_order_of_events_tells_each_item_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
