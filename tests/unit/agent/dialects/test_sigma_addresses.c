/* Addresses from fib_trie: agent/dialects/sigma_addresses.c with the table of sigma section 5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../collect/tree.h"
#include "agent/dialects/sigma.h"

static struct sigma_addresses got;

/* The addresses as "ip" or "ip label", comma-separated. */
static void expect(const struct sigma_addresses *a, const char *want)
{
    char text[8192] = "";
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s%s%s", i ? "," : "", a->v[i].ip, *a->v[i].label ? " " : "", a->v[i].label);
    assert_string_equal(text, want);
}

static void read_text(const char *text, bool keep_172)
{
    struct fib_trie f = { .to = &got, .keep_172 = keep_172 };
    struct str rest = str_of(text), line;

    got = (struct sigma_addresses){ 0 };
    while (str_cut(&rest, '\n', &line))
        assert_int_equal(fib_trie_line(&f, line), 0);
}

#define LEAF(ip) "           |-- " ip "\n              /32 host LOCAL\n"

static void the_table_of_cases(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        { "Main:\n" LEAF("10.1.2.3") "Local:\n" LEAF("10.1.2.3"), "10.1.2.3 internal" },
        { "|-- 10.1.2.0\n /24 host LOCAL\n|-- 10.1.2.255\n /32 link BROADCAST\n", "" },
        { "+-- 198.51.100.0/24 2 0 2\n /32 host LOCAL\n", "198.51.100.0" },
        { LEAF("127.0.0.1") LEAF("127.9.9.9"), "" },
        { "|-- 127.0.0.0\n /8 host LOCAL\n", "" },
        { LEAF("172.15.0.1") LEAF("172.16.0.1") LEAF("172.31.255.1") LEAF("172.32.0.1"), "172.15.0.1,172.32.0.1" },
        { LEAF("192.168.9.9") LEAF("169.254.3.3") LEAF("100.64.0.9"), "100.64.0.9 cgnat,169.254.3.3,192.168.9.9 internal" },
        { "|-- 192.0.2.1\n /32 link UNICAST\n /32 host LOCAL\n", "192.0.2.1" },
        { "/32 host LOCAL\n", "" },
        { "|-- 300.1.1.1\n /32 host LOCAL\n", "" },
        { "|-- \n /32 host LOCAL\n", "" },
        { "|--\n /32 host LOCAL\n", "" },
        { "|--10.9.9.9\n /32 host LOCAL\n", "10.9.9.9 internal" },
        { "|-- 10.1.1.1 trailing\n /32 host LOCAL extra\n", "10.1.1.1 internal" },
        { "|-- 111.111.111.111111111111111\n /32 host LOCAL\n", "" },
        { LEAF("10.1.2.3") "|-- garbage\n /32 host LOCAL\n", "10.1.2.3 internal" }, /* a bad leaf does not leave the one before */
        { "", "" },
        { LEAF("203.0.113.7") LEAF("9.9.9.9") LEAF("10.0.0.1"), "10.0.0.1 internal,203.0.113.7,9.9.9.9" },
        { LEAF("9.9.9.10") LEAF("203.0.113.7") LEAF("100.64.0.9"), "100.64.0.9 cgnat,203.0.113.7,9.9.9.10" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        read_text(rows[i].text, false);
        expect(&got, rows[i].want);
    }
}

static void the_range_of_docker_stays_where_asked_for(void **state)
{
    (void)state;
    read_text(LEAF("172.15.0.1") LEAF("172.16.0.1") LEAF("172.31.255.1"), true);
    expect(&got, "172.15.0.1,172.16.0.1 internal,172.31.255.1 internal");
}

static void public_is_what_the_internet_can_reach(void **state)
{
    static const struct {
        const char *ip;
        bool is_public;
    } rows[] = { { "203.0.113.7", true }, { "9.9.9.9", true },       { "10.0.0.1", false },       { "192.168.1.1", false }, { "169.254.1.1", false },
                 { "100.64.0.1", false }, { "100.127.255.255", false }, { "100.128.0.1", true },  { "198.18.0.1", false },  { "198.19.255.255", false },
                 { "198.20.0.1", true },  { "0.1.2.3", false },      { "172.16.0.1", false },     { "172.32.0.1", true },   { "2001:db8::1", true } };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sigma_addresses a = { 0 };

        assert_true(sigma_addresses_add(&a, str_of(rows[i].ip)));
        if (sigma_addresses_have_public(&a) != rows[i].is_public)
            fail_msg("%s", rows[i].ip);
    }
    assert_false(sigma_addresses_have_public(&(struct sigma_addresses){ 0 }));
}

static void only_addresses_are_added_and_each_once(void **state)
{
    struct sigma_addresses a = { 0 }, b;

    (void)state;
    assert_true(sigma_addresses_add(&a, STR("10.0.0.2")));
    assert_true(sigma_addresses_add(&a, STR("10.0.0.2")));
    assert_true(sigma_addresses_add(&a, STR("10.0.0.1")));
    assert_false(sigma_addresses_add(&a, STR("10.0.0")));
    assert_false(sigma_addresses_add(&a, STR("<html>")));
    assert_false(sigma_addresses_add(&a, STR("")));
    assert_false(sigma_addresses_add(&a, str_bytes("10.0.0.3\0x", 10)));
    expect(&a, "10.0.0.1 internal,10.0.0.2 internal");
    b = a;
    assert_true(sigma_addresses_eq(&a, &b));
    assert_true(sigma_addresses_add(&b, STR("10.0.0.3")));
    assert_false(sigma_addresses_eq(&a, &b));
}

static void so_many_are_kept_as_the_server_takes(void **state)
{
    struct sigma_addresses a = { 0 };
    char ip[32];

    (void)state;
    for (int i = 0; i < ASSET_ADDRESSES; i++) {
        (void)snprintf(ip, sizeof(ip), "10.0.0.%d", i);
        assert_true(sigma_addresses_add(&a, str_of(ip)));
    }
    assert_false(a.is_cut);
    assert_false(sigma_addresses_add(&a, STR("10.0.1.0")));
    assert_true(a.is_cut);
    assert_int_equal(a.n, ASSET_ADDRESSES);
}

static void a_missing_and_an_empty_file_have_none(void **state)
{
    struct tree *t = *state;

    sigma_addresses_read(t->root, false, &got);
    assert_int_equal(got.n, 0);
    tree_file(t, "/proc/net/fib_trie", "");
    sigma_addresses_read(t->root, false, &got);
    assert_int_equal(got.n, 0);
    tree_file(t, "/proc/net/fib_trie", LEAF("10.1.2.3"));
    sigma_addresses_read(t->root, false, &got);
    expect(&got, "10.1.2.3 internal");
}

static void ten_megabytes_are_read_in_little_memory(void **state)
{
    struct tree *t = *state;
    struct rusage before, after;

    {
        AUTO(buf_done) struct buf b = BUF(16 << 20);

        for (int i = 0; b.len < 10 << 20; i++)
            buf_printf(&b, "   |-- 10.%d.%d.%d\n      /32 host LOCAL\n", i >> 16 & 255, i >> 8 & 255, i & 255);
        tree_bytes(t, "/proc/net/fib_trie", b.ptr, b.len);
    }
    getrusage(RUSAGE_SELF, &before);
    sigma_addresses_read(t->root, false, &got);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(got.n, ASSET_ADDRESSES);
    assert_true(got.is_cut);
    assert_true(after.ru_maxrss - before.ru_maxrss < 2048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_of_cases),
        cmocka_unit_test(the_range_of_docker_stays_where_asked_for),
        cmocka_unit_test(public_is_what_the_internet_can_reach),
        cmocka_unit_test(only_addresses_are_added_and_each_once),
        cmocka_unit_test(so_many_are_kept_as_the_server_takes),
        cmocka_unit_test_setup_teardown(a_missing_and_an_empty_file_have_none, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(ten_megabytes_are_read_in_little_memory, tree_setup, tree_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
