/* tests/unit/agent/collect/test_garbled.c - sources that are not what they should be: what is there and cannot be understood is FAILED
 * with a sentence and no rows, never OK with zeros or nothing in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tree.h"

static const char proc_swaps[] = "/proc/swaps", run_utmp[] = "/run/utmp";

/* Each is essential to its section; all together are a host on which every one of these sections is OK. */
static const struct source {
    enum section section;
    const char *path, *good;
    enum section_status none, empty; /* without the file, with one of no bytes */
    const char *hides;               /* a file that would be read instead */
    bool is_any_text;                /* any text is a value of it */
} sources[] = {
    { SECTION_OS, "/etc/os-release", "ID=debian\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_KERNEL, "/proc/sys/kernel/tainted", "0\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_CPU, "/proc/cpuinfo", "processor\t: 0\nmodel name\t: Xeon\n\n", SECTION_MISSING, SECTION_FAILED, NULL, false },
    { SECTION_MEMORY, "/proc/meminfo", "MemTotal: 1024 kB\nSwapTotal: 4 kB\n", SECTION_FAILED, SECTION_FAILED, NULL, false },
    { SECTION_MEMORY, proc_swaps, "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 4 0 -2\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_DMI, "/sys/class/dmi/id/sys_vendor", "ACME\n", SECTION_FAILED, SECTION_FAILED, NULL, true },
    { SECTION_DISKS, "/sys/block/sda/size", "2048\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_DISKS, "/sys/block/sda/sda1/size", "1024\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_FILESYSTEMS, "/proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n", SECTION_FAILED, SECTION_FAILED, NULL, false },
    { SECTION_PACKAGES, "/var/lib/dpkg/status", "Package: bash\nStatus: install ok installed\nVersion: 5\n\n", SECTION_MISSING, SECTION_FAILED, NULL, false },
    { SECTION_USERS, "/etc/passwd", "root:x:0:0::/root:/bin/sh\n", SECTION_MISSING, SECTION_FAILED, NULL, false },
    { SECTION_USERS, "/etc/group", "root:x:0:\n", SECTION_OK, SECTION_FAILED, NULL, false },
    { SECTION_LOGINS, run_utmp, "", SECTION_OK, SECTION_OK, NULL, false },
    { SECTION_LOGINS, "/run/systemd/sessions/1", "USER=root\nSTATE=active\nCLASS=user\n", SECTION_OK, SECTION_FAILED, run_utmp, false },
    { SECTION_GPUS, "/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n", SECTION_OK, SECTION_FAILED, NULL, false },
};

static int sound_setup(void **state)
{
    int r = tree_setup(state);
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        tree_file(*state, sources[i].path, sources[i].good);
    tree_file(*state, "/sys/block/sda/sda1/partition", "1\n");
    return r;
}

/* Runs @s, whose file is now @what; everything is sound again afterwards. */
static void expect(struct tree *t, const struct source *s, const char *what, enum section_status want)
{
    size_t n = tree_run(t, s->section);
    if (t->status != want || (want != SECTION_OK && (n || !t->message[0])))
        fail_msg("%s %s: %s with %zu rows (%s)", s->path, what, name_of(section_status_names, (int)t->status), n, t->message);
    tree_remove(t, s->path);
    tree_file(t, s->path, s->good);
}

static void a_sound_host_is_ok_everywhere(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
        expect(*state, &sources[i], "sound", SECTION_OK);
}

static void what_is_there_and_no_such_file_is_a_failure(void **state)
{
    enum { LONG = 100000, BLOCK = 4096 };
    struct tree *t = *state;
    AUTO_FREE char *text = xmalloc(LONG), *zeros = xcalloc(1, BLOCK);
    memset(text, 'x', LONG);
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        const struct source *s = &sources[i];
        if (s->hides)
            tree_remove(t, s->hides);
        tree_bytes(t, s->path, zeros, BLOCK);
        expect(t, s, "of zeros", SECTION_FAILED);
        tree_remove(t, s->path);
        tree_dir(t, s->path);
        expect(t, s, "a directory", SECTION_FAILED);
        tree_bytes(t, s->path, "", 0);
        expect(t, s, "empty", s->empty);
        if (!s->is_any_text) {
            tree_bytes(t, s->path, text, LONG);
            expect(t, s, "of one long line", SECTION_FAILED);
            tree_file(t, s->path, "\x8f\x02 what? \xff;\n;;!\n\n\x01\xfe\n");
            expect(t, s, "of junk", SECTION_FAILED);
        }
        tree_remove(t, s->path);
        expect(t, s, "away", s->none);
        if (s->hides)
            tree_file(t, s->hides, "");
    }
}

/* From a crash, or a disk that was full: what is behind the cut would be told as removed. */
static void a_dpkg_status_cut_anywhere_is_whole_paragraphs_or_a_failure(void **state)
{
    static const char two[] = "Package: a\nStatus: install ok installed\nVersion: 1\n\n"
                              "Package: b\nStatus: install ok installed\nVersion: 1\nDescription: b\n more\n\n";
    struct tree *t = *state;
    for (size_t n = 1; n < sizeof(two); n++) {
        size_t rows;
        tree_bytes(t, "/var/lib/dpkg/status", two, n);
        rows = tree_run(t, SECTION_PACKAGES);
        /* between lines behind the version nobody can tell */
        bool is_whole = two[n - 1] == '\n' && (str_ends(str_bytes(two, n), STR("Version: 1\n")) || str_ends(str_bytes(two, n), STR("\n\n")) ||
                                               str_ends(str_bytes(two, n), STR("b\n")) || str_ends(str_bytes(two, n), STR("more\n")));
        is_whole = is_whole && !str_ends(str_bytes(two, n), STR("Package: b\n"));
        assert_int_equal(t->status, is_whole ? SECTION_OK : SECTION_FAILED);
        assert_int_equal(rows > 0, is_whole);
    }
}

static void a_dpkg_status_is_as_strict_as_dpkg(void **state)
{
    static const char *const bad[] = {
        "Package: a\nStatus: install ok installed\nVersion: 1\nhalf a line\n\n",
        "Package: a\nStatus: install ok installed\n\n",
        "Package: a\nVersion: 1\n\n",
        "Status: install ok installed\nVersion: 1\n\n",
        " begins: in the middle\n\nPackage: a\nStatus: install ok installed\nVersion: 1\n\n",
    };
    struct tree *t = *state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        tree_file(t, "/var/lib/dpkg/status", bad[i]);
        assert_int_equal(tree_run(t, SECTION_PACKAGES), 0);
        assert_int_equal(t->status, SECTION_FAILED);
        assert_non_null(strstr(t->message, "/var/lib/dpkg/status: line "));
    }
}

static void a_number_that_lost_its_end_is_not_the_memory(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/meminfo", "MemTotal:       16");
    assert_int_equal(tree_run(t, SECTION_MEMORY), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    assert_non_null(strstr(t->message, "/proc/meminfo"));
}

static void records_of_logins_are_whole_and_of_a_known_type(void **state)
{
    struct tree *t = *state;
    char junk[384 * 2];
    memset(junk, 0x5a, sizeof(junk));
    tree_bytes(t, run_utmp, junk, sizeof(junk));
    assert_int_equal(tree_run(t, SECTION_LOGINS), 0);
    assert_int_equal(t->status, SECTION_FAILED);
}

static void units_that_cannot_be_listed_are_a_failure(void **state)
{
    struct tree *t = *state;
    tree_dir(t, "/run/systemd/system");
    assert_int_equal(tree_run(t, SECTION_SERVICES), 0);
    assert_int_equal(t->status, SECTION_FAILED); /* systemd without a unit */
    tree_file(t, "/lib/systemd/system/a.service", "[Service]\n");
    tree_file(t, "/etc/systemd/system/stray.wants", "no directory, and nothing to systemd");
    assert_int_equal(tree_run(t, SECTION_SERVICES), 1);
    assert_int_equal(t->status, SECTION_OK);
    tree_file(t, "/run/systemd/units", "x");
    assert_int_equal(tree_run(t, SECTION_SERVICES), 0);
    assert_int_equal(t->status, SECTION_FAILED);
    assert_non_null(strstr(t->message, "/run/systemd/units"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_sound_host_is_ok_everywhere, sound_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(what_is_there_and_no_such_file_is_a_failure, sound_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_dpkg_status_cut_anywhere_is_whole_paragraphs_or_a_failure, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_dpkg_status_is_as_strict_as_dpkg, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_number_that_lost_its_end_is_not_the_memory, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(records_of_logins_are_whole_and_of_a_known_type, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(units_that_cannot_be_listed_are_a_failure, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
