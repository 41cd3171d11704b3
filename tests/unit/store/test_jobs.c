/* tests/unit/store/test_jobs.c - jobs, tasks, output, events, audit: put, page, load. */
#include "fixture.h"

static struct str argv[] = { STR("/bin/sh"), STR("-c"), STR("echo \"hi\"; exit 3") };
static struct kv env[] = { { STR("LANG"), STR("C.UTF-8") } };

static struct job_row job(uint64_t id)
{
    return (struct job_row){
        .id = id,
        .principal = STR("alice"),
        .created_at = 10 + id,
        .deadline = USEC_NEVER,
        .spec = { .argv = { argv, 3 },
                  .shell = STR("echo \"hi\"; exit 3"),
                  .user = STR("root"),
                  .cwd = STR("/tmp"),
                  .env = { env, 1 },
                  .timeout = 1234567,
                  .grace = 5000000,
                  .max_parallel = 7,
                  .output_cap_bytes = 1ull << 26,
                  .stdin_open = true },
        .stdin_data = STR("secret input"),
        .idem_key = id == 1 ? STR("key-1") : STR(""),
        .idem_hash = { 0xaa, 0xbb },
        .state = JOB_RUNNING,
        .counts = { .total = 3, .queued = 2, .running = 1 },
    };
}

struct seen_jobs {
    struct fixture *f;
    uint64_t ids[64];
    size_t n;
    struct job_row last;
    char input[64];
};

static void on_job(void *ctx, const struct job_row *j)
{
    struct seen_jobs *g = ctx;
    g->ids[g->n++] = j->id;
    g->last = *j;
    str_copy(j->stdin_data, g->input, sizeof(g->input));
    assert_str(j->principal, "alice");
    assert_int_equal(j->spec.argv.n, 3);
    assert_str(j->spec.argv.v[2], "echo \"hi\"; exit 3");
    assert_str(j->spec.user, "root");
    assert_str(j->spec.env.v[0].value, "C.UTF-8");
    assert_int_equal(j->spec.timeout, 1234567);
    assert_int_equal(j->spec.max_parallel, 7);
    assert_true(j->spec.stdin_open && j->spec.output_cap_bytes == 1ull << 26);
    assert_true(j->deadline == USEC_NEVER);
    assert_int_equal(j->idem_hash[1], 0xbb);
}

static void on_jobs_done(void *ctx, int result)
{
    fixture_done(((struct seen_jobs *)ctx)->f, result);
}

static struct seen_jobs read_one(struct fixture *f, uint64_t id)
{
    struct seen_jobs g = { .f = f };
    fixture_begin(f);
    store_read_job(f->s, id, on_job, on_jobs_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    return g;
}

static void a_job_comes_back_with_its_input_until_it_is_finished(void **state)
{
    struct fixture *f = *state;
    struct job_row j = job(1);
    struct seen_jobs g;
    store_put_job(f->s, &j);
    g = read_one(f, 1);
    assert_int_equal(g.n, 1);
    assert_string_equal(g.input, "secret input");
    assert_int_equal(g.last.counts.queued, 2);
    assert_int_equal(g.last.counts.total, 3);
    j.counts.queued = 0;
    j.counts.succeeded = 2;
    j.cancel_requested = true;
    store_put_job_progress(f->s, &j);
    g = read_one(f, 1);
    assert_true(g.last.cancel_requested && g.last.counts.succeeded == 2 && g.last.counts.queued == 0);
    assert_string_equal(g.input, "secret input");
    j.finished_at = 99;
    j.state = JOB_CANCELLED;
    store_put_job_progress(f->s, &j);
    g = read_one(f, 1);
    assert_true(g.last.finished_at == 99 && g.last.state == JOB_CANCELLED);
    assert_string_equal(g.input, "");
    assert_int_equal(read_one(f, 2).n, 0);
}

static void a_job_is_found_by_its_key_and_an_empty_key_by_nobody(void **state)
{
    struct fixture *f = *state;
    struct job_row a = job(1), b = job(2), c = job(3);
    struct seen_jobs g = { .f = f };
    store_put_job(f->s, &a);
    store_put_job(f->s, &b); /* two with an empty key are no clash */
    store_put_job(f->s, &c);
    fixture_begin(f);
    store_read_job_by_key(f->s, STR("alice"), STR("key-1"), on_job, on_jobs_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.ids[0], 1);
    const char *const others[][2] = { { "bob", "key-1" }, { "alice", "key-2" }, { "alice", "" } };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        g.n = 0;
        fixture_begin(f);
        store_read_job_by_key(f->s, str_of(others[i][0]), str_of(others[i][1]), on_job, on_jobs_done, &g);
        assert_int_equal(fixture_finish(f), 0);
        assert_int_equal(g.n, 0);
    }
}

static void jobs_are_paged_newest_first(void **state)
{
    struct fixture *f = *state;
    struct seen_jobs g = { .f = f };
    for (uint64_t i = 1; i <= 10; i++) {
        struct job_row j = job(i);
        store_put_job(f->s, &j);
    }
    fixture_begin(f);
    store_read_jobs(f->s, 0, 4, on_job, on_jobs_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    fixture_begin(f);
    store_read_jobs(f->s, 7, 100, on_job, on_jobs_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(g.n, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(g.ids[i], 10 - i);
}

static struct task_row task(uint64_t id, uint64_t job_id)
{
    return (struct task_row){ .id = id,
                              .job_id = job_id,
                              .host_id = id * 2,
                              .host_name = STR("web"),
                              .state = TASK_DONE,
                              .outcome = OUTCOME_SIGNALED,
                              .exit_code = -1,
                              .signal = 9,
                              .created_at = 1,
                              .offered_at = 2,
                              .started_at = 3,
                              .finished_at = 4,
                              .stdout_bytes = 5,
                              .stderr_bytes = 6,
                              .stdout_total = 7,
                              .stderr_total = UINT64_MAX,
                              .stderr_truncated = true,
                              .message = STR("killed") };
}

struct loaded {
    size_t n_jobs, n_tasks;
    uint64_t sum;
};

static void load_job(void *ctx, const struct job_row *j)
{
    struct loaded *l = ctx;
    assert_int_equal(l->n_tasks, 0); /* jobs first */
    assert_str(j->stdin_data, "secret input");
    l->n_jobs++;
}

static void load_task(void *ctx, const struct task_row *t)
{
    struct loaded *l = ctx;
    l->n_tasks++;
    l->sum += t->id;
    assert_int_equal(t->job_id, 2);
    assert_str(t->host_name, "web");
    assert_true(t->host_id == t->id * 2 && t->state == TASK_DONE && t->outcome == OUTCOME_SIGNALED &&
                t->exit_code == -1 && t->signal == 9 && t->created_at == 1 && t->offered_at == 2 &&
                t->started_at == 3 && t->finished_at == 4 && t->stdout_bytes == 5 && t->stderr_bytes == 6 &&
                t->stdout_total == 7 && t->stderr_total == UINT64_MAX && !t->stdout_truncated &&
                t->stderr_truncated);
    assert_str(t->message, "killed");
}

static void open_jobs_are_loaded_with_all_their_tasks(void **state)
{
    struct fixture *f = *state;
    struct job_row done = job(1), open = job(2);
    struct loaded l = { 0 };
    done.finished_at = 5;
    store_put_job(f->s, &done);
    store_put_job(f->s, &open);
    for (uint64_t i = 1; i <= 6; i++) {
        struct task_row t = task(i, i <= 3 ? 1 : 2);
        store_put_task(f->s, &t);
    }
    fixture_reopen(f);
    assert_int_equal(store_load_open_jobs(f->s, load_job, load_task, &l, NULL), 0);
    assert_true(l.n_jobs == 1 && l.n_tasks == 3 && l.sum == 4 + 5 + 6);
}

struct seen_tasks {
    struct fixture *f;
    uint64_t ids[64];
    size_t n;
};

static void on_task(void *ctx, const struct task_row *t)
{
    struct seen_tasks *g = ctx;
    g->ids[g->n++] = t->id;
}

static void on_tasks_done(void *ctx, int result)
{
    fixture_done(((struct seen_tasks *)ctx)->f, result);
}

static void tasks_are_paged_in_order(void **state)
{
    struct fixture *f = *state;
    struct seen_tasks g = { .f = f };
    for (uint64_t i = 1; i <= 10; i++) {
        struct task_row t = task(i, 1 + i % 2);
        store_put_task(f->s, &t);
    }
    for (uint64_t after = 0; after < 10; after = g.ids[g.n - 1]) {
        fixture_begin(f);
        store_read_tasks(f->s, 1, after, 2, on_task, on_tasks_done, &g);
        assert_int_equal(fixture_finish(f), 0);
    }
    assert_int_equal(g.n, 5);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(g.ids[i], 2 * (i + 1));
    g.n = 0;
    fixture_begin(f);
    store_read_task(f->s, 7, on_task, on_tasks_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    assert_true(g.n == 1 && g.ids[0] == 7);
}

/* -- output */

struct joined {
    struct fixture *f;
    struct buf bytes;
    uint64_t next;
};

static void on_output(void *ctx, const struct output_frame *o)
{
    struct joined *g = ctx;
    assert_int_equal(o->offset, g->next);
    g->next += o->data.len;
    buf_str(&g->bytes, o->data);
}

static void on_output_done(void *ctx, int result)
{
    fixture_done(((struct joined *)ctx)->f, result);
}

static void output_is_cut_at_any_offset_and_length(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "one\ntwo\nthree\nfour\n";
    const size_t cuts[] = { 0, 4, 5, 14, sizeof(text) - 1 };
    for (size_t i = 0; i + 1 < ARRAY_SIZE(cuts); i++)
        store_put_output(f->s, &(struct output_frame){ 1, STREAM_STDOUT, cuts[i],
                                                       str_bytes(text + cuts[i], cuts[i + 1] - cuts[i]) });
    store_put_output(f->s, &(struct output_frame){ 1, STREAM_STDERR, 0, STR("other stream") });
    store_put_output(f->s, &(struct output_frame){ 2, STREAM_STDOUT, 0, STR("other task") });
    for (uint64_t from = 0; from <= sizeof(text); from++)
        for (uint64_t max = 0; max <= sizeof(text); max += 3) {
            struct joined g = { .f = f, .bytes = BUF(1000), .next = from };
            fixture_begin(f);
            store_read_output(f->s, 1, STREAM_STDOUT, from, max, on_output, on_output_done, &g);
            assert_int_equal(fixture_finish(f), 0);
            assert_true(str_eq(buf_as_str(&g.bytes), str_sub(str_of(text), from, max)));
            buf_done(&g.bytes);
        }
}

static void output_is_bytes(void **state)
{
    struct fixture *f = *state;
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    store_put_output(f->s, &(struct output_frame){ 1, STREAM_STDERR, 0, str_bytes(all, 256) });
    struct joined g = { .f = f, .bytes = BUF(1000) };
    fixture_begin(f);
    store_read_output(f->s, 1, STREAM_STDERR, 0, UINT64_MAX, on_output, on_output_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(g.bytes.len, 256);
    assert_memory_equal(g.bytes.ptr, all, 256);
    buf_done(&g.bytes);
}

/* -- events and audit */

struct ids {
    struct fixture *f;
    uint64_t v[64];
    size_t n;
};

static void on_event(void *ctx, const struct event *e)
{
    struct ids *g = ctx;
    g->v[g->n++] = e->id;
    assert_int_equal(e->at, e->id * 10);
    assert_int_equal(e->details.n, 2);
    assert_str(e->details.v[0].key, "z");
    assert_str(e->details.v[1].value, "\xe2\x82\xac");
}

static void on_ids_done(void *ctx, int result)
{
    fixture_done(((struct ids *)ctx)->f, result);
}

static void expect_events(struct fixture *f, uint64_t after, bool newest, uint32_t limit, const char *type,
                          const char *host, const char *want)
{
    struct ids g = { .f = f };
    char got[256] = "";
    fixture_begin(f);
    store_read_events(f->s, after, newest, limit, str_of(type), str_of(host), on_event, on_ids_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    for (size_t i = 0; i < g.n; i++)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%lu ", (unsigned long)g.v[i]);
    assert_string_equal(got, want);
}

static void events_are_filtered_and_paged_both_ways(void **state)
{
    struct fixture *f = *state;
    struct kv details[] = { { STR("z"), STR("1") }, { STR("a"), STR("\xe2\x82\xac") } };
    for (uint64_t i = 1; i <= 8; i++)
        store_put_event(f->s, &(struct event){ .id = i,
                                               .at = i * 10,
                                               .type = i % 2 ? STR("host.online") : STR("job.created"),
                                               .host_id = i <= 4   ? STR("uuid-1")
                                                          : i == 5 ? STR("")
                                                                   : STR("uuid-2"),
                                               .host = STR("web"),
                                               .details = { details, 2 } });
    expect_events(f, 0, false, 100, NULL, NULL, "1 2 3 4 5 6 7 8 ");
    expect_events(f, 0, true, 3, NULL, NULL, "8 7 6 ");
    expect_events(f, 5, false, 2, NULL, NULL, "6 7 ");
    expect_events(f, 5, true, 2, NULL, NULL, "6 7 "); /* newest_first counts only from the newest */
    expect_events(f, 0, true, 100, "host.online", NULL, "7 5 3 1 ");
    expect_events(f, 2, false, 100, "job.created", NULL, "4 6 8 ");
    expect_events(f, 0, false, 100, NULL, "uuid-1", "1 2 3 4 ");
    expect_events(f, 0, true, 2, "job.created", "uuid-1", "4 2 ");
    expect_events(f, 0, true, 100, NULL, "nobody", "");
    expect_events(f, 8, false, 100, NULL, NULL, "");
}

static void on_audit(void *ctx, const struct audit_row *a)
{
    static struct audit_row prev;
    static char prev_set;
    struct ids *g = ctx;
    /* The chain holds after the way through the database, document and all. */
    assert_int_equal(audit_check(a->id == 1 || !prev_set ? NULL : &prev, a), AUDIT_OK);
    prev = *a;
    prev_set = 1;
    g->v[g->n++] = a->id;
}

static void the_audit_chain_survives_storage(void **state)
{
    struct fixture *f = *state;
    struct kv details[] = { { STR("z"), STR("line\nbreak") }, { STR("a"), STR("\"\\ \x01 \xe2\x82\xac") } };
    uint8_t prev[SHA256_LEN] = { 0 }, head[SHA256_LEN];
    uint64_t id;
    struct ids g = { .f = f };
    assert_int_equal(store_load_audit_head(f->s, &id, head, NULL), 0);
    assert_int_equal(id, 0);
    assert_memory_equal(head, prev, SHA256_LEN);
    for (uint64_t i = 1; i <= 20; i++) {
        struct audit_row a = { .id = i,
                               .at = i,
                               .principal = STR("alice"),
                               .peer = STR("::1"),
                               .verb = STR("run"),
                               .target = STR("*"),
                               .outcome = STR("denied"),
                               .slug = STR("auth.denied"),
                               .details = { details, i % 3 } };
        memcpy(a.prev, prev, SHA256_LEN);
        audit_seal(&a);
        memcpy(prev, a.hash, SHA256_LEN);
        store_put_audit(f->s, &a);
    }
    fixture_reopen(f);
    assert_int_equal(store_load_audit_head(f->s, &id, head, NULL), 0);
    assert_int_equal(id, 20);
    assert_memory_equal(head, prev, SHA256_LEN);
    fixture_begin(f);
    store_read_audit(f->s, 0, false, 100, on_audit, on_ids_done, &g);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(g.n, 20);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_job_comes_back_with_its_input_until_it_is_finished),
        T(a_job_is_found_by_its_key_and_an_empty_key_by_nobody),
        T(jobs_are_paged_newest_first),
        T(open_jobs_are_loaded_with_all_their_tasks),
        T(tasks_are_paged_in_order),
        T(output_is_cut_at_any_offset_and_length),
        T(output_is_bytes),
        T(events_are_filtered_and_paged_both_ways),
        T(the_audit_chain_survives_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
