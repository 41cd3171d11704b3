/* The roles against a host that only notes what they say: agent/roles.h, roles/inventory.c, roles/command.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub_fixture.h"

static void the_first_report_of_a_section_is_full_with_the_right_digest(void **state)
{
    const Muster__V1__SectionDelta *d;
    struct fact_digest sum = { 0 };

    (void)state;
    put_users(PASSWD_ONE PASSWD_TWO);
    welcome(NULL);
    d = delta_of("users");
    assert_true(d->full);
    assert_true(d->n_rows >= 2);
    for (size_t i = 0; i < d->n_rows; i++) {
        struct fact_row row = { str_of(d->rows[i]->key), str_of(d->rows[i]->json) };
        struct fact_digest h;

        fact_row_hash(&row, &h);
        fact_digest_add(&sum, &h);
    }
    assert_int_equal(d->digest.len, SHA256_LEN);
    assert_memory_equal(d->digest.data, sum.b, SHA256_LEN);
}

static void after_a_restart_only_the_difference_is_told_with_what_went(void **state)
{
    const Muster__V1__SectionDelta *d;
    uint8_t before[SHA256_LEN];

    (void)state;
    first_told(PASSWD_ONE PASSWD_TWO, before);
    hub_free(T.hub);
    put_users(PASSWD_TWO);
    open_hub();
    welcome(NULL);
    d = delta_of("users");
    assert_false(d->full);
    assert_int_equal(d->n_removed, 1);
    assert_non_null(strstr(d->removed[0], "ann"));
    assert_int_equal(d->n_rows, 0);
    assert_memory_equal(d->base_digest.data, before, SHA256_LEN);
}

static void resync_sends_in_full_again(void **state)
{
    (void)state;
    put_users(PASSWD_ONE);
    welcome(NULL);
    assert_true(delta_of("users")->full);
    resync("users");
    assert_true(delta_of("users")->full);
}

static const Muster__V1__SectionDigest *digest_in(const Muster__V1__Hello *h, const char *section)
{
    for (size_t i = 0; i < h->n_sections; i++)
        if (strcmp(h->sections[i]->name, section) == 0)
            return h->sections[i];
    return NULL;
}

static void hello_names_only_what_the_server_has_committed(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    const Muster__V1__SectionDelta *d;
    const Muster__V1__SectionDigest *g;

    (void)state;
    put_users(PASSWD_ONE);
    welcome(NULL);
    d = delta_of("users");
    assert_null(digest_in(hello_of(a), "users"));
    hub_free(T.hub); /* the same after a restart: the spool remembers */
    open_hub();
    assert_null(digest_in(hello_of(a), "users"));
    spool_ack(hub_spool(T.hub), T.taken_seq);
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_ACKED, .acked_seq = T.taken_seq });
    g = digest_in(hello_of(a), "users");
    assert_non_null(g);
    assert_memory_equal(g->digest.data, d->digest.data, SHA256_LEN);
    assert_null(digest_in(hello_of(a), "connections"));
}

static void a_spool_thrown_away_means_full_reports(void **state)
{
    (void)state;
    put_users(PASSWD_ONE);
    welcome(NULL);
    assert_true(delta_of("users")->full);
    assert_int_equal(spool_renew(hub_spool(T.hub)), 0);
    T.taken_seq = 0;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_UNKEPT });
    assert_true(delta_of("users")->full);
}

static void a_request_is_answered_at_once_and_not_kept(void **state)
{
    Muster__V1__InventoryRequest q = MUSTER__V1__INVENTORY_REQUEST__INIT;
    char known[] = "users", unknown[] = "no-such";

    (void)state;
    put_users(PASSWD_ONE);
    T.is_up = true;
    q.request_id = 5;
    q.section = known;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST, &q);
    q.section = unknown;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST, &q);
    assert_int_equal(T.sent.n, 2);
    assert_int_equal(T.sent.v[0]->inventory_answer->request_id, 5);
    assert_true(T.sent.v[0]->inventory_answer->section->full);
    assert_int_equal(T.sent.v[1]->inventory_answer->section->status, MUSTER__V1__SECTION_STATUS__SECTION_STATUS_MISSING);
    assert_true(spool_is_empty(hub_spool(T.hub)));
}

/* -- commands */

static void hub_with_commands_only(void)
{
    static char command[] = "command";

    hub_free(T.hub);
    T.policy.roles = xcalloc(2, sizeof(char *));
    T.policy.roles[0] = command;
    open_hub();
    T.is_up = true;
    welcome(NULL);
}

static void a_short_command_is_its_output_and_its_end(void **state)
{
    (void)state;
    hub_with_commands_only();
    offer(1, "echo hi; exit 3");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    assert_true(T.sent.n >= 2);
    assert_int_equal(T.sent.v[T.sent.n - 2]->body_case, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_OUTPUT);
    assert_true(str_eq(pb_bytes(T.sent.v[T.sent.n - 2]->task_output->data), STR("hi\n")));
    assert_int_equal(last_sent()->task_finished->exit_code, 3);
    assert_int_equal(last_sent()->task_finished->stdout_bytes, 3);
    free(T.policy.roles);
}

/* The server of the next test: commits output a little later, and looks that nobody runs ahead of it. */
static struct {
    uint64_t sent, acked;
    struct timer *soon;
} W;

static void window_ack(void *ctx)
{
    Muster__V1__TaskAck ack = MUSTER__V1__TASK_ACK__INIT;

    (void)ctx;
    for (size_t i = 0; i < T.sent.n; i++) {
        const Muster__V1__TaskOutput *o = T.sent.v[i]->task_output;

        if (T.sent.v[i]->body_case != MUSTER__V1__AGENT_MESSAGE__BODY_TASK_OUTPUT)
            continue;
        assert_int_equal(o->offset, W.sent); /* contiguous, nothing twice */
        W.sent += o->data.len;
    }
    T.sent.n = 0;
    assert_true(W.sent - W.acked <= 256 << 10);
    if (W.sent == W.acked)
        return;
    ack.task_id = 1;
    ack.stdout_offset = W.acked = W.sent;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK, &ack);
}

static void output_waits_for_the_window_and_the_end_for_the_output(void **state)
{
    (void)state;
    memset(&W, 0, sizeof(W));
    hub_with_commands_only();
    W.soon = timer_new(T.loop, window_ack, NULL);
    timer_start(W.soon, 1000, 1000);
    offer(1, "head -c 3145728 /dev/zero");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    for (size_t i = 0; i + 1 < T.sent.n; i++) {
        assert_int_equal(T.sent.v[i]->body_case, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_OUTPUT);
        W.sent += T.sent.v[i]->task_output->data.len;
    }
    assert_int_equal(W.sent, 3145728);
    assert_int_equal(last_sent()->task_finished->stdout_bytes, 3145728);
    timer_free(W.soon);
    free(T.policy.roles);
}

static void a_long_command_is_told_to_be_accepted_and_started(void **state)
{
    Muster__V1__TaskCancel c = MUSTER__V1__TASK_CANCEL__INIT;

    (void)state;
    hub_with_commands_only();
    offer(1, "exec sleep 1000");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_STARTED);
    assert_true(last_sent()->task_started->pid > 0);
    c.task_id = 1;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_CANCEL, &c);
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    assert_int_equal(last_sent()->task_finished->outcome, MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_CANCELLED);
    free(T.policy.roles);
}

static void after_a_break_output_and_end_go_on_where_welcome_says(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    Muster__V1__Welcome w = MUSTER__V1__WELCOME__INIT;
    Muster__V1__TaskResume r = MUSTER__V1__TASK_RESUME__INIT, *rs[] = { &r };
    Muster__V1__TaskAck ack = MUSTER__V1__TASK_ACK__INIT;
    const Muster__V1__Hello *h;

    (void)state;
    hub_with_commands_only();
    offer(1, "printf abcdef");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    T.is_up = false;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
    h = hello_of(a);
    assert_int_equal(h->n_tasks, 1);
    assert_true(h->tasks[0]->finished && h->tasks[0]->stdout_bytes == 6);
    T.sent.n = 0;
    r.task_id = 1;
    r.known = true;
    r.stdout_offset = 4;
    w.n_tasks = 1;
    w.tasks = rs;
    welcome(&w);
    assert_int_equal(T.sent.n, 2);
    assert_true(str_eq(pb_bytes(T.sent.v[0]->task_output->data), STR("ef")));
    assert_int_equal(T.sent.v[0]->task_output->offset, 4);
    assert_int_equal(T.sent.v[1]->body_case, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    ack.task_id = 1;
    ack.finished = true;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_TASK_ACK, &ack);
    (void)loop_poll(T.loop);
    (void)loop_poll(T.loop);
    assert_int_equal(hello_of(a)->n_tasks, 0);
    free(T.policy.roles);
}

static void what_the_server_does_not_know_is_cancelled_and_forgotten(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    Muster__V1__Welcome w = MUSTER__V1__WELCOME__INIT;
    Muster__V1__TaskResume r = MUSTER__V1__TASK_RESUME__INIT, *rs[] = { &r };

    (void)state;
    hub_with_commands_only();
    offer(1, "exec sleep 1000");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_STARTED);
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_DOWN });
    r.task_id = 1;
    w.n_tasks = 1;
    w.tasks = rs;
    T.sent.n = 0;
    welcome(&w);
    assert_int_equal(hello_of(a)->n_tasks, 0);
    assert_int_equal(T.sent.n, 0);
    free(T.policy.roles);
}

static void a_question_for_ports_is_refused_while_the_scan_is_off(void **state)
{
    (void)state;
    T.is_up = true;
    ask_ports(7, 1, 0); /* answered at once */
    assert_int_equal(last_sent()->body_case, MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
    assert_int_equal(last_sent()->ports_answer->request_id, 7);
    assert_string_equal(last_sent()->ports_answer->error_slug, "ports.disabled");
}

static void a_question_for_ports_is_answered_with_ports(void **state)
{
    const Muster__V1__PortsAnswer *one, *two;

    (void)state;
    hub_free(T.hub);
    T.settings = (struct role_settings){ .scan_first = 24600, .scan_last = 24699, .scan_every = USEC_PER_MIN, .scan_method = PORT_BIND,
                                         .scan_max_count = 5 };
    open_hub();
    T.is_up = true;
    ask_ports(8, 3, 60);
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
    one = last_sent()->ports_answer;
    assert_int_equal(one->request_id, 8);
    assert_string_equal(one->error_slug, "");
    assert_int_equal(one->n_ports, 3);
    assert_int_equal(strlen(one->lease), 36);
    assert_true(one->expires_at_us > 0);
    ask_ports(9, 2, 0);
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
    two = last_sent()->ports_answer;
    assert_int_equal(two->n_ports, 2);
    assert_true(two->ports[0] > one->ports[2]); /* those are kept for somebody */
    assert_string_equal(two->lease, "");
    ask_ports(10, 6, 0);
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
    assert_string_equal(last_sent()->ports_answer->error_slug, "ports.count");
}

/* Whoever leases many ports does not write a row of history for each. */
static void leases_that_come_together_are_told_together(void **state)
{
    enum { LEASES = 20 };
    size_t n = 0;
    struct str msg;
    uint64_t seq;

    (void)state;
    hub_free(T.hub);
    T.settings = (struct role_settings){ .scan_first = 24600, .scan_last = 24699, .scan_every = USEC_PER_HOUR, .scan_method = PORT_BIND,
                                         .scan_max_count = 5 };
    open_hub();
    welcome(NULL);
    (void)delta_of("ports");
    for (uint64_t i = 0; i < LEASES; i++) {
        ask_ports(100 + i, 1, 600);
        run_until(MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
        assert_int_equal(last_sent()->ports_answer->n_ports, 1);
    }
    (void)delta_of("ports"); /* the first is told at once */
    while (spool_next(hub_spool(T.hub), T.taken_seq, &msg, &seq) == 1) {
        const Muster__V1__AgentMessage *m = pb_unpack(&muster__v1__agent_message__descriptor, &T.mem, msg);

        T.taken_seq = seq;
        assert_non_null(m);
        n += strcmp(m->inventory->sections[0]->name, "ports") == 0;
    }
    assert_true(n <= 1); /* 0, unless this took more than ten seconds */
}

static void policy_switches_roles_and_commands_off_and_says_so(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    Muster__V1__Heartbeat b = MUSTER__V1__HEARTBEAT__INIT;

    (void)state;
    hub_with_commands_only();
    T.policy.run = false;
    hub_policy_changed(T.hub);
    assert_false(hello_of(a)->commands_allowed);
    assert_int_equal(hello_of(a)->n_roles, 0);
    hub_fill_beat(T.hub, &b, a);
    for (size_t i = 0; i < b.n_roles; i++)
        assert_string_equal(b.roles[i]->status, "disabled");
    offer(1, "true");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    assert_int_equal(last_sent()->task_finished->outcome, MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_REFUSED);
    free(T.policy.roles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(the_first_report_of_a_section_is_full_with_the_right_digest),
        T(after_a_restart_only_the_difference_is_told_with_what_went),
        T(resync_sends_in_full_again),
        T(hello_names_only_what_the_server_has_committed),
        T(a_spool_thrown_away_means_full_reports),
        T(a_request_is_answered_at_once_and_not_kept),
        T(a_short_command_is_its_output_and_its_end),
        T(output_waits_for_the_window_and_the_end_for_the_output),
        T(a_long_command_is_told_to_be_accepted_and_started),
        T(after_a_break_output_and_end_go_on_where_welcome_says),
        T(what_the_server_does_not_know_is_cancelled_and_forgotten),
        T(a_question_for_ports_is_refused_while_the_scan_is_off),
        T(a_question_for_ports_is_answered_with_ports),
        T(leases_that_come_together_are_told_together),
        T(policy_switches_roles_and_commands_off_and_says_so),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
