/* tests/unit/control/test_run_events.c - what scripts tell, once; who may look and touch; tokens, locks, addresses. */
#include "run_fixture.h"

#include "store/store.h"

static int setup(void **state)
{
    fixture_setup(state);
    user_make(*state, "alice", ROLE_VIEWER);
    user_make(*state, "eve", ROLE_VIEWER);
    user_make(*state, "ada", ROLE_ADMIN);
    return 0;
}

/* -- once */
static void a_repeat_has_the_same_number_also_after_a_restart(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct run_event e = event_of("b1", RUN_EVENT_JOB_DONE), log = event_of("b1", RUN_EVENT_LOG);
    e.item_id = STR("j1");
    log.line = STR("hello");
    struct talk one = tell_event(f, &p, &e), two = tell_event(f, &p, &e), l1 = tell_event(f, &p, &log);
    assert_int_equal(one.result, 0);
    assert_false(one.is_repeat);
    assert_true(two.is_repeat);
    assert_int_equal(one.number, two.number);
    assert_true(l1.number > one.number);
    restart(f);
    struct talk three = tell_event(f, &p, &e), l2 = tell_event(f, &p, &log);
    assert_true(three.is_repeat && l2.is_repeat);
    assert_int_equal(three.number, one.number);
    assert_int_equal(l2.number, l1.number);
}

static void two_of_one_id_in_one_turn_take_effect_once(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_START);
    struct talk one = { 0 }, two = { 0 };
    run_ingest(f->c, &p, &e, on_told, &one);
    run_ingest(f->c, &p, &e, on_told, &two);
    while (!one.n || !two.n) {
        turn(f);
        if (!one.n || !two.n)
            fixture_wait(f);
    }
    assert_int_equal(one.number, two.number);
    assert_true(!one.is_repeat && two.is_repeat);
}

static void another_user_may_use_the_same_id(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_START);
    struct talk one = tell_event(f, &p, &e);
    e.batch_id = STR("b2");
    struct talk two = tell_event(f, &q, &e);
    assert_false(two.is_repeat);
    assert_true(one.number != two.number);
}

static void bad_events_are_refused_with_the_field(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    char big[200];
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_START);
    memset(big, 'x', sizeof(big));
    e.event_id = STR("not-a-uuid");
    assert_string_equal(tell_event(f, &p, &e).slug, "field.invalid");
    e = event_of("", RUN_EVENT_BATCH_START);
    assert_string_equal(tell_event(f, &p, &e).slug, "field.invalid");
    e = event_of("b1", RUN_EVENT_BATCH_START);
    e.batch_id = str_bytes(big, RUN_ID_MAX + 1);
    assert_string_equal(tell_event(f, &p, &e).slug, "field.invalid");
    e.batch_id.len = RUN_ID_MAX;
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    e = event_of("b1", RUN_EVENT_JOB_START);
    assert_string_equal(tell_event(f, &p, &e).slug, "run.no_item");
    e = event_of("b1", RUN_EVENT_BATCH_START);
    e.project = STR("two\nlines");
    assert_string_equal(tell_event(f, &p, &e).slug, "field.invalid");
}

/* -- effects */
static void on_item(void *ctx, const struct run_item_row *i)
{
    snprintf((char *)ctx + strlen(ctx), 256, "%.*s:%.*s ", STR_FMT(i->item_id), STR_FMT(i->status));
}

static void items_are_counted_from_what_is_kept(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_START);
    struct run_view v;
    char text[512] = "";
    e.has_total = true;
    e.n_total = 3;
    tell_event(f, &p, &e);
    e = event_of("b1", RUN_EVENT_JOB_START);
    e.item_id = STR("j1");
    tell_event(f, &p, &e);
    e = event_of("b1", RUN_EVENT_JOB_DONE);
    e.item_id = STR("j1");
    e.status = STR("DONE");
    e.metrics = STR("{\"acc\":0.9}");
    tell_event(f, &p, &e);
    e = event_of("b1", RUN_EVENT_JOB_FAILED);
    e.item_id = STR("j2");
    tell_event(f, &p, &e);
    e = event_of("b1", RUN_EVENT_JOB_EPOCH);
    e.item_id = STR("j3");
    tell_event(f, &p, &e);
    restart(f);
    look(f, &p, "b1", &v);
    assert_int_equal(v.row->n_total, 3);
    assert_int_equal(v.row->n_done, 1);
    assert_int_equal(v.row->n_failed, 1);
    run_items(f->c, v.id, on_item, text);
    assert_string_equal(text, "j1:done j2:failed j3:running ");
}

static void a_start_keeps_the_start_time_and_the_owner(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), admin = script(f, "ada", "reporter", NULL);
    struct run_view v;
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_START);
    e.at += USEC_PER_HOUR;
    tell_event(f, &admin, &e);
    look(f, &p, "b1", &v);
    assert_int_equal(v.row->start_time, 1600000000 * USEC_PER_SEC);
    assert_true(str_is(v.owner, "alice"));
    tell(f, &p, "b1", RUN_EVENT_BATCH_DONE);
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    assert_int_equal(state_of(f, "b1"), RUN_DONE);
}

static void a_stranger_s_events_are_kept_without_effect(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    tell(f, &p, "b1", RUN_EVENT_BATCH_START);
    assert_int_equal(tell(f, &q, "b1", RUN_EVENT_BATCH_FAILED).result, 0);
    assert_int_equal(state_of(f, "b1"), RUN_RUNNING);
}

static struct run_event snapshot_of(const char *batch, const char *command)
{
    static struct kv env[] = { { { "API_KEY", 7 }, { "hush", 4 } } };
    struct run_event e = event_of(batch, RUN_EVENT_SNAPSHOT);
    e.data_command = str_of(command);
    e.cwd = STR("/srv");
    e.env = (struct kv_list){ env, 1 };
    e.meta = STR("{\"git_sha\":\"abc\"}");
    e.data = STR_NONE;
    return e;
}

static void the_first_snapshot_of_the_owner_wins(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), admin = script(f, "ada", "reporter", NULL),
                     q = script(f, "eve", "reporter", NULL);
    struct agent a = agent_make(f, &p, "web-1");
    char child[RUN_ID_MAX + 1];
    batch_done(f, &p, "b1");
    struct run_event e = snapshot_of("b1", "rm -rf /");
    assert_int_equal(tell_event(f, &q, &e).result, 0);
    e = snapshot_of("b1", "rm -rf /usr");
    assert_int_equal(tell_event(f, &admin, &e).result, 0); /* not even an admin */
    e = snapshot_of("b1", "echo 'one\n$(two)' \"ü\"");
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    e = snapshot_of("b1", "echo three");
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    rerun(f, &p, "b1", child);
    struct orders os = fetch(f, &a);
    assert_string_equal(os.v[0].command, "echo 'one\n$(two)' \"ü\"");
    assert_string_equal(os.v[0].cwd, "/srv");
    assert_string_equal(os.v[0].secret, "hush");
    restart(f);
    assert_string_equal(fetch(f, &a).v[0].secret, "hush");
    /* A copy has its source's: nobody puts another one in. */
    e = snapshot_of(child, "echo four");
    tell_event(f, &p, &e);
    assert_string_equal(fetch(f, &a).v[0].command, "echo 'one\n$(two)' \"ü\"");
}

static void a_snapshot_that_is_too_large_is_refused(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    AUTO_FREE char *text = xmalloc(RUN_COMMAND_MAX + 2);
    batch_done(f, &p, "b1");
    memset(text, 1, RUN_COMMAND_MAX + 1); /* each is six bytes of JSON */
    text[40000] = '\0';
    struct run_event e = snapshot_of("b1", text);
    assert_string_equal(tell_event(f, &p, &e).slug, "run.too_large");
    memset(text, 'x', RUN_COMMAND_MAX + 1);
    text[RUN_COMMAND_MAX + 1] = '\0';
    e = snapshot_of("b1", text);
    assert_string_equal(tell_event(f, &p, &e).slug, "run.too_large");
    e = event_of("b2", RUN_EVENT_BATCH_DONE); /* as the batch's own it is not kept */
    e.command = str_of(text);
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    struct kv big = { STR("A"), str_bytes(text, (64 << 10) + 1) };
    e = snapshot_of("b1", "true");
    e.env = (struct kv_list){ &big, 1 };
    assert_string_equal(tell_event(f, &p, &e).slug, "run.too_large");
    restart(f); /* what was kept can be read */
    struct run_view v;
    look(f, &p, "b2", &v);
    assert_int_equal(v.row->command.len, 0);
    text[64 << 10] = '\0';
    e = snapshot_of("b1", text);
    assert_int_equal(tell_event(f, &p, &e).result, 0);
}

/* What runs take in memory is bounded by person: those that are over make room, those under way do not. */
static void the_runs_of_a_person_have_so_much_room_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    AUTO_FREE char *text = xcalloc(1, (120 << 10) + 1);
    char batch[32];
    struct run_view v;
    struct talk t = { 0 };
    int n = 0;
    memset(text, 'x', 120 << 10);
    for (; t.result == 0 && n < 2000; n++) {
        snprintf(batch, sizeof(batch), "b%d", n);
        struct run_event e = event_of(batch, RUN_EVENT_BATCH_START);
        e.command = str_of(text);
        t = tell_event(f, &p, &e);
    }
    assert_string_equal(t.slug, "run.too_many");
    assert_in_range(n, 1000, (128 << 20) / (120 << 10));
    struct run_event mine = event_of(batch, RUN_EVENT_BATCH_START), hers = event_of("hers", RUN_EVENT_BATCH_START);
    mine.command = hers.command = str_of(text);
    assert_int_equal(tell_event(f, &q, &hers).result, 0);
    restart(f); /* counted anew, the same */
    assert_string_equal(tell_event(f, &p, &mine).slug, "run.too_many");
    tell(f, &p, "b7", RUN_EVENT_LOG); /* what takes no room goes on */
    tell(f, &p, "b7", RUN_EVENT_BATCH_DONE);
    assert_int_equal(tell_event(f, &p, &mine).result, 0);
    assert_int_equal(look(f, &p, "b7", &v), -ENOENT);
    assert_int_equal(look(f, &q, "hers", &v), 0);
}

struct lines {
    char text[512];
    uint64_t last;
    bool is_done;
};
static void on_line(void *ctx, uint64_t id, const struct run_log_row *l)
{
    struct lines *x = ctx;
    snprintf(x->text + strlen(x->text), 100, "%.*s ", STR_FMT(l->line));
    x->last = id;
}
static void on_lines(void *ctx, int result)
{
    struct lines *x = ctx;
    assert_int_equal(result, 0);
    x->is_done = true;
}
static struct lines lines_of(struct fixture *f, const struct principal *p, const char *batch, uint64_t after, uint32_t limit)
{
    struct lines x = { .text = "" };
    struct run_view v;
    assert_int_equal(look(f, p, batch, &v), 0);
    run_read_logs(f->c, v.id, after, limit, on_line, on_lines, &x);
    while (!x.is_done) {
        turn(f);
        if (!x.is_done)
            fixture_wait(f);
    }
    return x;
}

static void lines_are_read_in_order_and_in_pages(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL);
    static const char *const say[] = { "one", "two", "three" };
    for (size_t i = 0; i < 3; i++) {
        struct run_event e = event_of("b1", RUN_EVENT_LOG);
        e.line = str_of(say[i]);
        tell_event(f, &p, &e);
    }
    struct lines x = lines_of(f, &p, "b1", 0, 2);
    assert_string_equal(x.text, "one two ");
    assert_string_equal(lines_of(f, &p, "b1", x.last, 2).text, "three ");
}

static void the_rate_is_ten_a_second_after_sixty(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "alice", "reporter", NULL),
                     v = script(f, "alice", "viewer", NULL);
    struct principal alice = person(f, "alice");
    usec_t wait;
    for (int i = 0; i < 60; i++)
        assert_int_equal(run_ingest_admit(f->c, &p, &wait, &f->err), 0);
    assert_refused(f, run_ingest_admit(f->c, &p, &wait, &f->err), -EBUSY, "rate.limited");
    assert_true(wait > 0 && wait <= USEC_PER_SEC);
    assert_int_equal(run_ingest_admit(f->c, &q, &wait, &f->err), 0); /* per token */
    clock_turn(&f->clock, USEC_PER_SEC);
    for (int i = 0; i < 10; i++)
        assert_int_equal(run_ingest_admit(f->c, &p, &wait, &f->err), 0);
    assert_int_equal(run_ingest_admit(f->c, &p, &wait, &f->err), -EBUSY);
    assert_refused(f, run_ingest_admit(f->c, &v, &wait, &f->err), -EACCES, "run.reporter_only");
    assert_refused(f, run_ingest_admit(f->c, &alice, &wait, &f->err), -EACCES, "run.reporter_only");
    assert_refused(f, run_ingest_admit(f->c, &f->admin, &wait, &f->err), -EACCES, "auth.required");
}

/* -- who may */
static void strangers_see_nothing_viewers_look_editors_and_recipients_touch(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), alice = person(f, "alice"), eve = person(f, "eve"),
                     ada = person(f, "ada");
    struct run_view v;
    char child[RUN_ID_MAX + 1];
    uint64_t id = 0;
    const struct str_list none = { 0 };
    batch_done(f, &p, "b1");
    assert_refused(f, look(f, &eve, "b1", &v), -ENOENT, "run.unknown");
    assert_refused(f, rerun(f, &eve, "b1", child), -ENOENT, "run.unknown");
    assert_refused(f, run_share_run(f->c, &eve, STR("b1"), STR("eve"), RUN_SHARE_EDITOR, &f->err), -ENOENT, "run.unknown");

    assert_int_equal(run_share_run(f->c, &alice, STR("b1"), STR("eve"), RUN_SHARE_VIEWER, &f->err), 0);
    assert_int_equal(look(f, &eve, "b1", &v), 0);
    assert_refused(f, rerun(f, &eve, "b1", child), -EACCES, "run.denied");
    assert_refused(f, run_stop(f->c, &eve, STR("b1"), &v, &f->err), -EACCES, "run.denied");
    assert_refused(f, run_share_run(f->c, &eve, STR("b1"), STR("eve"), RUN_SHARE_EDITOR, &f->err), -EACCES, "run.denied");
    assert_int_equal(run_share_run(f->c, &alice, STR("b1"), STR("eve"), RUN_SHARE_EDITOR, &f->err), 0);
    assert_int_equal(rerun(f, &eve, "b1", child), 0);
    assert_int_equal(run_unshare_run(f->c, &alice, STR("b1"), STR("eve"), &f->err), 0);
    assert_refused(f, look(f, &eve, "b1", &v), -ENOENT, "run.unknown");
    assert_refused(f, run_unshare_run(f->c, &alice, STR("b1"), STR("eve"), &f->err), -ENOENT, "share.unknown");

    /* Her copy stays hers to see; what started it is not hers to use any more. */
    assert_int_equal(stop(f, &eve, child), RUN_CANCELLED);
    char again[RUN_ID_MAX + 1];
    assert_refused(f, rerun(f, &eve, child, again), -EACCES, "run.denied");

    assert_int_equal(run_share_project(f->c, &alice, STR("vision"), STR("eve"), RUN_SHARE_EDITOR, &f->err), 0);
    restart(f);
    assert_int_equal(rerun(f, &eve, "b1", child), 0);
    assert_int_equal(run_unshare_project(f->c, &alice, STR("vision"), STR("eve"), &f->err), 0);

    assert_int_equal(run_recipient_add(f->c, &alice, STR("vision"), STR("Eve@x.example"), &none, true, &id, &f->err), 0);
    assert_refused(f, look(f, &eve, "b1", &v), -ENOENT, "run.unknown"); /* no address is known of her */
    assert_int_equal(person_email_set(f->c, &eve, STR("eve"), STR("eve@x.example"), &f->err), -EACCES); /* not hers to claim */
    assert_int_equal(person_email_set(f->c, &ada, STR("eve"), STR("eve@x.example"), &f->err), 0);
    assert_int_equal(rerun(f, &eve, "b1", child), 0);
    const struct run_recipient_change off = { .has_enabled = true };
    assert_int_equal(run_recipient_change(f->c, &alice, STR("vision"), id, &off, &f->err), 0);
    assert_refused(f, rerun(f, &eve, "b1", child), -EACCES, "run.denied");
    assert_int_equal(run_recipient_remove(f->c, &alice, STR("vision"), id, &f->err), 0);
    assert_refused(f, look(f, &eve, "b1", &v), -ENOENT, "run.unknown");
}

static void a_viewer_s_token_looks_and_never_touches(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), look_only = script(f, "alice", "viewer", NULL);
    char child[RUN_ID_MAX + 1];
    struct run_view v;
    batch_done(f, &p, "b1");
    assert_int_equal(look(f, &look_only, "b1", &v), 0);
    assert_refused(f, rerun(f, &look_only, "b1", child), -EACCES, "run.denied");
    assert_refused(f, run_stop(f->c, &look_only, STR("b1"), &v, &f->err), -EACCES, "run.denied");
}

static void projects_and_lists_are_their_owner_s(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL), alice = person(f, "alice"),
                     eve = person(f, "eve");
    const struct str_list none = { 0 };
    struct run_view v;
    uint64_t id;
    assert_refused(f, run_recipient_add(f->c, &eve, STR("vision"), STR("a@b"), &none, true, &id, &f->err), -ENOENT,
                   "project.unknown");
    batch_done(f, &p, "b1");
    batch_done(f, &q, "b2"); /* the same name: another project */
    assert_int_equal(run_share_project(f->c, &eve, STR("vision"), STR("alice"), RUN_SHARE_VIEWER, &f->err), 0);
    assert_int_equal(look(f, &alice, "b2", &v), 0);
    assert_refused(f, look(f, &eve, "b1", &v), -ENOENT, "run.unknown");
    assert_refused(f, run_recipient_add(f->c, &alice, STR("vision"), STR("no address"), &none, true, &id, &f->err), -EINVAL,
                   "field.invalid");
    assert_int_equal(run_recipient_add(f->c, &alice, STR("vision"), STR("a@b"), &none, true, &id, &f->err), 0);
    assert_refused(f, run_recipient_add(f->c, &alice, STR("vision"), STR("A@B"), &none, true, &id, &f->err), -EEXIST,
                   "recipient.exists");
    assert_refused(f, run_recipient_remove(f->c, &eve, STR("vision"), id, &f->err), -ENOENT, "recipient.unknown");
}

static void count_view(void *ctx, const struct run_view *v)
{
    (void)v;
    ++*(int *)ctx;
}
static int listed(struct fixture *f, const struct principal *p, const struct run_filter *filter)
{
    int n = 0;
    run_list(f->c, p, filter, count_view, &n);
    return n;
}

static void lists_are_filtered_and_bounded(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL), alice = person(f, "alice"),
                     ada = person(f, "ada");
    batch_done(f, &p, "b1");
    tell(f, &p, "b2", RUN_EVENT_BATCH_START);
    tell(f, &q, "b3", RUN_EVENT_BATCH_START);
    assert_int_equal(listed(f, &alice, &(struct run_filter){ .limit = 50 }), 2);
    assert_int_equal(listed(f, &ada, &(struct run_filter){ .limit = 50 }), 3);
    assert_int_equal(listed(f, &ada, &(struct run_filter){ .limit = 2 }), 2);
    assert_int_equal(listed(f, &ada, &(struct run_filter){ .limit = 50, .scope = STR("mine") }), 0);
    assert_int_equal(listed(f, &ada, &(struct run_filter){ .limit = 50, .user = STR("eve") }), 1);
    assert_int_equal(listed(f, &alice, &(struct run_filter){ .limit = 50, .state = RUN_DONE }), 1);
    assert_int_equal(listed(f, &alice, &(struct run_filter){ .limit = 50, .project = STR("other") }), 0);
    assert_int_equal(listed(f, &alice, &(struct run_filter){ .limit = 50, .scope = STR("public") }), 0);
    assert_int_equal(run_share_project(f->c, &alice, STR("vision"), STR("eve"), RUN_SHARE_VIEWER, &f->err), 0);
    struct principal eve = person(f, "eve");
    assert_int_equal(listed(f, &eve, &(struct run_filter){ .limit = 50, .scope = STR("shared") }), 2);
    assert_int_equal(listed(f, &eve, &(struct run_filter){ .limit = 50, .scope = STR("mine") }), 1);
}

/* -- tokens, locks */
static void fifty_tokens_are_alive_at_most(void **state)
{
    struct fixture *f = *state;
    struct principal alice = person(f, "alice"), key = { 0 };
    const struct credential *cr = NULL;
    char text[SECRET_TEXT_MAX];
    bool was;
    for (int i = 0; i < RUN_TOKENS_MAX; i++)
        assert_int_equal(run_token_create(f->c, &alice, STR("t"), i % 2 ? STR("viewer") : STR("reporter"), 0, text, &cr, &f->err),
                         0);
    assert_refused(f, run_token_create(f->c, &alice, STR("t"), STR("viewer"), 0, text, &cr, &f->err), -EEXIST,
                   "run_token.too_many");
    assert_int_equal(run_token_revoke(f->c, &alice, cr ? cr->id : 1, true, &was, &f->err), 0);
    assert_int_equal(run_token_create(f->c, &alice, STR("t"), STR("reporter"),
                                      control_identity(f->c) ? clock_wall(&f->clock) + USEC_PER_HOUR : 0, text, &cr, &f->err),
                     0);
    assert_int_equal(run_key_check(f->c, str_of(text), &script_peer, &key, &f->err), 0);
    clock_turn(&f->clock, USEC_PER_HOUR);
    assert_refused(f, run_key_check(f->c, str_of(text), &script_peer, &key, &f->err), -EACCES, "auth.expired");
}

static void who_signs_up_is_a_viewer_and_not_often(void **state)
{
    struct fixture *f = *state;
    struct user_row u;
    usec_t wait = 0;
    int result = 1, r = 0, n = 0;
    assert_refused(f, run_sign_up(f->c, false, STR("zoe"), STR("correct horse"), "192.0.2.9", on_user_made, &result, &wait, &f->err),
                   -EACCES, "auth.closed");
    for (; r == 0 && n < 100; n++) {
        char name[16];
        snprintf(name, sizeof(name), "zoe%d", n);
        f->err = (struct err){ 0 };
        r = run_sign_up(f->c, true, str_of(name), STR("correct horse"), "192.0.2.9", on_user_made, &result, &wait, &f->err);
        settle(f);
    }
    assert_int_equal(result, 0);
    assert_int_equal(r, -EBUSY);
    assert_string_equal(f->err.slug, "rate.limited");
    assert_int_equal(n, 11);
    assert_true(wait > 0);
    assert_int_equal(user_find(f->c, STR("zoe0"), &u), 0);
    assert_int_equal(u.role, ROLE_VIEWER);
}

static void tokens_are_made_by_people_and_checked(void **state)
{
    struct fixture *f = *state;
    struct principal alice = person(f, "alice"), key = script(f, "alice", "reporter", NULL);
    const struct credential *cr;
    char text[SECRET_TEXT_MAX], name[66];
    memset(name, 'n', sizeof(name));
    assert_refused(f, run_token_create(f->c, &key, STR("t"), STR("viewer"), 0, text, &cr, &f->err), -EACCES, "run.people_only");
    assert_refused(f, run_token_create(f->c, &alice, STR(""), STR("viewer"), 0, text, &cr, &f->err), -EINVAL, "field.invalid");
    assert_refused(f, run_token_create(f->c, &alice, str_bytes(name, 65), STR("viewer"), 0, text, &cr, &f->err), -EINVAL,
                   "field.invalid");
    assert_int_equal(run_token_create(f->c, &alice, str_bytes(name, 64), STR("viewer"), 0, text, &cr, &f->err), 0);
    assert_refused(f, run_token_create(f->c, &alice, STR("t"), STR("admin"), 0, text, &cr, &f->err), -EINVAL, "field.enum");
    assert_refused(f, run_token_create(f->c, &alice, STR("t"), STR("viewer"), 1, text, &cr, &f->err), -EINVAL, "field.range");
}

static void five_wrong_passwords_lock_a_name_for_ten_minutes(void **state)
{
    struct fixture *f = *state;
    usec_t wait = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(run_login_allowed(f->c, STR("alice"), &wait, &f->err), 0);
        run_login_told(f->c, STR("alice"), false);
    }
    assert_refused(f, run_login_allowed(f->c, STR("alice"), &wait, &f->err), -EBUSY, "auth.locked");
    assert_int_equal(wait, 10 * USEC_PER_MIN);
    assert_int_equal(run_login_allowed(f->c, STR("eve"), &wait, &f->err), 0);
    clock_turn(&f->clock, 10 * USEC_PER_MIN);
    assert_int_equal(run_login_allowed(f->c, STR("alice"), &wait, &f->err), 0);
    for (int i = 0; i < 4; i++)
        run_login_told(f->c, STR("alice"), false);
    run_login_told(f->c, STR("alice"), true); /* a good one forgives */
    for (int i = 0; i < 4; i++)
        run_login_told(f->c, STR("alice"), false);
    assert_int_equal(run_login_allowed(f->c, STR("alice"), &wait, &f->err), 0);
}

static void an_address_is_one_user_s_and_finds_him(void **state)
{
    struct fixture *f = *state;
    struct principal ada = person(f, "ada");
    char name[LIMIT_NAME + 1];
    assert_int_equal(person_email_set(f->c, &ada, STR("alice"), STR("al@x.example"), &f->err), 0);
    assert_refused(f, person_email_set(f->c, &ada, STR("eve"), STR("AL@x.example"), &f->err), -EEXIST, "email.taken");
    assert_refused(f, person_email_set(f->c, &ada, STR("nobody"), STR("n@x"), &f->err), -ENOENT, "user.unknown");
    restart(f);
    run_person_name(f->c, STR("Al@X.example"), name);
    assert_string_equal(name, "alice");
    run_person_name(f->c, STR("what@else"), name);
    assert_string_equal(name, "what@else");
    assert_int_equal(person_email_set(f->c, &ada, STR("alice"), STR_NONE, &f->err), 0);
    run_person_name(f->c, STR("al@x.example"), name);
    assert_string_equal(name, "al@x.example");
}

static void a_name_is_nobody_else_s_address(void **state)
{
    struct fixture *f = *state;
    struct principal ada = person(f, "ada");
    usec_t wait = 0;
    int result = 1;
    assert_int_equal(person_email_set(f->c, &ada, STR("alice"), STR("Al@x.example"), &f->err), 0);
    user_create(f->c, &f->admin, STR("al@x.example"), ROLE_VIEWER, STR("correct horse"), on_user_made, &result);
    settle(f);
    assert_int_equal(result, -EEXIST);
    user_make(f, "bob@x.example", ROLE_VIEWER); /* his name, and nobody's address: let him, then it stays his */
    assert_refused(f, person_email_set(f->c, &ada, STR("eve"), STR("BOB@x.example"), &f->err), -EEXIST, "email.taken");
    assert_int_equal(person_email_set(f->c, &ada, STR("bob@x.example"), STR("Bob@x.example"), &f->err), 0);
    assert_refused(f, run_sign_up(f->c, true, STR("ev@y.example"), STR("correct horse"), "192.0.2.5", on_user_made, &result, &wait, &f->err),
                   -EINVAL, "user.bad_name");
}

/* Made before the rule was. */
static void an_impostor_of_before_is_not_who_has_the_address(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), alice = person(f, "alice"), ada = person(f, "ada");
    char hash[PASSWORD_HASH_MAX], name[LIMIT_NAME + 1];
    struct run_event e = event_of("b1", RUN_EVENT_BATCH_DONE);
    assert_int_equal(tell_event(f, &p, &e).result, 0);
    assert_int_equal(person_email_set(f->c, &ada, STR("eve"), STR("eve@x.example"), &f->err), 0);
    assert_int_equal(person_email_set(f->c, &ada, STR("ada"), STR("old@x.example"), &f->err), 0);
    assert_int_equal(password_hash(STR("correct horse"), hash), 0);
    struct user_row u = { .id = 900, .name = STR("eve@x.example"), .password_hash = str_of(hash), .role = ROLE_VIEWER, .created_at = 1 };
    store_put_user(f->s, &u);
    settle(f);
    restart(f);
    run_person_name(f->c, STR("eve@x.example"), name);
    assert_string_equal(name, "eve");
    assert_refused(f, run_share_run(f->c, &alice, STR("b1"), STR("eve@x.example"), RUN_SHARE_EDITOR, &f->err), -ENOENT, "user.unknown");
    assert_int_equal(run_share_run(f->c, &alice, STR("b1"), STR("eve"), RUN_SHARE_EDITOR, &f->err), 0);
    assert_int_equal(person_email_set(f->c, &ada, STR("eve"), STR_NONE, &f->err), 0); /* whose name alone it is, is found by it as ever */
    run_person_name(f->c, STR("eve@x.example"), name);
    assert_string_equal(name, "eve@x.example");
    assert_int_equal(run_share_run(f->c, &alice, STR("b1"), STR("eve@x.example"), RUN_SHARE_VIEWER, &f->err), 0);
}

/* One under, exact, one over; and another person has room all the same. */
static void one_person_s_shares_and_lists_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct principal p = script(f, "alice", "reporter", NULL), q = script(f, "eve", "reporter", NULL);
    struct principal alice = person(f, "alice"), eve = person(f, "eve");
    const struct str_list none = { 0 };
    char batch[32], project[32], email[48];
    uint64_t id;
    for (int i = 0; i <= 1000; i++) {
        snprintf(batch, sizeof(batch), "b%d", i);
        snprintf(project, sizeof(project), "p%d", i / 200);
        snprintf(email, sizeof(email), "u%d@x.example", i);
        struct run_event e = event_of(batch, RUN_EVENT_BATCH_DONE);
        e.project = str_of(project);
        assert_int_equal(tell_event(f, &p, &e).result, 0);
        assert_int_equal(run_share_run(f->c, &alice, str_of(batch), STR("eve"), RUN_SHARE_VIEWER, &f->err), i < 1000 ? 0 : -EBUSY);
        assert_int_equal(run_recipient_add(f->c, &alice, str_of(project), str_of(email), &none, true, &id, &f->err),
                         i < 1000 ? 0 : -EBUSY);
    }
    assert_string_equal(f->err.slug, "run.too_many");
    assert_int_equal(run_share_run(f->c, &alice, STR("b0"), STR("eve"), RUN_SHARE_EDITOR, &f->err), 0); /* changed, not added */
    assert_int_equal(listed(f, &eve, &(struct run_filter){ .limit = 500, .scope = STR("shared") }), 500);
    struct run_event e = event_of("of-eve", RUN_EVENT_BATCH_DONE);
    assert_int_equal(tell_event(f, &q, &e).result, 0);
    assert_int_equal(run_share_run(f->c, &eve, STR("of-eve"), STR("alice"), RUN_SHARE_VIEWER, &f->err), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_repeat_has_the_same_number_also_after_a_restart),
        T(two_of_one_id_in_one_turn_take_effect_once),
        T(another_user_may_use_the_same_id),
        T(bad_events_are_refused_with_the_field),
        T(items_are_counted_from_what_is_kept),
        T(a_start_keeps_the_start_time_and_the_owner),
        T(a_stranger_s_events_are_kept_without_effect),
        T(the_first_snapshot_of_the_owner_wins),
        T(a_snapshot_that_is_too_large_is_refused),
        T(the_runs_of_a_person_have_so_much_room_and_no_more),
        T(lines_are_read_in_order_and_in_pages),
        T(the_rate_is_ten_a_second_after_sixty),
        T(strangers_see_nothing_viewers_look_editors_and_recipients_touch),
        T(a_viewer_s_token_looks_and_never_touches),
        T(projects_and_lists_are_their_owner_s),
        T(lists_are_filtered_and_bounded),
        T(fifty_tokens_are_alive_at_most),
        T(who_signs_up_is_a_viewer_and_not_often),
        T(tokens_are_made_by_people_and_checked),
        T(five_wrong_passwords_lock_a_name_for_ten_minutes),
        T(an_address_is_one_user_s_and_finds_him),
        T(a_name_is_nobody_else_s_address),
        T(an_impostor_of_before_is_not_who_has_the_address),
        T(one_person_s_shares_and_lists_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
