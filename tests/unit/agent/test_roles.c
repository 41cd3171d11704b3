/* The roles against a host that only notes what they say: agent/roles.h, roles/inventory.c, roles/command.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/hub.h"
#include "agent/ports.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/vec.h"
#include "fleet/inventory.h"
#include "pb/pb.h"

static struct {
    struct loop *loop;
    struct hub *hub;
    struct policy policy;
    struct role_settings settings;
    struct timer *watchdog;
    char dir[64], root[80];
    bool is_up, is_late;
    struct pb_arena mem;
    VEC(const Muster__V1__AgentMessage *) sent; /* unpacked from what was sent */
    uint64_t taken_seq;                          /* of the spool */
    int wait_for;                                /* stop the loop at this body */
} T;

static bool fake_is_up(void *ctx)
{
    (void)ctx;
    return T.is_up;
}
static int64_t fake_send(void *ctx, const Muster__V1__AgentMessage *m)
{
    AUTO(buf_done) struct buf b = BUF(LIMIT_GRPC_MESSAGE);

    (void)ctx;
    if (!T.is_up)
        return -ENOTCONN;
    assert_int_equal(pb_pack(m, &b), 0);
    *vec_add(&T.sent) = pb_unpack(&muster__v1__agent_message__descriptor, &T.mem, buf_as_str(&b));
    if ((int)m->body_case == T.wait_for)
        loop_stop(T.loop);
    return 0;
}
static void fake_kept(void *ctx)
{
    (void)ctx;
    if (T.wait_for == MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY)
        loop_stop(T.loop);
}
static usec_t fake_offset(void *ctx)
{
    (void)ctx;
    return 0;
}
static void on_watchdog(void *ctx)
{
    (void)ctx;
    T.is_late = true;
    loop_stop(T.loop);
}

static void open_hub(void)
{
    struct hub_conf conf = { .loop = T.loop, .state_dir = T.dir, .hold_path = HOLD_PATH, .root = T.root, .policy = &T.policy,
                             .spool_max_bytes = 4 << 20, .settings = T.settings };
    struct hub_ops ops = { fake_is_up, fake_send, fake_kept, fake_offset, NULL };

    assert_int_equal(hub_new(&conf, &T.hub, NULL), 0);
    hub_start(T.hub, &ops);
}

static int set_up(void **state)
{
    (void)state;
    memset(&T, 0, sizeof(T));
    (void)snprintf(T.dir, sizeof(T.dir), "/tmp/test-roles-XXXXXX");
    assert_non_null(mkdtemp(T.dir));
    (void)snprintf(T.root, sizeof(T.root), "%s/root", T.dir); /* a host with nothing in it but what a test puts there */
    assert_int_equal(fd_mkdirs(T.root, 0755), 0);
    T.policy.run = true;
    T.loop = loop_new();
    T.watchdog = timer_new(T.loop, on_watchdog, NULL);
    pb_arena_init(&T.mem, 64 << 20);
    open_hub();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    hub_free(T.hub);
    timer_free(T.watchdog);
    loop_free(T.loop);
    vec_done(&T.sent);
    pb_arena_done(&T.mem);
    (void)fd_remove_tree(T.dir);
    return 0;
}

static void run_until(int body)
{
    T.wait_for = body;
    T.is_late = false;
    timer_start(T.watchdog, 15 * USEC_PER_SEC, 0);
    loop_run(T.loop);
    timer_stop(T.watchdog);
    T.wait_for = 0;
    assert_false(T.is_late);
}

static void welcome(Muster__V1__Welcome *w)
{
    Muster__V1__Welcome plain = MUSTER__V1__WELCOME__INIT;

    T.is_up = true;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_WELCOME, .welcome = w ? w : &plain });
}

static void server_says(Muster__V1__ServerMessage__BodyCase what, void *body)
{
    Muster__V1__ServerMessage m = MUSTER__V1__SERVER_MESSAGE__INIT;

    m.body_case = what;
    m.welcome = body;
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_SERVER, .server = &m });
}

/* The newest delta of a section that is in the spool behind @after; waits for it. */
static const Muster__V1__SectionDelta *delta_of(const char *section)
{
    const Muster__V1__SectionDelta *found = NULL;

    for (;;) {
        struct str msg;
        uint64_t seq;

        while (!found && spool_next(hub_spool(T.hub), T.taken_seq, &msg, &seq) == 1) {
            const Muster__V1__AgentMessage *m = pb_unpack(&muster__v1__agent_message__descriptor, &T.mem, msg);

            T.taken_seq = seq;
            assert_non_null(m);
            if (strcmp(m->inventory->sections[0]->name, section) == 0)
                found = m->inventory->sections[0];
        }
        if (found)
            return found;
        run_until(MUSTER__V1__AGENT_MESSAGE__BODY_INVENTORY);
    }
}

static void put_users(const char *passwd)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/etc", T.root);
    assert_int_equal(fd_mkdirs(path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/passwd", T.root);
    assert_int_equal(fd_replace_file(path, str_of(passwd), 0644, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/etc/group", T.root);
    assert_int_equal(fd_replace_file(path, STR("a:x:1:\n"), 0644, NULL), 0);
}

static void resync(const char *section)
{
    Muster__V1__Resync r = MUSTER__V1__RESYNC__INIT;
    char *names[] = { (char *)(uintptr_t)section };

    r.n_sections = 1;
    r.sections = names;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_RESYNC, &r);
}

#define PASSWD_ONE "ann:x:1001:1:Ann:/home/ann:/bin/sh\n"
#define PASSWD_TWO "bob:x:1002:1:Bob:/home/bob:/bin/sh\n"

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
    put_users(PASSWD_ONE PASSWD_TWO);
    welcome(NULL);
    d = delta_of("users");
    memcpy(before, d->digest.data, SHA256_LEN);
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

static const Muster__V1__Hello *hello_of(struct arena *a)
{
    Muster__V1__Hello *h = arena_new0(a, Muster__V1__Hello);

    muster__v1__hello__init(h);
    hub_fill_hello(T.hub, h, a);
    hub_tell(T.hub, &(struct role_msg){ .kind = ROLE_MSG_HELLO, .hello = h, .arena = a });
    return h;
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

static void offer(uint64_t id, const char *text)
{
    Muster__V1__TaskOffer o = MUSTER__V1__TASK_OFFER__INIT;
    ProtobufCBinaryData argv[3];
    const char *words[] = { "/bin/sh", "-c", text };

    for (int i = 0; i < 3; i++)
        argv[i] = (ProtobufCBinaryData){ .len = strlen(words[i]), .data = (uint8_t *)(uintptr_t)words[i] };
    o.task_id = id;
    o.n_argv = 3;
    o.argv = argv;
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_OFFER, &o);
}

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

static const Muster__V1__AgentMessage *last_sent(void)
{
    assert_true(T.sent.n > 0);
    return T.sent.v[T.sent.n - 1];
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

static void ask_ports(uint64_t id, uint32_t count, uint32_t ttl)
{
    Muster__V1__PortsRequest rq = MUSTER__V1__PORTS_REQUEST__INIT;

    rq.request_id = id;
    rq.count = count;
    rq.ttl_seconds = ttl;
    rq.owner = (char *)(uintptr_t)"me";
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_PORTS_REQUEST, &rq);
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
