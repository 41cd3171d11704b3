/* Promises of agent/dialects/grapheon_release.h: a manifest is read strictly, a key in each of its spellings, and nothing passes that
 * was not signed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "agent/dialects/grapheon_release.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"

#define HEAD "grapheon-agent release manifest 1\nversion 1.2.3\n"
#define SUM "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* of "test" */

static char dir[64];
static uint8_t pub[32], sec[32];

/* The same room for the same name: checks keep what they are given. */
static char *in(const char *name)
{
    static struct {
        char name[64], path[160];
    } slots[16];

    for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
        if (!slots[i].name[0] || strcmp(slots[i].name, name) == 0) {
            (void)snprintf(slots[i].name, sizeof(slots[i].name), "%s", name);
            (void)snprintf(slots[i].path, sizeof(slots[i].path), "%s/%s", dir, name);
            return slots[i].path;
        }
    fail();
    return NULL;
}

static void put(const char *name, struct str text)
{
    assert_int_equal(fd_replace_file(in(name), text, 0644, NULL), 0);
}

static void put_signed(const char *name, struct str text)
{
    uint8_t sig[64];
    char sig_name[64];

    put(name, text);
    assert_int_equal(ed25519_sign(sec, text, sig), 0);
    (void)snprintf(sig_name, sizeof(sig_name), "%s.sig", name);
    put(sig_name, str_bytes(sig, sizeof(sig)));
}

static int up(void **state)
{
    AUTO(buf_done) struct buf b = BUF(128);

    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test-release-XXXXXX");
    assert_non_null(mkdtemp(dir));
    ed25519_keypair(pub, sec);
    assert_int_equal(base64_encode(&b, str_bytes(pub, sizeof(pub))), 0);
    put("key", buf_as_str(&b));
    put("a.tar.gz", STR("test"));
    put_signed("r.manifest", STR(HEAD SUM "  4  a.tar.gz\n" SUM "  4  a.rpm\n"));
    return 0;
}

static int down(void **state)
{
    (void)state;
    return fd_remove_tree(dir);
}

static bool reads(const char *text, size_t n_files)
{
    struct release_manifest m;
    struct err err = { 0 };
    int r = release__manifest(str_of(text), &m, &err);

    assert_true(r == 0 || (r < 0 && strcmp(err.slug, "release.manifest") == 0));
    return r == 0 && m.n == n_files && strcmp(m.version, "1.2.3") == 0;
}

static void a_manifest_is_read_whole_and_strictly(void **state)
{
    static const char *const wrong[] = {
        "",
        "\n",
        HEAD,
        HEAD SUM "  4  a",
        "grapheon-agent release manifest 2\nversion 1\n" SUM "  4  a\n",
        "grapheon-agent release manifest 1\n" SUM "  4  a\n",
        "grapheon-agent release manifest 1\nversion 1 2\n" SUM "  4  a\n",
        HEAD SUM " 4  a\n",
        HEAD SUM "  4 a\n",
        HEAD SUM "  -4  a\n",
        HEAD SUM "  18446744073709551616  a\n",
        HEAD SUM "    a\n",
        HEAD "zz" SUM "  4  a\n",
        HEAD SUM "  4  \n",
        HEAD SUM "  4  a/b\n",
        HEAD SUM "  4  ..\n",
        HEAD SUM "  4  -a\n",
        HEAD SUM "  4  a b\n",
        HEAD SUM "  4  a\r\n",
        HEAD SUM "  4  a\n\n",
        HEAD SUM "  4  a\n" SUM "  5  a\n",
    };

    (void)state;
    assert_true(reads(HEAD SUM "  4  a\n", 1));
    assert_true(reads(HEAD SUM "  4  a_1.0~rc1+x-2.deb\n" SUM "  18446744073709551615  b\n", 2));
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        if (reads(wrong[i], 1) || reads(wrong[i], 2))
            fail_msg("taken: %s", wrong[i]);
}

static void a_manifest_has_its_limits(void **state)
{
    for (size_t n = RELEASE_FILES_MAX - 1; n <= RELEASE_FILES_MAX + 1; n++) {
        AUTO(buf_done) struct buf b = BUF(RELEASE_MANIFEST_BYTES * 2);

        (void)state;
        (void)buf_cstr(&b, HEAD);
        for (size_t i = 0; i < n; i++)
            (void)buf_printf(&b, SUM "  4  f%zu\n", i);
        assert_int_equal(reads(buf_as_cstr(&b), n), n <= RELEASE_FILES_MAX);
    }
    for (size_t n = RELEASE_NAME_MAX - 1; n <= RELEASE_NAME_MAX + 1; n++) {
        AUTO_FREE char *text = xasprintf(HEAD SUM "  4  %0*d\n", (int)n, 0);

        assert_int_equal(reads(text, 1), n <= RELEASE_NAME_MAX);
    }
}

static void a_key_has_three_spellings(void **state)
{
    static const char *const good[] = {
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
        "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\r\n",
    };
    static const char *const wrong[] = { "", "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZg==", "?",
                                         "MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
                                         "Gb9ECWmEzf6FQbrBZ9w7\nlshQhqowtrbLDFw4rXAxZuE=" };
    uint8_t key[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        memset(key, 0, sizeof(key));
        assert_int_equal(release__key(str_of(good[i]), key), 0);
        assert_int_equal(key[0], 0x19);
        assert_int_equal(key[31], 0xe1);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_true(release__key(str_of(wrong[i]), key) < 0);
}

static enum release_verdict check(const struct release_check *c, const char *said)
{
    AUTO(buf_done) struct buf out = BUF(4096);
    struct err err = { 0 };
    enum release_verdict v = release__check(c, &out, &err);

    if (said && !strstr(buf_as_cstr(&out), said))
        fail_msg("%s / %s", buf_as_cstr(&out), err.text);
    assert_int_equal(v == RELEASE_GOOD, !err_is(&err));
    return v;
}

static void what_was_signed_is_good_and_what_is_absent_is_said(void **state)
{
    struct release_check c = { .file = in("r.manifest"), .key_file = in("key") };

    (void)state;
    assert_int_equal(check(&c, "good      a.tar.gz\nnot here  a.rpm\n"), RELEASE_GOOD);
    c.file = in("a.tar.gz"); /* its manifest is beside it */
    assert_int_equal(check(&c, "version   1.2.3\ngood      a.tar.gz\n"), RELEASE_GOOD);
    c.manifest = in("r.manifest");
    assert_int_equal(check(&c, "good"), RELEASE_GOOD);
}

static void a_pinned_key_needs_no_file_and_one_given_wins(void **state)
{
    AUTO(buf_done) struct buf b = BUF(128);
    struct release_check c = { .file = in("r.manifest") };
    uint8_t other_pub[32], other_sec[32];

    (void)state;
    assert_int_equal(check(&c, NULL), RELEASE_NO_KEY);
    c.pinned = "nonsense"; /* not "there is none": that would let a release pass that nobody can check */
    assert_int_equal(check(&c, NULL), RELEASE_FAILED);
    assert_int_equal(fd_read_file(in("key"), &b), 0);
    c.pinned = buf_as_cstr(&b);
    assert_int_equal(check(&c, "good"), RELEASE_GOOD);
    ed25519_keypair(other_pub, other_sec);
    AUTO(buf_done) struct buf other = BUF(128);
    assert_int_equal(base64_encode(&other, str_bytes(other_pub, 32)), 0);
    put("other", buf_as_str(&other));
    c.key_file = in("other");
    assert_int_equal(check(&c, NULL), RELEASE_REFUSED);
    c.key_file = in("gone");
    assert_int_equal(check(&c, NULL), RELEASE_NO_KEY);
}

static void every_changed_byte_of_manifest_and_signature_is_refused(void **state)
{
    struct release_check c = { .file = in("a.tar.gz"), .manifest = in("r.manifest"), .key_file = in("key") };
    static const char *const names[] = { "r.manifest", "r.manifest.sig" };

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        AUTO(buf_done) struct buf b = BUF(4096);

        assert_int_equal(fd_read_file(in(names[k]), &b), 0);
        for (size_t i = 0; i < b.len; i++) {
            b.ptr[i] ^= 1;
            put(names[k], buf_as_str(&b));
            assert_int_equal(check(&c, NULL), RELEASE_REFUSED);
            b.ptr[i] ^= 1;
        }
        put(names[k], str_sub(buf_as_str(&b), 0, b.len - 1));
        assert_int_equal(check(&c, NULL), RELEASE_REFUSED);
        put(names[k], buf_as_str(&b));
    }
    assert_int_equal(check(&c, "good"), RELEASE_GOOD);
}

static void a_file_that_is_another_is_refused(void **state)
{
    struct release_check c = { .file = in("r.manifest"), .key_file = in("key") };

    (void)state;
    put("a.tar.gz", STR("tesT"));
    assert_int_equal(check(&c, "BAD       a.tar.gz: its SHA-256"), RELEASE_REFUSED);
    put("a.tar.gz", STR("test "));
    assert_int_equal(check(&c, "BAD       a.tar.gz: has 5 bytes, not 4"), RELEASE_REFUSED);
    put("b.tar.gz", STR("test"));
    c.file = in("b.tar.gz");
    assert_int_equal(check(&c, NULL), RELEASE_FAILED); /* no manifest names it */
    c.manifest = in("r.manifest");
    assert_int_equal(check(&c, NULL), RELEASE_REFUSED);
    c = (struct release_check){ .file = in("r.manifest"), .key_file = in("key") };
    assert_int_equal(unlink(in("a.tar.gz")), 0);
    assert_int_equal(check(&c, "not here"), RELEASE_FAILED); /* nothing was checked */
}

static void hashes_alone_do_where_there_is_no_key_only(void **state)
{
    struct release_check c = { .file = in("r.manifest"), .hashes_only = true };

    (void)state;
    assert_int_equal(unlink(in("r.manifest.sig")), 0);
    assert_int_equal(check(&c, "unsigned"), RELEASE_GOOD);
    c.key_file = in("key");
    assert_int_equal(check(&c, NULL), RELEASE_REFUSED);
    c.hashes_only = false;
    assert_int_equal(check(&c, NULL), RELEASE_REFUSED); /* unsigned, and a key to check with */
}

static void two_manifests_that_name_a_file_are_one_too_many(void **state)
{
    struct release_check c = { .file = in("a.tar.gz"), .key_file = in("key") };

    (void)state;
    put_signed("z.manifest", STR(HEAD SUM "  4  other\n"));
    put("torn.manifest", STR("grapheon-agent release"));
    assert_int_equal(check(&c, "good"), RELEASE_GOOD);
    put_signed("z.manifest", STR(HEAD SUM "  4  a.tar.gz\n"));
    assert_int_equal(check(&c, NULL), RELEASE_FAILED);
    c.manifest = in("z.manifest");
    assert_int_equal(check(&c, "good"), RELEASE_GOOD);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, up, down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read_whole_and_strictly),
        cmocka_unit_test(a_manifest_has_its_limits),
        cmocka_unit_test(a_key_has_three_spellings),
        T(what_was_signed_is_good_and_what_is_absent_is_said),
        T(a_pinned_key_needs_no_file_and_one_given_wins),
        T(every_changed_byte_of_manifest_and_signature_is_refused),
        T(a_file_that_is_another_is_refused),
        T(hashes_alone_do_where_there_is_no_key_only),
        T(two_manifests_that_name_a_file_are_one_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
