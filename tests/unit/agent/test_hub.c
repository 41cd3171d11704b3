/* Roles that are off, by the policy of the host or because they could not start: agent/hub.h, enum role_when_off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub_fixture.h"

#include "agent/collect/collect.h"

/* What the policy allows from now on; NULL: all. */
static void allow(char **roles)
{
    T.policy.roles = roles;
    hub_policy_changed(T.hub);
}

static char *only_command[] = { (char[]){ "command" }, NULL };
static char *no_port_scan[] = { (char[]){ "command" }, (char[]){ "inventory" }, (char[]){ "metrics" }, NULL };

static const struct role_settings scan = { .scan_first = 24600, .scan_last = 24699, .scan_every = USEC_PER_HOUR, .scan_method = PORT_BIND,
                                           .scan_max_count = 5 };

static void open_allowing(char **roles)
{
    hub_free(T.hub);
    T.policy.roles = roles;
    open_hub();
}

static void is_off(const Muster__V1__SectionDelta *d)
{
    assert_int_equal(d->status, MUSTER__V1__SECTION_STATUS__SECTION_STATUS_DISABLED);
    assert_string_equal(d->message, POLICY_OFF);
    assert_int_equal(d->n_rows + d->n_removed, 0);
}

static bool has_digest(ProtobufCBinaryData d, const uint8_t want[SHA256_LEN])
{
    return d.len == SHA256_LEN && memcmp(d.data, want, SHA256_LEN) == 0;
}

static void every_section_of_a_role_that_is_off_is_told_so_once(void **state)
{
    static const uint8_t zero[SHA256_LEN];
    struct str msg;
    uint64_t seq;

    (void)state;
    put_users(PASSWD_ONE);
    open_allowing(only_command);
    welcome(NULL);
    for (enum section s = 0; s < SECTION_N; s++) {
        const Muster__V1__SectionDelta *d;

        if (!collectors[s].every)
            continue;
        d = delta_of(name_of(section_names, (int)s));
        is_off(d);
        assert_true(d->full && has_digest(d->digest, zero));
    }
    open_allowing(only_command); /* it was told, and is in the spool */
    welcome(NULL);
    for (int i = 0; i < 100; i++)
        (void)loop_poll(T.loop);
    assert_int_equal(spool_next(hub_spool(T.hub), T.taken_seq, &msg, &seq), 0);
}

static void what_was_told_stays_and_a_difference_follows_when_the_role_is_on_again(void **state)
{
    const Muster__V1__SectionDelta *d;
    uint8_t before[SHA256_LEN];

    (void)state;
    first_told(PASSWD_ONE PASSWD_TWO, before);
    allow(only_command);
    d = delta_of("users");
    is_off(d);
    assert_true(!d->full && has_digest(d->base_digest, before) && has_digest(d->digest, before));
    put_users(PASSWD_TWO);
    allow(NULL);
    d = delta_of("users");
    assert_int_equal(d->status, MUSTER__V1__SECTION_STATUS__SECTION_STATUS_OK);
    assert_true(!d->full && has_digest(d->base_digest, before));
    assert_int_equal(d->n_rows, 0);
    assert_int_equal(d->n_removed, 1);
}

static void asked_in_full_a_role_that_is_off_gives_no_row_away(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    const Muster__V1__SectionDelta *d;
    uint8_t before[SHA256_LEN];

    (void)state;
    first_told(PASSWD_ONE, before);
    allow(only_command);
    is_off(delta_of("users"));
    resync("users");
    d = delta_of("users");
    is_off(d);
    assert_true(d->full && !has_digest(d->digest, before));
    allow(NULL);
    d = delta_of("users");
    assert_true(!d->full && d->n_rows >= 1 && has_digest(d->digest, before));
    assert_int_equal(hello_of(a)->n_roles, 3); /* metrics, inventory, command: without options there is no scan, no exporter */
}

static void a_question_for_a_role_that_is_off_is_answered_at_once(void **state)
{
    Muster__V1__InventoryRequest q = MUSTER__V1__INVENTORY_REQUEST__INIT;

    (void)state;
    T.settings = scan;
    open_allowing(only_command);
    T.is_up = true;
    q.request_id = 5;
    q.section = (char *)(uintptr_t)"connections";
    server_says(MUSTER__V1__SERVER_MESSAGE__BODY_INVENTORY_REQUEST, &q);
    assert_int_equal(T.sent.n, 1);
    assert_int_equal(last_sent()->inventory_answer->request_id, 5);
    is_off(last_sent()->inventory_answer->section);
    ask_ports(7, 1, 0);
    assert_int_equal(T.sent.n, 2);
    assert_int_equal(last_sent()->ports_answer->request_id, 7);
    assert_string_equal(last_sent()->ports_answer->error_slug, "ports.disabled");
    assert_string_equal(last_sent()->ports_answer->error_text, "the role port_scan is " POLICY_OFF);
}

static void a_section_of_another_role_says_that_this_one_is_off(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    Muster__V1__Heartbeat b = MUSTER__V1__HEARTBEAT__INIT;
    const Muster__V1__Hello *h;

    (void)state;
    T.settings = scan;
    open_allowing(no_port_scan);
    welcome(NULL);
    is_off(delta_of("ports"));
    h = hello_of(a);
    assert_int_equal(h->n_roles, 3);
    for (size_t i = 0; i < h->n_roles; i++)
        assert_string_not_equal(h->roles[i], "port_scan");
    hub_fill_beat(T.hub, &b, a);
    for (size_t i = 0; i < b.n_roles; i++)
        if (strcmp(b.roles[i]->name, "port_scan") == 0) {
            assert_string_equal(b.roles[i]->status, "disabled");
            assert_string_equal(b.roles[i]->message, POLICY_OFF);
        }
    allow(NULL);
    assert_int_not_equal(delta_of("ports")->status, MUSTER__V1__SECTION_STATUS__SECTION_STATUS_DISABLED);
    ask_ports(8, 1, 0);
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_PORTS_ANSWER);
    assert_string_equal(last_sent()->ports_answer->error_slug, "");
}

/* A file where the directory of the tasks should be; then it goes, and the policy is read anew. */
static void a_role_that_could_not_start_answers_and_is_tried_again(void **state)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    Muster__V1__Heartbeat b = MUSTER__V1__HEARTBEAT__INIT;
    char path[128];
    bool is_told = false;

    (void)state;
    hub_free(T.hub);
    (void)snprintf(path, sizeof(path), "%s/tasks", T.dir);
    assert_int_equal(fd_remove_tree(path), 0);
    assert_int_equal(fd_replace_file(path, STR("x"), 0600, NULL), 0);
    open_hub();
    T.is_up = true;
    hub_fill_beat(T.hub, &b, a);
    for (size_t i = 0; i < b.n_roles; i++)
        is_told = is_told || (strcmp(b.roles[i]->name, "command") == 0 && strcmp(b.roles[i]->status, "failed") == 0);
    assert_true(is_told);
    assert_false(hello_of(a)->commands_allowed);
    offer(3, "true");
    assert_int_equal(last_sent()->body_case, MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    assert_int_equal(last_sent()->task_finished->task_id, 3);
    assert_int_equal(last_sent()->task_finished->outcome, MUSTER__V1__TASK_OUTCOME__TASK_OUTCOME_REFUSED);
    assert_non_null(strstr(last_sent()->task_finished->message, "cannot be run on this host: "));
    assert_int_equal(unlink(path), 0);
    hub_policy_changed(T.hub);
    offer(4, "exit 7");
    run_until(MUSTER__V1__AGENT_MESSAGE__BODY_TASK_FINISHED);
    assert_int_equal(last_sent()->task_finished->exit_code, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
        T(every_section_of_a_role_that_is_off_is_told_so_once),
        T(what_was_told_stays_and_a_difference_follows_when_the_role_is_on_again),
        T(asked_in_full_a_role_that_is_off_gives_no_row_away),
        T(a_question_for_a_role_that_is_off_is_answered_at_once),
        T(a_section_of_another_role_says_that_this_one_is_off),
        T(a_role_that_could_not_start_answers_and_is_tried_again),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
