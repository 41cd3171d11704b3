/* tests/unit/store/test_retain.c - what is old or too much goes, in small steps, and the tally stays true. */
#include "fixture.h"

#include <sqlite3.h> /* the tests of this floor may look behind the curtain */

static int64_t number(struct fixture *f, const char *sql)
{
    sqlite3 *h;
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_open_v2(f->path, &h, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(h);
    return n;
}

/* What the tally says is what is there. */
static void check_tally(struct fixture *f)
{
    assert_int_equal(number(f, "SELECT output FROM tally"),
                     number(f, "SELECT coalesce(sum(length(data)+64),0) FROM task_output"));
    assert_int_equal(number(f, "SELECT history FROM tally"),
                     number(f, "SELECT coalesce(sum(length(delta)+64),0) FROM fact_delta"));
    assert_int_equal(number(f, "SELECT events FROM tally"),
                     number(f, "SELECT coalesce(sum(length(cast(type||host_uuid||host_name||details_json AS "
                               "BLOB))+64),0) FROM event"));
    assert_int_equal(
        number(f, "SELECT trails FROM tally"),
        number(f, "SELECT coalesce(sum(length(cast(key AS BLOB))+length(body)+64),0) FROM trail"));
}

/* Steps until there is no more to do; how many. */
static int retain(struct fixture *f, const struct retention *r, usec_t now)
{
    int n = 0;
    do {
        fixture_begin(f);
        store_retain(f->s, r, now, fixture_done, f);
        fixture_finish(f);
        assert_true(f->result >= 0);
        assert_true(++n < 10000);
    } while (f->result > 0);
    check_tally(f);
    return n;
}

static void put_job(struct fixture *f, uint64_t id, usec_t finished_at, int tasks, int frames)
{
    struct job_row j = {
        .id = id, .principal = STR("a"), .created_at = 1, .finished_at = finished_at, .state = JOB_RUNNING
    };
    char data[1000];
    memset(data, 'x', sizeof(data));
    store_put_job(f->s, &j);
    for (int i = 0; i < tasks; i++) {
        uint64_t task_id = id * 10000 + (uint64_t)i;
        store_put_task(f->s, &(struct task_row){ .id = task_id, .job_id = id, .state = TASK_DONE });
        for (int k = 0; k < frames; k++)
            store_put_output(f->s, &(struct output_frame){ task_id, STREAM_STDOUT, (uint64_t)k * 1000,
                                                           str_bytes(data, 1000) });
    }
}

static void put_events(struct fixture *f, uint64_t first, uint64_t n, usec_t at)
{
    struct kv details[] = { { STR("k"), STR("\xc3\xa4\xc3\xb6") } };
    for (uint64_t i = first; i < first + n; i++)
        store_put_event(f->s, &(struct event){ .id = i,
                                               .at = at,
                                               .type = STR("host.online"),
                                               .host = STR("w\xc3\xa4"),
                                               .details = { details, 1 } });
}

struct mark {
    struct str text;
};
static const struct field mark_fields[] = { F_STR(struct mark, text, "text", 8) };
static const struct record mark_record = RECORD(mark, mark_fields);

static void put_trail(struct fixture *f, uint64_t id, enum trail_kind kind, usec_t at, const char *key)
{
    store_put_trail(f->s,
                    &(struct trail_row){ .id = id, .kind = kind, .parent = id % 3, .at = at, .key = str_of(key) },
                    &mark_record, &(struct mark){ STR("w\xc3\xa4") });
}

static void old_finished_jobs_go_with_all_that_is_theirs(void **state)
{
    struct fixture *f = *state;
    put_job(f, 1, 100, 5, 3);
    put_job(f, 2, 0, 2, 2);   /* open, however old */
    put_job(f, 3, 900, 2, 2); /* young */
    put_job(f, 4, 199, 500, 1);
    fixture_commit(f);
    assert_int_equal(number(f, "SELECT count(*) FROM task"), 509);
    retain(f, &(struct retention){ .keep = 800 }, 1000); /* before 200 */
    assert_int_equal(number(f, "SELECT group_concat(id) = '2,3' FROM job"), 1);
    assert_int_equal(number(f, "SELECT count(*) FROM task"), 4);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output"), 8);
    struct store_next next;
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.task, 4 * 10000 + 500); /* gone, and its number is not given again */
    assert_int_equal(next.job, 5);
}

static void age_is_exact_and_zero_keeps_for_ever(void **state)
{
    struct fixture *f = *state;
    put_events(f, 1, 3, 100);
    put_events(f, 4, 3, 101);
    fixture_commit(f);
    retain(f, &(struct retention){ 0 }, 1000000);
    retain(f, &(struct retention){ .keep = 900 }, 1000); /* before 100: none */
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 6);
    retain(f, &(struct retention){ .keep = 900 }, 1001);
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 3);
    retain(f, &(struct retention){ .keep = 900 }, 5000);
    struct store_next next;
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.event, 7);
}

/* Nothing brings it under the quota: taking all events away would not, either. */
static void running_output_alone_does_not_cost_the_logs(void **state)
{
    struct fixture *f = *state;
    put_job(f, 1, 0, 10, 200);
    put_events(f, 1, 4000, 100);
    fixture_commit(f);
    retain(f, &(struct retention){ .quota_bytes = 1000000 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output"), 2000);
    int64_t left = number(f, "SELECT count(*) FROM event");
    assert_true(left > 0 && left < 4000);
}

/* Scripts make several jobs a second: a step each would never keep up. */
static void many_small_jobs_go_in_a_step(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 300; id++)
        put_job(f, id, 100, 1, 1);
    fixture_commit(f);
    retain(f, &(struct retention){ .quota_bytes = 1 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output"), 0);
    assert_true(retain(f, &(struct retention){ .keep = 1 }, 1000) <= 4);
    assert_int_equal(number(f, "SELECT count(*) FROM job"), 0);
}

static void steps_are_small(void **state)
{
    struct fixture *f = *state;
    put_events(f, 1, 2000, 1);
    fixture_commit(f);
    fixture_begin(f);
    store_retain(f->s, &(struct retention){ .keep = 1 }, 1000, fixture_done, f);
    assert_int_equal(fixture_finish(f), 1);
    int64_t left = number(f, "SELECT count(*) FROM event");
    assert_true(left >= 2000 - 500 && left < 2000);
    assert_true(retain(f, &(struct retention){ .keep = 1 }, 1000) >= 3);
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 0);
}

static void on_drift(void *ctx, uint64_t host_id, struct str section)
{
    (void)ctx;
    (void)host_id;
    (void)section;
    fail();
}

static void on_section(void *ctx, const struct fact_head *h, struct str body)
{
    struct fixture *f = ctx;
    (void)body;
    f->n_rows = h->n_rows;
}

static void old_history_is_folded_before_it_goes(void **state)
{
    struct fixture *f = *state;
    struct fact_digest d = { 0 }, h;
    store_on_drift(f->s, on_drift, NULL);
    for (int i = 0; i < 10; i++) {
        char key[8];
        AUTO(buf_done) struct buf delta = BUF(100);
        snprintf(key, sizeof(key), "k%d", i);
        delta_add(&delta, '+', str_of(key), STR("{}"));
        fact_row_hash(&(struct fact_row){ str_of(key), STR("{}") }, &h);
        fact_digest_add(&d, &h);
        store_put_facts_delta(
            f->s,
            &(struct fact_head){
                .host_id = 1, .section = STR("os"), .digest = d, .received_at = 10 + (usec_t)i },
            buf_as_str(&delta));
    }
    fixture_commit(f);
    retain(f, &(struct retention){ .keep = 5 }, 20); /* before 15 */
    assert_int_equal(number(f, "SELECT count(*) FROM fact_delta"), 5);
    fixture_begin(f);
    store_read_facts(f->s, 1, STR("os"), on_section, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(f->n_rows, 10);
    retain(f, &(struct retention){ .keep = 1 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM fact_delta"), 0);
    fixture_begin(f);
    store_read_facts(f->s, 1, STR("os"), on_section, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(f->n_rows, 10);
}

static void on_audit(void *ctx, const struct audit_row *a)
{
    struct fixture *f = ctx;
    f->n_rows = a->id;
}

static void the_audit_log_keeps_its_newest_row(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 1; i <= 900; i++)
        store_put_audit(f->s, &(struct audit_row){ .id = i, .at = i });
    fixture_commit(f);
    retain(f, &(struct retention){ .keep_audit = 100 }, 200); /* before 100 */
    assert_int_equal(number(f, "SELECT min(id) FROM audit"), 100);
    retain(f, &(struct retention){ .keep_audit = 100 }, 100000);
    fixture_begin(f);
    store_read_audit(f->s, 0, false, 10, on_audit, fixture_done, f);
    assert_int_equal(fixture_finish(f), 0);
    assert_int_equal(f->n_rows, 900);
    assert_int_equal(number(f, "SELECT count(*) FROM audit"), 1);
}

static void the_quota_takes_output_of_the_oldest_finished_jobs_first(void **state)
{
    struct fixture *f = *state;
    put_job(f, 1, 100, 10, 10);
    put_job(f, 2, 0, 10, 10);
    put_job(f, 3, 100, 10, 10);
    put_events(f, 1, 100, 100);
    fixture_commit(f);
    retain(f, &(struct retention){ .quota_bytes = 270000 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output WHERE task_id < 20000"), 0);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output WHERE task_id >= 20000"), 200);
    assert_int_equal(number(f, "SELECT count(*) FROM task"), 30); /* jobs and tasks stay */
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 100);
    retain(f, &(struct retention){ .quota_bytes = 1 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 0);
    assert_int_equal(number(f, "SELECT count(*) FROM task_output"), 100); /* the open job's */
}

static void old_trails_of_all_kinds_go_by_their_own_time(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 2; id <= 1301; id++)
        put_trail(f, id, 1 + id % 5, id % 2 ? 100 : 300, id == 3 ? "w\xc3\xa4" : "");
    put_trail(f, 1302, TRAIL_ASSET, 99, ""); /* imported later, of long before */
    put_trail(f, 1303, TRAIL_ASSET, 200, "");
    fixture_commit(f);
    assert_int_equal(retain(f, &(struct retention){ .keep = 800 }, 900), 1); /* before 100 */
    assert_int_equal(number(f, "SELECT count(*) FROM trail"), 1301);
    assert_int_equal(retain(f, &(struct retention){ .keep = 800 }, 1000), 2); /* before 200: 650 of them, 400 a step */
    assert_int_equal(number(f, "SELECT count(*) FROM trail"), 651);
    assert_int_equal(number(f, "SELECT min(at) FROM trail"), 200);
    assert_int_equal(number(f, "SELECT count(DISTINCT kind) FROM trail"), 5);
    retain(f, &(struct retention){ .keep = 1 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM trail"), 0);
    struct store_next next;
    fixture_reopen(f);
    assert_int_equal(store_load_next(f->s, &next, NULL), 0);
    assert_int_equal(next.trail, 1304); /* gone, and its number is not given again */
}

static void the_quota_takes_the_oldest_of_what_weighs_most(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 2; id <= 2001; id++)
        put_trail(f, id, TRAIL_RUN_LOG, id, "");
    put_events(f, 1, 100, 100);
    fixture_commit(f);
    int64_t all = number(f, "SELECT trails + events FROM tally");
    retain(f, &(struct retention){ .quota_bytes = (uint64_t)all }, 1000); /* exactly full */
    assert_int_equal(number(f, "SELECT count(*) FROM trail"), 2000);
    retain(f, &(struct retention){ .quota_bytes = (uint64_t)all - 1 }, 1000);
    assert_int_equal(number(f, "SELECT count(*) FROM trail"), 1600); /* one step */
    assert_int_equal(number(f, "SELECT min(id) FROM trail"), 402);
    assert_int_equal(number(f, "SELECT count(*) FROM event"), 100);
    retain(f, &(struct retention){ .quota_bytes = 1 }, 1000);
    assert_int_equal(number(f, "SELECT trails + events FROM tally"), 0);
}

#define T(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(old_finished_jobs_go_with_all_that_is_theirs),
        T(age_is_exact_and_zero_keeps_for_ever),
        T(running_output_alone_does_not_cost_the_logs),
        T(many_small_jobs_go_in_a_step),
        T(steps_are_small),
        T(old_history_is_folded_before_it_goes),
        T(the_audit_log_keeps_its_newest_row),
        T(the_quota_takes_output_of_the_oldest_finished_jobs_first),
        T(old_trails_of_all_kinds_go_by_their_own_time),
        T(the_quota_takes_the_oldest_of_what_weighs_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
