/* Promises of argus_rules.c (agent/dialects/argus.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/mem.h"

static void backoff_doubles_from_one_second_to_sixty(void **state)
{
    static const uint32_t want[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(want); i++)
        assert_int_equal(argus__backoff(i + 1), want[i] * USEC_PER_SEC);
    assert_int_equal(argus__backoff(UINT32_MAX), 60 * USEC_PER_SEC);
}

static void jitter_stays_within_a_tenth_and_uses_all_of_it(void **state)
{
    const usec_t every = 10 * USEC_PER_SEC;
    usec_t low = USEC_NEVER, high = 0;

    (void)state;
    for (uint64_t r = 0; r < 3000000; r += 1009) {
        usec_t t = argus__jitter(every, r);

        low = t < low ? t : low;
        high = t > high ? t : high;
    }
    assert_int_equal(argus__jitter(every, 0), 9 * USEC_PER_SEC);
    assert_int_equal(argus__jitter(every, 2 * USEC_PER_SEC), 11 * USEC_PER_SEC);
    assert_true(low >= 9 * USEC_PER_SEC && high <= 11 * USEC_PER_SEC);
    assert_int_equal(argus__jitter(0, 77), 0);
}

static void an_id_is_safe_when_it_is_good_for_a_path(void **state)
{
    char most[ARGUS_ID_MAX], more[ARGUS_ID_MAX + 1];

    (void)state;
    memset(most, 'a', sizeof(most));
    memset(more, 'a', sizeof(more));
    assert_true(argus__id_is_safe(str_bytes(most, ARGUS_ID_MAX - 1)));
    assert_false(argus__id_is_safe(str_bytes(more, ARGUS_ID_MAX)));
    assert_true(argus__id_is_safe(STR("1f0c5a6e-0000-4000-8000-00000000000A")));
    assert_true(argus__id_is_safe(STR("a.b_c")));
    static const char *const bad[] = { "", ".", "..", ".x", "a/b", "../x", "a b", "a%2f", "a?b", "a\nb", "\xc3\xa9" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(argus__id_is_safe(str_of(bad[i])));
    assert_false(argus__id_is_safe((struct str){ "a\0b", 3 }));
}

static void the_server_may_not_set_what_loads_code_or_what_is_ours(void **state)
{
    static const struct conf_map none;
    struct conf_map path = { 0 };
    static const char *const never[] = { "", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_", "ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "ARGUS_AGENT_POLICY",
                                         "A=B", "1A", "A B", "A\nB", "NOTIFY_SOCKET" };
    static const char *const fine[] = { "A", "_", "PATHS", "LDX", "ld_preload", "CUDA_VISIBLE_DEVICES", "HOME", "ARGUS_PROJECT" };

    (void)state;
    path.v = xcalloc(1, sizeof(*path.v));
    path.v[0].key = xstrdup("");
    path.v[0].value = xstrdup("PATH");
    path.n = 1;
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        assert_false(argus__env_is_allowed(str_of(never[i]), &none));
        assert_false(argus__env_is_allowed(str_of(never[i]), &path));
    }
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
        assert_true(argus__env_is_allowed(str_of(fine[i]), &none));
    assert_false(argus__env_is_allowed(STR("PATH"), &none));
    assert_true(argus__env_is_allowed(STR("PATH"), &path));
    free(path.v[0].key);
    free(path.v[0].value);
    free(path.v);
}

static void under_a_policy_the_server_may_set_only_what_is_known_to_be_data(void **state)
{
    static const struct conf_map none;
    struct conf_map allow = { 0 };
    static const char *const code[] = { "BASH_ENV", "ENV", "BASH_FUNC_echo%%", "IFS", "PS4", "SHELLOPTS", "PYTHONWARNINGS", "BROWSER", "PYTHONPATH",
                                        "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PERL5OPT", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS",
                                        "GIT_SSH_COMMAND", "RUBYOPT", "EDITOR", "HOME", "NCCL_NET_PLUGIN", "MASTER_ADDR", "WANDB_BASE_URL",
                                        "HF_ENDPOINT", "https_proxy", "XLA_FLAGS", "GCONV_PATH", "LOCPATH", "NLSPATH", "ARGUS_URL", "ARGUS_CA_FILE",
                                        "A", "LANGX", "LAN", "tz", "LC_X" };
    static const char *const data[] = { "CUDA_VISIBLE_DEVICES", "WANDB_PROJECT", "OMP_NUM_THREADS", "LANG", "LC_ALL", "TZ", "PYTHONHASHSEED",
                                        "ARGUS_PROJECT", "RANK" };
    static const char *const shell[] = { "$(id)", "`id`", "a[$(id)]", "x;id", "a|b", "(1)", "a\nb", "'", "\"", "\\", "*", "\x7f" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(code); i++) {
        assert_false(argus__env_is_data((struct kv){ str_of(code[i]), STR("1") }, &none));
        assert_true(argus__env_is_allowed(str_of(code[i]), &none));
    }
    for (size_t i = 0; i < ARRAY_SIZE(data); i++)
        assert_true(argus__env_is_data((struct kv){ str_of(data[i]), STR("0,1:4096 a-b/c_d.e=f@g+h%{}~") }, &none));
    for (size_t i = 0; i < ARRAY_SIZE(shell); i++)
        assert_false(argus__env_is_data((struct kv){ STR("OMP_NUM_THREADS"), str_of(shell[i]) }, &none));
    assert_true(argus__env_is_data((struct kv){ STR("LANG"), STR_NONE }, &none));

    static const char *const named[] = { "PYTHONPATH", "PATH", "LD_PRELOAD", "ARGUS_TOKEN", "TZ" };
    allow.n = ARRAY_SIZE(named);
    allow.v = xcalloc(allow.n, sizeof(*allow.v));
    for (size_t i = 0; i < allow.n; i++)
        allow.v[i].value = xstrdup(named[i]);
    for (size_t i = 0; i < allow.n; i++) /* a name is permitted whatever it says, save what never is */
        assert_int_equal(argus__env_is_data((struct kv){ str_of(named[i]), STR("$x") }, &allow), i != 2 && i != 3);
    for (size_t i = 0; i < allow.n; i++)
        free(allow.v[i].value);
    free(allow.v);
}

static const char *value_in(const struct kv_list *l, const char *key)
{
    static char text[64];
    int n = 0;

    text[0] = '\0';
    for (size_t i = 0; i < l->n; i++)
        if (str_is(l->v[i].key, key)) {
            n++;
            (void)str_copy(l->v[i].value, text, sizeof(text));
        }
    assert_true(n <= 1);
    return n ? text : NULL;
}

static void an_environment_is_ours_then_the_servers_then_the_agents(void **state)
{
    static const char *const own[] = { "A=agent", "B=agent", "C=agent", "PATH=/bin", "ARGUS_TOKEN=secret", "ARGUS_TOKEN_FILE=/x", "EMPTY=",
                                       "NOEQUALS", "=x", NULL };
    struct kv payload[] = { { STR("B"), STR("server") }, { STR("C"), STR("server") }, { STR("PATH"), STR("/evil") },
                            { STR("LD_PRELOAD"), STR("/evil") }, { STR("B"), STR("later") }, { STR("N"), { "a\0b", 3 } } };
    struct kv more[] = { { STR("C"), STR("ours") }, { STR("ARGUS_BATCH_ID"), STR("b") } };
    struct kv_list list = { payload, ARRAY_SIZE(payload) }, got;
    static const struct conf_map none;
    struct argus_env e = { own, &list, &none, { more, ARRAY_SIZE(more) } };
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    AUTO(arena_free) struct arena *tiny = arena_new(16);

    (void)state;
    assert_int_equal(argus__env_build(a, &e, &got), 0);
    assert_string_equal(value_in(&got, "A"), "agent");
    assert_string_equal(value_in(&got, "B"), "later");
    assert_string_equal(value_in(&got, "C"), "ours");
    assert_string_equal(value_in(&got, "PATH"), "/bin");
    assert_string_equal(value_in(&got, "ARGUS_BATCH_ID"), "b");
    assert_string_equal(value_in(&got, "EMPTY"), "");
    assert_null(value_in(&got, "ARGUS_TOKEN"));
    assert_null(value_in(&got, "ARGUS_TOKEN_FILE"));
    assert_null(value_in(&got, "LD_PRELOAD"));
    assert_null(value_in(&got, "N"));
    assert_int_equal(got.n, 6);
    assert_int_equal(argus__env_build(tiny, &e, &got), -ENOBUFS);
}

static void an_environment_under_a_policy_names_what_is_left_out(void **state)
{
    static const char *const own[] = { "BASH_ENV=ours", "TZ=UTC", NULL };
    struct kv payload[] = { { STR("BASH_ENV"), STR("$(id)") }, { STR("TZ"), STR("Europe/Vienna") }, { STR("LD_PRELOAD"), STR("/evil") },
                            { STR("RANK"), STR("$(id)") }, { STR("a name that does not fit any more"), STR("1") } };
    struct kv_list list = { payload, ARRAY_SIZE(payload) }, got;
    static const struct conf_map none;
    AUTO(buf_done) struct buf names = BUF(30);
    struct argus_env e = { .own = own, .payload = &list, .allow = &none, .has_policy = true, .left_out = &names };
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);

    (void)state;
    assert_int_equal(argus__env_build(a, &e, &got), 0);
    assert_string_equal(value_in(&got, "BASH_ENV"), "ours"); /* the host's own are the host's business */
    assert_string_equal(value_in(&got, "TZ"), "Europe/Vienna");
    assert_int_equal(got.n, 2);
    assert_string_equal(buf_as_cstr(&names), "RANK, LD_PRELOAD, BASH_ENV");
    e.left_out = NULL;
    assert_int_equal(argus__env_build(a, &e, &got), 0);
    assert_int_equal(got.n, 2);

    /* What the agent sets itself is there, whatever was recorded of it. */
    struct kv more[] = { { STR("ARGUS_URL"), STR("https://here") } },
              recorded[] = { { STR("ARGUS_URL"), STR("https://there") }, { STR("BASH_ENV"), STR("x") } };
    struct kv_list its = { recorded, ARRAY_SIZE(recorded) };
    buf_reset(&names);
    e.left_out = &names;
    e.payload = &its;
    e.more = (struct kv_list){ more, ARRAY_SIZE(more) };
    assert_int_equal(argus__env_build(a, &e, &got), 0);
    assert_string_equal(value_in(&got, "ARGUS_URL"), "https://here");
    assert_string_equal(buf_as_cstr(&names), "BASH_ENV");
}

static void overrides_are_quoted_so_that_the_shell_sees_words(void **state)
{
    AUTO(buf_done) struct buf b = BUF(4096);
    struct err err = { 0 };

    (void)state;
    (void)buf_cstr(&b, "run");
    assert_int_equal(argus__append_overrides(STR("{\"lr\":0.5,\"s\":\"a'b $(id)\",\"+l\":[1,\"x\"],\"~d\":null,\"a.b-c_1\":true}"), &b, &err), 0);
    assert_string_equal(buf_as_cstr(&b), "run 'lr=0.5' 's=a'\\''b $(id)' '+l=[1,\"x\"]' '~d=null' 'a.b-c_1=true'");
    buf_reset(&b);
    assert_int_equal(argus__append_overrides(STR("null"), &b, &err), 0);
    assert_int_equal(argus__append_overrides(STR(""), &b, &err), 0);
    assert_int_equal(argus__append_overrides(STR("{}"), &b, &err), 0);
    assert_int_equal(b.len, 0);
}

static void an_override_key_is_of_few_characters_and_at_most_128(void **state)
{
    char text[200];
    static const char *const bad[] = { "{\"\":1}", "{\"a b\":1}", "{\"a;b\":1}", "{\"a=b\":1}", "{\"$x\":1}", "{\"\xc3\xa9\":1}", "[1]", "5", "{" };

    (void)state;
    for (int n = 127; n <= 129; n++) {
        AUTO(buf_done) struct buf b = BUF(4096);

        (void)snprintf(text, sizeof(text), "{\"%0*d\":1}", n, 0);
        assert_int_equal(argus__append_overrides(str_of(text), &b, NULL), n <= 128 ? 0 : -EINVAL);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(buf_done) struct buf b = BUF(4096);
        struct err err = { 0 };

        assert_int_equal(argus__append_overrides(str_of(bad[i]), &b, &err), -EINVAL);
        assert_string_equal(err.slug, "argus.override");
    }
    AUTO(buf_done) struct buf small = BUF(4);
    assert_int_equal(argus__append_overrides(STR("{\"abc\":1}"), &small, NULL), -ENOBUFS);
}

static void a_policy_permits_whole_commands_only(void **state)
{
    struct str policy = STR("# comment\n\n  prefix: python train.py \nregex: make (all|test)\nprefix: /opt/run\n");
    static const struct {
        const char *command;
        bool is_allowed;
    } rows[] = {
        { "python train.py", true },          { "python train.py --lr 0.1 'a b'", true }, { "python train.py\t--x", true },
        { "python train.pyc", false },        { "python train.py; id", false },           { "python train.py && id", false },
        { "python train.py | sh", false },    { "python train.py > /etc/x", false },      { "python train.py $(id)", false },
        { "python train.py `id`", false },    { "python train.py\nid", false },           { "python train.py \rid", false },
        { "python train.py $HOME", false },   { " python train.py", false },              { "make all", true },
        { "make test", true },                { "make all test", false },                 { "xmake all", false },
        { "make all\nid", false },            { "/opt/run", true },                       { "/opt/run/../../bin/sh", false },
        { "", false },
    };

    (void)state;
    assert_int_equal(argus__policy_check(policy, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(argus__policy_allows(policy, str_of(rows[i].command)), rows[i].is_allowed);
    assert_false(argus__policy_allows(policy, (struct str){ "python train.py \0x", 18 }));
    assert_false(argus__policy_allows(STR(""), STR("id")));
    assert_true(argus__policy_allows(STR("regex: a\\++b*[+]"), STR("a+++")));
    /* found: a second command, which no pattern of one line can keep out */
    static const char *const patterns[] = { "regex: echo .*", "regex: echo [^;|&]*", "regex: echo a[[:space:]]id" };
    for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
        assert_false(argus__policy_allows(str_of(patterns[i]), STR("echo a\nid")));
        assert_false(argus__policy_allows(str_of(patterns[i]), STR("echo a\rid")));
        assert_false(argus__policy_allows(str_of(patterns[i]), STR("echo a\033id")));
        assert_true(argus__policy_allows(str_of(patterns[i]), STR("echo a\tid")));
    }
}

static void a_policy_names_directories_too(void **state)
{
    static const struct {
        const char *dir, *path;
        bool is_below;
    } rows[] = { { "/srv", "/srv", true },     { "/srv/", "/srv/a", true },  { "/srv", "/srv2", false }, { "/srv/a", "/srv", false },
                 { "/", "/any/thing", true },  { "/", "/", true },           { "/srv", "srv", false },   { "/srv", "", false } };
    struct str policy = STR("cwd: /srv/vision\nprefix: make\n  cwd:/data \n"), dir;

    (void)state;
    assert_int_equal(argus__policy_check(policy, NULL), 0);
    assert_true(argus__policy_allows(policy, STR("make")));
    assert_false(argus__policy_allows(policy, STR("/srv/vision")));
    assert_true(argus__policy_next_dir(&policy, &dir) && str_is(dir, "/srv/vision"));
    assert_true(argus__policy_next_dir(&policy, &dir) && str_is(dir, "/data"));
    assert_false(argus__policy_next_dir(&policy, &dir));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(argus__is_below(str_of(rows[i].dir), str_of(rows[i].path)), rows[i].is_below);
    assert_int_equal(argus__policy_check(STR("cwd: here\nprefix: ok\n"), NULL), -EINVAL);
    assert_int_equal(argus__policy_check(STR("cwd:\n"), NULL), -EINVAL);
}

static void a_policy_that_is_not_well_formed_permits_nothing_and_names_its_line(void **state)
{
    static const char *const bad[] = { "prefix: ok\nwhat\n", "prefix: ok\nregex: (\n", "prefix: ok\nprefix:\n", "prefix: ok\nregex:   \n",
                                       "prefix: ok\nregex: a++\n", "prefix: ok\nregex: [a-z]{2}*\n" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };

        assert_int_equal(argus__policy_check(str_of(bad[i]), &err), -EINVAL);
        assert_string_equal(err.slug, "argus.policy");
        assert_non_null(strstr(err.text, "line 2"));
        assert_false(argus__policy_allows(str_of(bad[i]), STR("ok")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_doubles_from_one_second_to_sixty),
        cmocka_unit_test(jitter_stays_within_a_tenth_and_uses_all_of_it),
        cmocka_unit_test(an_id_is_safe_when_it_is_good_for_a_path),
        cmocka_unit_test(the_server_may_not_set_what_loads_code_or_what_is_ours),
        cmocka_unit_test(under_a_policy_the_server_may_set_only_what_is_known_to_be_data),
        cmocka_unit_test(an_environment_is_ours_then_the_servers_then_the_agents),
        cmocka_unit_test(an_environment_under_a_policy_names_what_is_left_out),
        cmocka_unit_test(overrides_are_quoted_so_that_the_shell_sees_words),
        cmocka_unit_test(an_override_key_is_of_few_characters_and_at_most_128),
        cmocka_unit_test(a_policy_permits_whole_commands_only),
        cmocka_unit_test(a_policy_names_directories_too),
        cmocka_unit_test(a_policy_that_is_not_well_formed_permits_nothing_and_names_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
