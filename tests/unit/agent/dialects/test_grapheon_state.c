/* Promises of grapheon_state.c: what is kept, how, and what becomes of it when it is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/grapheon.h"
#include "base/fd.h"

static char dir[64], path[128];

static int up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-gstate-XXXXXX");
    assert_non_null(mkdtemp(dir));
    grapheon__say_level("CRITICAL");
    return 0;
}

static int down(void **state)
{
    (void)state;
    return fd_remove_tree(dir);
}

static const char *at(const char *name)
{
    (void)snprintf(path, sizeof(path), "%s/s/%s", dir, name);
    return path;
}

static struct grapheon_state *open_it(bool peek)
{
    struct grapheon_state *s = NULL;
    struct err err = { 0 };
    AUTO_FREE char *d = xasprintf("%s/s", dir);

    if (grapheon__state_open(d, peek, &s, &err) < 0)
        fail_msg("%s", err.text);
    return s;
}

static int open_code(void)
{
    AUTO(grapheon__state_free) struct grapheon_state *s = NULL;
    AUTO_FREE char *d = xasprintf("%s/s", dir);

    return grapheon__state_open(d, false, &s, NULL);
}

static void save(struct grapheon_state *s)
{
    struct err err = { 0 };

    if (grapheon__state_save(s, &err) < 0)
        fail_msg("%s", err.text);
    grapheon__state_free(s);
}

static void put(const char *name, const char *text)
{
    assert_int_equal(fd_replace_file(at(name), str_of(text), 0600, NULL), 0);
}

static void identity_is_made_once_and_only_by_who_does_not_just_look(void **state)
{
    struct grapheon_state *s = open_it(true);
    char uuid[129];

    (void)state;
    assert_string_equal(s->uuid, "");
    grapheon__state_free(s);
    assert_int_equal(access(at("."), F_OK), -1);
    s = open_it(false);
    assert_int_equal(strlen(s->uuid), 36);
    assert_int_equal(strlen(s->claim), 64);
    assert_null(s->api_key);
    (void)str_copy(str_of(s->uuid), uuid, sizeof(uuid));
    grapheon__state_free(s);
    s = open_it(false);
    assert_string_equal(s->uuid, uuid);
    grapheon__state_free(s);
}

static void two_runs_do_not_meet(void **state)
{
    struct grapheon_state *s = open_it(false);

    (void)state;
    assert_int_equal(open_code(), -EBUSY);
    grapheon__state_free(open_it(true)); /* looking is free */
    grapheon__state_free(s);
    assert_int_equal(open_code(), 0);
}

static void what_was_saved_comes_back(void **state)
{
    struct grapheon_state *s = open_it(false);

    (void)state;
    rows_route(&s->last[GS_ROUTES], &(struct route_seen){ .destination = STR("default"), .gateway = STR("192.0.2.1"), .interface = STR("e") });
    s->has_snapshot = true;
    s->sequence = 41;
    s->has_jitter = true;
    s->last_jitter = 7;
    s->last_success = STR("2026-11-22T08:00:00.5");
    s->enrollment_state = STR("active");
    (void)buf_cstr(&s->policy, "{\"jitter_seconds\":3}");
    assert_int_equal(grapheon__state_set_key(s, STR("gpak_x"), NULL), 0);
    save(s);
    s = open_it(false);
    assert_string_equal(s->api_key, "gpak_x");
    assert_int_equal(s->sequence, 41);
    assert_int_equal(s->last_jitter, 7);
    assert_true(s->has_snapshot && str_is(s->last_success, "2026-11-22T08:00:00.5") && str_is(s->enrollment_state, "active"));
    assert_int_equal(s->last[GS_ROUTES].n, 1);
    assert_string_equal(s->last[GS_ROUTES].v[0].ptr, "{\"destination\":\"default\",\"gateway\":\"192.0.2.1\",\"interface\":\"e\",\"source_ip\":null}");
    assert_string_equal(buf_as_cstr(&s->policy), "{\"jitter_seconds\":3}");
    grapheon__state_free(s);
}

static void the_epoch_lasts_as_long_as_the_numbers_rise(void **state)
{
    struct grapheon_state *s = open_it(false);
    char epoch[65];

    (void)state;
    s->sequence = 5;
    (void)str_copy(str_of(s->epoch), epoch, sizeof(epoch));
    save(s);
    s = open_it(false);
    assert_string_equal(s->epoch, epoch);
    grapheon__state_free(s);
    put("state.json", "{\"sequence_number\": 9}"); /* the upstream agent ran in between */
    s = open_it(false);
    assert_string_equal(s->epoch, epoch);
    grapheon__state_free(s);
    put("state.json", "{\"sequence_number\": 4}"); /* numbers that went back are others */
    s = open_it(false);
    assert_string_not_equal(s->epoch, epoch);
    grapheon__state_free(s);
    assert_int_equal(unlink(at("state.json")), 0);
    s = open_it(false);
    assert_string_not_equal(s->epoch, epoch);
    grapheon__state_free(s);
}

static void broken_files_begin_anew_and_foreign_ones_are_refused(void **state)
{
    static const char *const broken[] = { "{", "\xff", "{\"a\":1,\"a\":2}", "{}x", "nope" }, *const foreign[] = { "[]", "7", "null", "\"x\"" };
    struct grapheon_state *s = open_it(false);

    (void)state;
    save(s);
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        put("state.json", broken[i]);
        s = open_it(false);
        assert_true(s->was_broken);
        assert_int_equal(s->sequence, 0);
        assert_false(s->has_snapshot);
        grapheon__state_free(s);
    }
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        put("state.json", foreign[i]);
        assert_int_equal(open_code(), -EINVAL);
    }
    put("state.json", " \n");
    assert_int_equal(open_code(), 0);
    put("state.json", "{\"last_snapshot\":{},\"sequence_number\":-3,\"policy\":[],\"last_jitter_seconds\":\"x\"}");
    s = open_it(false);
    assert_false(s->has_snapshot || s->has_jitter);
    assert_int_equal(s->sequence, 0);
    grapheon__state_free(s);
}

static void servers_that_refuse_wildcards_are_remembered_for_a_week(void **state)
{
    usec_t now = 1795334400 * USEC_PER_SEC;
    struct grapheon_state *s = open_it(false);

    (void)state;
    assert_false(grapheon__state_refuses_wildcards(s, "https://a:443", now));
    grapheon__state_note_refusal(s, "https://a:443", now);
    s->sequence = 1;
    save(s);
    s = open_it(false);
    assert_true(grapheon__state_refuses_wildcards(s, "https://a:443", now));
    assert_true(grapheon__state_refuses_wildcards(s, "https://a:443", now + 7 * USEC_PER_DAY - 1));
    assert_false(grapheon__state_refuses_wildcards(s, "https://a:443", now + 7 * USEC_PER_DAY));
    assert_false(grapheon__state_refuses_wildcards(s, "https://b:443", now));
    for (unsigned i = 0; i < 8; i++) { /* one more than there is room for: the oldest goes */
        AUTO_FREE char *origin = xasprintf("https://h%u:443", i);

        grapheon__state_note_refusal(s, origin, now + (i + 1) * USEC_PER_SEC);
    }
    assert_int_equal(s->n_refused, 8);
    assert_false(grapheon__state_refuses_wildcards(s, "https://a:443", now));
    assert_true(grapheon__state_refuses_wildcards(s, "https://h7:443", now + USEC_PER_MIN));
    grapheon__state_free(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        T(identity_is_made_once_and_only_by_who_does_not_just_look),
        T(two_runs_do_not_meet),
        T(what_was_saved_comes_back),
        T(the_epoch_lasts_as_long_as_the_numbers_rise),
        T(broken_files_begin_anew_and_foreign_ones_are_refused),
        T(servers_that_refuse_wildcards_are_remembered_for_a_week),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
