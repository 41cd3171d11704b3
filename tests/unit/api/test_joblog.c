/* tests/unit/api/test_joblog.c - the promises of api/joblog.h, against a store and a job made of arrays.
 *
 * The random test plays a job: bytes are "committed" to the store and told live in order, reads are answered
 * late and see what is committed then, the sink is full now and then. Whatever the order, a reader must get
 * every byte once, in order, and the end of a task after its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include <stdio.h>
#include <stdlib.h>

#include "api/joblog.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

enum { TASKS = 5, BYTES = 400, FIRST_ID = 100 };

struct task {
    char data[2][BYTES];
    size_t n[2];      /* committed */
    size_t kept_from; /* retention took what is before */
    enum task_state state;
};
struct world {
    struct joblog *jl;
    struct task tasks[TASKS];
    bool has_room, wants_room, is_over, is_ended, is_finished;
    /* the one read under way */
    enum { NONE, R_TASKS, R_TASK, R_OUTPUT } read;
    uint64_t after, task_id, offset, max;
    uint32_t limit;
    enum output_stream stream;
    /* what the reader got */
    char got[TASKS][2][BYTES + 1];
    size_t n_got[TASKS][2], n_gap[TASKS][2];
    int n_done[TASKS];
    int n_task_events;
};

static struct task_row row_of(struct world *w, int i)
{
    struct task *t = &w->tasks[i];

    return (struct task_row){ .id = FIRST_ID + (uint64_t)i,
                              .job_id = 1,
                              .host_id = 10 + (uint64_t)i,
                              .host_name = STR("h"),
                              .state = t->state,
                              .outcome = t->state == TASK_DONE ? OUTCOME_EXITED : OUTCOME_NONE,
                              .stdout_bytes = t->n[0],
                              .stderr_bytes = t->n[1],
                              .stdout_total = t->n[0],
                              .stderr_total = t->n[1] };
}

/* -- source */
static void src_tasks(void *ctx, struct joblog *jl, uint64_t after, uint32_t limit)
{
    struct world *w = ctx;

    (void)jl;
    assert_int_equal(w->read, NONE);
    w->read = R_TASKS;
    w->after = after;
    w->limit = limit;
}

static void src_task(void *ctx, struct joblog *jl, uint64_t task_id)
{
    struct world *w = ctx;

    (void)jl;
    assert_int_equal(w->read, NONE);
    w->read = R_TASK;
    w->task_id = task_id;
}

static void src_output(void *ctx, struct joblog *jl, uint64_t task_id, enum output_stream stream,
                       uint64_t offset, uint64_t max_bytes)
{
    struct world *w = ctx;

    (void)jl;
    assert_int_equal(w->read, NONE);
    w->read = R_OUTPUT;
    w->task_id = task_id;
    w->stream = stream;
    w->offset = offset;
    w->max = max_bytes;
}

static void task_json(void *ctx, const struct task_row *t, struct buf *out, struct buf *host)
{
    (void)ctx;
    (void)buf_printf(out, "{\"id\":%d,\"state\":%d}", (int)t->id, (int)t->state);
    (void)buf_cstr(host, "\"host\":\"h\"");
}

static void finished(void *ctx, struct joblog *jl)
{
    struct world *w = ctx;

    (void)jl;
    assert_false(w->is_finished);
    w->is_finished = true;
}

static void over(void *ctx)
{
    struct world *w = ctx;

    assert_false(w->is_over);
    w->is_over = true;
}

/* Chunks of at most 7 bytes, starting where chunks start. */
static void answer_output(struct world *w)
{
    int i = (int)(w->task_id - FIRST_ID), s = w->stream == STREAM_STDERR;
    struct task *t = &w->tasks[i];

    for (uint64_t at = w->offset / 7 * 7; at < t->n[s]; at += 7) {
        size_t len = t->n[s] - at < 7 ? t->n[s] - at : 7;

        if (at + len > t->kept_from)
            joblog_output_row(
                w->jl, &(struct output_frame){ w->task_id, w->stream, at, str_bytes(t->data[s] + at, len) });
    }
}

static void answer(struct world *w)
{
    int what = (int)w->read;
    struct task_row row;

    w->read = NONE;
    if (what == R_TASKS) {
        uint32_t n = 0;

        for (int i = 0; i < TASKS && n < w->limit; i++) {
            row = row_of(w, i);
            if (row.id > w->after) {
                joblog_task_row(w->jl, &row);
                n++;
            }
        }
    } else if (what == R_TASK) {
        row = row_of(w, (int)(w->task_id - FIRST_ID));
        joblog_task_row(w->jl, &row);
    } else if (what == R_OUTPUT) {
        answer_output(w);
    }
    if (what != NONE)
        joblog_read_done(w->jl, 0);
}

/* -- sink */
static long number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

static void put_output(struct world *w, const char *json)
{
    AUTO(buf_done) struct buf data = BUF(4096);
    const char *b64 = strstr(json, "\"data\":\"") + 8;
    int i = (int)(number_after(json, "\"task_id\":") - FIRST_ID), s = strstr(json, "\"stderr\"") != NULL;

    assert_int_equal(base64_decode(&data, str_bytes(b64, strcspn(b64, "\""))), 0);
    assert_int_equal(number_after(json, "\"offset\":"), w->n_got[i][s]); /* no gap, no repeat */
    assert_int_equal(w->n_done[i], 0);                                   /* before the end of the task */
    memcpy(w->got[i][s] + w->n_got[i][s], data.ptr, data.len);
    w->n_got[i][s] += data.len;
}

static void put(void *ctx, const char *event, uint64_t id, struct str json)
{
    struct world *w = ctx;
    AUTO_FREE char *text = str_dup(json);

    (void)id;
    if (strcmp(event, "output") == 0) {
        put_output(w, text);
    } else if (strcmp(event, "gap") == 0) {
        int i = (int)(number_after(text, "\"task_id\":") - FIRST_ID), s = strstr(text, "\"stderr\"") != NULL;

        assert_int_equal(number_after(text, "\"from\":"), w->n_got[i][s]);
        w->n_gap[i][s] += (size_t)number_after(text, "\"to\":") - w->n_got[i][s];
        w->n_got[i][s] = (size_t)number_after(text, "\"to\":");
    } else {
        int i = (int)(number_after(text, "\"id\":") - FIRST_ID);

        assert_string_equal(event, "task");
        w->n_task_events++;
        w->n_done[i] += number_after(text, "\"state\":") == TASK_DONE;
    }
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

static const struct joblog_source *source(struct world *w)
{
    static struct joblog_source src;

    src = (struct joblog_source){ src_tasks, src_task, src_output, task_json, finished, over, w };
    return &src;
}

static void start(struct world *w, const struct joblog_conf *conf)
{
    const struct sink sink = { put, has_room, want_room, end, w };

    w->jl = joblog_new(source(w), conf);
    joblog_start(w->jl, &sink);
}

static void world_init(struct world *w)
{
    *w = (struct world){ .has_room = true };
    for (int i = 0; i < TASKS; i++) {
        w->tasks[i].state = TASK_QUEUED;
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < BYTES; k++)
                w->tasks[i].data[s][k] = (char)('a' + (i * 7 + s * 3 + k) % 26);
    }
}

static void commit_bytes(struct world *w, int i, int s, size_t n, bool tell)
{
    struct task *t = &w->tasks[i];
    struct output_frame f = {
        FIRST_ID + (uint64_t)i, s ? STREAM_STDERR : STREAM_STDOUT, t->n[s], { t->data[s] + t->n[s], n }
    };

    if (t->n[s] + n > BYTES || t->state == TASK_DONE)
        return;
    t->n[s] += n;
    if (tell)
        joblog_live_output(w->jl, &f, STR("\"host\":\"h\""));
}

static void commit_state(struct world *w, int i, enum task_state state, bool tell)
{
    struct task_row row;

    w->tasks[i].state = state;
    row = row_of(w, i);
    if (tell)
        joblog_live_task(w->jl, &row);
}

static void settle(struct world *w)
{
    for (int k = 0; k < 100000 && !w->is_finished; k++) {
        w->has_room = true;
        if (w->wants_room) {
            w->wants_room = false;
            joblog_feed_ops.room(w->jl);
        } else if (w->read != NONE) {
            answer(w);
        } else {
            return;
        }
    }
}

static void check_all(struct world *w)
{
    for (int i = 0; i < TASKS; i++) {
        assert_int_equal(w->n_done[i], 1);
        for (int s = 0; s < 2; s++) {
            assert_int_equal(w->n_got[i][s], w->tasks[i].n[s]);
            assert_memory_equal(w->got[i][s], w->tasks[i].data[s], w->tasks[i].n[s]);
        }
    }
}

static void stored_output_is_replayed_then_the_job_ends(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (int i = 0; i < TASKS; i++) {
        commit_bytes(&w, i, 0, 50, false);
        commit_bytes(&w, i, 1, 9, false);
        commit_state(&w, i, TASK_DONE, false);
    }
    start(&w, &(struct joblog_conf){ .may_end = true });
    settle(&w);
    assert_true(w.is_finished);
    check_all(&w);
    joblog_feed_ops.gone(w.jl);
    assert_true(w.is_over);
}

static void a_new_job_is_told_live_without_any_read(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    start(&w, &(struct joblog_conf){ .is_new = true, .n_tasks = TASKS });
    for (int i = 0; i < TASKS; i++) {
        commit_state(&w, i, TASK_RUNNING, true);
        commit_bytes(&w, i, 0, 20, true);
        commit_state(&w, i, TASK_DONE, true);
    }
    joblog_live_end(w.jl);
    assert_int_equal(w.read, NONE);
    assert_true(w.is_finished);
    check_all(&w);
    joblog_feed_ops.gone(w.jl);
}

static void tasks_that_ended_before_anybody_listened_are_looked_up_at_the_end(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    commit_bytes(&w, 0, 0, 5, false);
    commit_state(&w, 0, TASK_DONE, false);
    start(&w, &(struct joblog_conf){ .is_new = true, .n_tasks = TASKS });
    for (int i = 1; i < TASKS; i++)
        commit_state(&w, i, TASK_DONE, true);
    joblog_live_end(w.jl);
    assert_false(w.is_finished);
    settle(&w);
    assert_true(w.is_finished);
    check_all(&w);
    joblog_feed_ops.gone(w.jl);
}

static void a_full_sink_is_caught_up_from_the_store(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    start(&w, &(struct joblog_conf){ .is_new = true, .n_tasks = TASKS });
    commit_bytes(&w, 0, 0, 10, true);
    w.has_room = false;
    for (int k = 0; k < 10; k++)
        commit_bytes(&w, 0, 0, 10, true);
    assert_int_equal(w.n_got[0][0], 10);
    assert_true(w.wants_room);
    for (int i = 0; i < TASKS; i++)
        commit_state(&w, i, TASK_DONE, true);
    joblog_live_end(w.jl);
    settle(&w);
    assert_true(w.is_finished);
    check_all(&w);
    joblog_feed_ops.gone(w.jl);
}

static void what_retention_took_is_told_as_a_gap(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    commit_bytes(&w, 0, 0, 70, false);
    w.tasks[0].kept_from = 35;
    commit_bytes(&w, 1, 0, 21, false);
    w.tasks[1].kept_from = 1000; /* all of it */
    for (int i = 0; i < TASKS; i++)
        commit_state(&w, i, TASK_DONE, false);
    start(&w, &(struct joblog_conf){ .may_end = true });
    settle(&w);
    assert_int_equal(w.n_gap[0][0], 35);
    assert_int_equal(w.n_got[0][0], 70);
    assert_int_equal(w.n_gap[1][0], 21);
    joblog_feed_ops.gone(w.jl);
}

static void one_stream_of_one_host_is_all_that_is_told(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    for (int i = 0; i < TASKS; i++) {
        commit_bytes(&w, i, 0, 30, false);
        commit_bytes(&w, i, 1, 30, false);
        commit_state(&w, i, TASK_DONE, false);
    }
    start(&w, &(struct joblog_conf){ .may_end = true, .host_id = 12, .stream = STREAM_STDERR });
    settle(&w);
    assert_true(w.is_finished);
    assert_int_equal(w.n_task_events, 1);
    assert_int_equal(w.n_got[2][1], 30);
    assert_int_equal(w.n_got[2][0], 0);
    assert_int_equal(w.n_got[1][1], 0);
    joblog_feed_ops.gone(w.jl);
}

static void a_reader_that_leaves_during_a_read_is_freed_after_it(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    start(&w, &(struct joblog_conf){ .may_end = true });
    assert_int_not_equal(w.read, NONE);
    joblog_feed_ops.gone(w.jl);
    assert_true(w.is_over);
    joblog_read_done(w.jl, -ECANCELED); /* freed here: the sanitizer watches */
}

static void a_failed_read_ends_the_stream(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    start(&w, &(struct joblog_conf){ .may_end = true });
    joblog_read_done(w.jl, -EIO);
    assert_true(w.is_ended);
    assert_true(w.is_over);
}

static void play(unsigned seed, bool is_new)
{
    struct world w;

    world_init(&w);
    srand(seed);
    if (!is_new)
        for (int k = 0; k < 20; k++)
            commit_bytes(&w, rand() % TASKS, rand() % 2, (size_t)(1 + rand() % 12), false);
    start(&w, &(struct joblog_conf){ .is_new = is_new, .n_tasks = TASKS });
    for (int k = 0; k < 600; k++) {
        int i = rand() % TASKS;

        switch (rand() % 8) {
        case 0:
        case 1:
        case 2:
            commit_bytes(&w, i, rand() % 2, (size_t)(1 + rand() % 12), true);
            break;
        case 3:
            if (w.tasks[i].state == TASK_QUEUED || rand() % 20 == 0)
                if (w.tasks[i].state != TASK_DONE)
                    commit_state(&w, i, w.tasks[i].state == TASK_QUEUED ? TASK_RUNNING : TASK_DONE, true);
            break;
        case 4:
        case 5:
            answer(&w);
            break;
        case 6:
            w.has_room = rand() % 2;
            break;
        case 7:
            if (w.wants_room && w.has_room) {
                w.wants_room = false;
                joblog_feed_ops.room(w.jl);
            }
            break;
        }
    }
    for (int i = 0; i < TASKS; i++)
        if (w.tasks[i].state != TASK_DONE)
            commit_state(&w, i, TASK_DONE, true);
    joblog_live_end(w.jl);
    settle(&w);
    assert_true(w.is_finished);
    check_all(&w);
    joblog_feed_ops.gone(w.jl);
}

static void any_order_of_events_gives_every_byte_once(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 400; seed++)
        play(seed, seed % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_output_is_replayed_then_the_job_ends),
        cmocka_unit_test(a_new_job_is_told_live_without_any_read),
        cmocka_unit_test(tasks_that_ended_before_anybody_listened_are_looked_up_at_the_end),
        cmocka_unit_test(a_full_sink_is_caught_up_from_the_store),
        cmocka_unit_test(what_retention_took_is_told_as_a_gap),
        cmocka_unit_test(one_stream_of_one_host_is_all_that_is_told),
        cmocka_unit_test(a_reader_that_leaves_during_a_read_is_freed_after_it),
        cmocka_unit_test(a_failed_read_ends_the_stream),
        cmocka_unit_test(any_order_of_events_gives_every_byte_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
