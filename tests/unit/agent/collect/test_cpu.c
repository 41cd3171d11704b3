/* tests/unit/agent/collect/test_cpu.c - processors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void sockets_cores_and_threads_are_counted(void **state)
{
    struct tree *t = *state;
    char text[2048];
    size_t n = 0;
    for (unsigned i = 0; i < 8; i++) /* 2 sockets, 2 cores each, 2 threads each */
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "processor\t: %u\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\ncpu MHz\t: %u\nphysical id\t: %u\n"
                              "core id\t\t: %u\nflags\t\t: fpu hypervisor sse\n\n",
                              i, 1000 + i, i / 4, i / 2 % 2);
    tree_file(t, "/proc/cpuinfo", text);
    tree_file(t, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3500000\n");
    assert_int_equal(tree_run(t, SECTION_CPU), 1);
    assert_string_equal(tree_row(t, "cpu"), "{\"vendor\":\"GenuineIntel\",\"model\":\"Xeon\",\"sockets\":2,\"cores\":4,"
                                            "\"threads\":8,\"max_khz\":3500000,\"virtual\":true}");
}

static void a_machine_without_topology_has_one_socket(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nprocessor\t: 1\n"
                                  "CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n");
    assert_int_equal(tree_run(t, SECTION_CPU), 1);
    assert_string_equal(tree_row(t, "cpu"), "{\"vendor\":\"0x41\",\"model_number\":\"0xd0c\",\"sockets\":1,\"cores\":2,"
                                            "\"threads\":2,\"virtual\":false}");
}

static void without_cpuinfo_it_is_missing(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_CPU), 0);
    assert_int_equal(t->status, SECTION_MISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sockets_cores_and_threads_are_counted, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_machine_without_topology_has_one_socket, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(without_cpuinfo_it_is_missing, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
