/* tests/unit/control/test_topics.c - subscribers hear what is durable, in order, and may come and go at any
 * time. */
#include "fixture.h"

#include "base/text.h"
#include "control/core.h"

struct ear {
    struct fixture *f;
    uint64_t sub, other;
    size_t n;
    uint64_t last_id;
    char last_type[64], last_value[128];
    bool leaves, joins;
    struct ear *late; /* joins while this one hears */
};

static void hear(void *ctx, const struct sub_event *e)
{
    struct ear *x = ctx;
    uint64_t id = e->kind == SUB_EVENT ? e->event->id : e->audit->id;
    struct str type = e->kind == SUB_EVENT ? e->event->type : e->audit->verb;
    const struct kv_list *d = e->kind == SUB_EVENT ? &e->event->details : &e->audit->details;
    assert_true(id > x->last_id);
    assert_int_equal(store_committed(x->f->s), store_newest(x->f->s));
    x->last_id = id;
    x->n++;
    snprintf(x->last_type, sizeof(x->last_type), "%.*s", STR_FMT(type));
    struct str value = d->n ? d->v[0].value : STR_NONE;
    snprintf(x->last_value, sizeof(x->last_value), "%.*s", STR_FMT(value));
    if (x->leaves)
        topic_leave(x->f->c, x->sub);
    if (x->joins && !x->other)
        x->other = topic_events(x->f->c, hear, x->late);
}

static void emit(struct fixture *f, const char *type, struct str value)
{
    struct kv kv[] = { { STR("what"), value } };
    event_emit(f->c, type, NULL, &(struct kv_list){ kv, 1 });
}

static void events_are_heard_after_commit_in_order(void **state)
{
    struct fixture *f = *state;
    struct ear x = { .f = f };
    x.sub = topic_events(f->c, hear, &x);
    emit(f, "one", STR("1"));
    emit(f, "two", STR("2"));
    assert_int_equal(x.n, 0);
    settle(f);
    assert_int_equal(x.n, 2);
    assert_string_equal(x.last_type, "two");
    assert_string_equal(x.last_value, "2");
    assert_int_equal(event_last_id(f->c), x.last_id);
    topic_leave(f->c, x.sub);
    topic_leave(f->c, x.sub); /* twice is nothing */
    emit(f, "three", STR("3"));
    settle(f);
    assert_int_equal(x.n, 2);
}

static void who_leaves_while_hearing_hears_no_more(void **state)
{
    struct fixture *f = *state;
    struct ear a = { .f = f, .leaves = true }, b = { .f = f };
    a.sub = topic_events(f->c, hear, &a);
    b.sub = topic_events(f->c, hear, &b);
    emit(f, "one", STR("1"));
    emit(f, "two", STR("2"));
    settle(f);
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 2);
}

static void who_joins_while_others_hear_starts_with_the_next(void **state)
{
    struct fixture *f = *state;
    struct ear late = { .f = f }, a = { .f = f, .joins = true, .late = &late };
    a.sub = topic_events(f->c, hear, &a);
    emit(f, "one", STR("1"));
    settle(f);
    assert_true(a.other != 0);
    assert_int_equal(a.n, 1);
    assert_int_equal(late.n, 0);
    emit(f, "two", STR("2"));
    settle(f);
    assert_int_equal(late.n, 1);
    topic_leave(f->c, a.other);
}

static void a_subscriber_in_another_job_or_log_hears_nothing_of_this_one(void **state)
{
    struct fixture *f = *state;
    struct ear audit = { .f = f };
    audit.sub = topic_audit(f->c, hear, &audit);
    emit(f, "one", STR("1"));
    settle(f);
    assert_int_equal(audit.n, 0);
    audit_emit(f->c, &f->admin, "192.0.2.1", VERB_RUN, STR("x"), "ok", NULL, NULL);
    settle(f);
    assert_int_equal(audit.n, 1);
    assert_string_equal(audit.last_type, "run");
    assert_int_equal(topic_job(f->c, 99, hear, &audit), 0);
}

static void what_a_peer_said_is_mended_in_events(void **state)
{
    struct fixture *f = *state;
    struct ear x = { .f = f };
    x.sub = topic_events(f->c, hear, &x);
    emit(f, "one", STR("\x1b]0;evil\x07 \xff"));
    settle(f);
    assert_int_equal(x.n, 1);
    assert_true(utf8_is_valid(str_of(x.last_value)));
    assert_null(strchr(x.last_value, 0x1b));
}

/* As pass(), and the store, on a thread of its own, has looked for what is old. */
static void pass_looked(struct fixture *f, usec_t by)
{
    pass(f, by);
    while (f->c->is_retaining)
        fixture_wait(f);
}

/* Not an hour later: the limit may be one of minutes, and the output of an hour more than the disk. */
static void what_is_too_old_goes_within_minutes(void **state)
{
    struct fixture *f = *state;

    f->conf.retention = (struct retention){ .keep = 10 * USEC_PER_MIN, .keep_audit = USEC_PER_DAY, .quota_bytes = 1 << 30 };
    restart(f);
    emit(f, "one", STR("v"));
    pass_looked(f, 9 * USEC_PER_MIN);
    assert_int_equal(n_events(f, "one"), 1);
    for (int i = 0; i < 3; i++)
        pass_looked(f, USEC_PER_MIN);
    assert_int_equal(n_events(f, "one"), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(events_are_heard_after_commit_in_order),
        T(who_leaves_while_hearing_hears_no_more),
        T(who_joins_while_others_hear_starts_with_the_next),
        T(a_subscriber_in_another_job_or_log_hears_nothing_of_this_one),
        T(what_a_peer_said_is_mended_in_events),
        T(what_is_too_old_goes_within_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
