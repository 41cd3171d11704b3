/* tests/unit/control/test_commit.c - nothing leaves before it is durable; with a database that waits or fails
 * when told to. */
#include "fixture.h"

static void ticked(struct fixture *f)
{
    turn(f);
    turn(f);
}

static void nothing_leaves_while_the_commit_is_held(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web"), *x = sim_new("x");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") };
    const struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 } };
    struct job_news n = { 0 };
    forget_sent(f);
    fake_hold(true);
    job_create(f->c, &f->admin, &w, on_job, &n);
    checkin_seq(f->c, link_of(m), 1);
    assert_int_equal(sim_enroll(f, x, NULL), 0);
    ticked(f);
    fake_wait_held();
    ticked(f);
    assert_int_equal(f->n_sent, 0);
    assert_false(n.is_told);
    assert_true(commit_parked(f->c) > 0);
    fake_hold(false);
    settle(f);
    assert_true(n.is_told);
    assert_int_equal(n_sent_like(f, "offer 1"), 1);
    assert_int_equal(n_sent_like(f, "ack 1"), 1);
    assert_int_equal(commit_parked(f->c), 0);
    sim_free(m);
    sim_free(x);
}

static void an_ack_never_names_what_came_after_its_unit(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    char first[64];
    forget_sent(f);
    checkin_seq(f->c, link_of(m), 1);
    turn(f); /* sealed with 1 */
    checkin_seq(f->c, link_of(m), 2);
    while (f->n_sent == 0) { /* only what is committed by itself */
        fixture_wait(f);
        commit_release(f->c);
    }
    snprintf(first, sizeof(first), "%llu ack 1", (unsigned long long)m->link);
    assert_string_equal(f->sent[0], first);
    settle(f);
    assert_int_equal(n_sent_like(f, "ack 2"), 1);
    sim_free(m);
}

static void order(struct control *c, void *arg)
{
    uint64_t *at = arg;
    if (c)
        *at = commit_parked(c);
}

static void parked_callbacks_run_in_order_and_at_once_when_nothing_is_out(void **state)
{
    struct fixture *f = *state;
    uint64_t left[3] = { 99, 99, 99 };
    settle(f);
    commit_after(f->c, order, &left[0]);
    assert_int_equal(left[0], 0);
    left[0] = 99;
    event_emit(f->c, "test", NULL, NULL);
    for (int i = 0; i < 3; i++)
        commit_after(f->c, order, &left[i]);
    assert_int_equal(left[0], 99);
    settle(f);
    assert_int_equal(left[0], 2);
    assert_int_equal(left[1], 1);
    assert_int_equal(left[2], 0);
}

static void a_full_disk_refuses_mutations_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    struct str hosts[] = { STR("web") }, argv[] = { STR("true") };
    const struct job_wish w = { .hosts = { hosts, 1 }, .argv = { argv, 1 } };
    struct job_news n = { 0 }, later = { 0 };
    forget_sent(f);
    fake_fail_commits(0, 3, -ENOSPC);
    job_create(f->c, &f->admin, &w, on_job, &n);
    turn(f);
    while (fake_n_failed() == 0 || store_health(f->s, NULL) == 0) {
        usleep(1000);
        turn(f);
    }
    assert_false(n.is_told);
    assert_int_equal(f->n_offers, 0);
    job_create(f->c, &f->admin, &w, on_job, &later);
    assert_string_equal(later.slug, "store.unavailable");
    assert_int_equal(host_rename(f->c, &f->admin, STR("web"), STR("www"), &f->err), -EAGAIN);
    control_tick(f->c);
    while (!n.is_told) {
        fixture_wait(f);
        turn(f);
    }
    assert_int_equal(n.result, 0);
    settle(f);
    assert_int_equal(f->n_offers, 1);
    control_tick(f->c);
    settle(f);
    assert_int_equal(n_events(f, "store.unhealthy"), 1);
    sim_free(m);
}

static void agents_are_not_read_while_the_store_is_behind(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    forget_sent(f);
    fake_hold(true);
    for (uint64_t i = 1; i < 20; i++) {
        checkin_seq(f->c, link_of(m), i);
        turn(f);
    }
    assert_int_equal(n_sent_like(f, "pause"), 1);
    fake_hold(false);
    settle(f);
    assert_int_equal(n_sent_like(f, "resume"), 1);
    sim_free(m);
}

/* -- the audit chain */
struct chain {
    struct read_wait w;
    bool has_last, is_broken;
    uint8_t last_hash[SHA256_LEN];
    uint64_t last_id;
};
static void check_row(void *ctx, const struct audit_row *row)
{
    struct chain *k = ctx;
    struct audit_row again = *row;
    audit_seal(&again);
    k->is_broken |= memcmp(again.hash, row->hash, SHA256_LEN) != 0;
    if (k->has_last)
        k->is_broken |= row->id != k->last_id + 1 || memcmp(row->prev, k->last_hash, SHA256_LEN) != 0;
    k->has_last = true;
    k->last_id = row->id;
    memcpy(k->last_hash, row->hash, SHA256_LEN);
    k->w.n++;
}
static void chain_done(void *ctx, int result)
{
    read_finish(&((struct chain *)ctx)->w, result);
}

static void every_mutation_and_refusal_is_in_an_unbroken_chain(void **state)
{
    struct fixture *f = *state;
    struct sim *m = sim_ready(f, "web");
    uint64_t before = control_stats(f->c)->audit_rows;
    assert_int_equal(host_rename(f->c, &f->admin, STR("web"), STR("www"), &f->err), 0);
    assert_int_equal(host_rename(f->c, &f->admin, STR("n\xffo\x01ne"), STR("x"), &f->err), -ENOENT);
    assert_int_equal(host_forget(f->c, &f->viewer, STR("www"), &f->err), -EACCES);
    assert_int_equal(control_stats(f->c)->audit_rows - before, 3);
    settle(f);
    restart(f);
    run_on(f, "www", "true");
    struct chain *k = xnew0(struct chain);
    k->w.f = f;
    read_audit(f->c, 0, false, 10000, check_row, chain_done, k);
    read_wait_for(&k->w);
    assert_true(k->w.n >= 6);
    assert_false(k->is_broken);
    free(k);
    sim_free(m);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup_fake, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(nothing_leaves_while_the_commit_is_held),
        T(an_ack_never_names_what_came_after_its_unit),
        T(parked_callbacks_run_in_order_and_at_once_when_nothing_is_out),
        T(a_full_disk_refuses_mutations_and_loses_nothing),
        T(agents_are_not_read_while_the_store_is_behind),
        T(every_mutation_and_refusal_is_in_an_unbroken_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
