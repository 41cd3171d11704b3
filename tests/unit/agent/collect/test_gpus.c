/* tests/unit/agent/collect/test_gpus.c - display controllers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tree.h"

static void pci_class_three_is_a_gpu_and_the_driver_names_it(void **state)
{
    struct tree *t = *state;
    tree_file(t, "/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n");
    tree_file(t, "/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    tree_file(t, "/sys/bus/pci/devices/0000:01:00.0/device", "0x2204\n");
    tree_link(t, "/sys/bus/pci/devices/0000:01:00.0/driver", "../../../bus/pci/drivers/nvidia");
    tree_file(t, "/sys/bus/pci/devices/0000:00:1f.0/class", "0x060100\n");
    tree_file(t, "/proc/driver/nvidia/gpus/0000:01:00.0/information",
              "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ:   \t\t 130\nGPU UUID: \t GPU-1-2\nVideo BIOS: \t 94.02\n");
    assert_int_equal(tree_run(t, SECTION_GPUS), 1);
    assert_string_equal(tree_row(t, "0000:01:00.0"),
                        "{\"slot\":\"0000:01:00.0\",\"vendor\":\"NVIDIA\",\"vendor_id\":\"0x10de\",\"device_id\":\"0x2204\","
                        "\"model\":\"NVIDIA GeForce RTX 3090\",\"uuid\":\"GPU-1-2\",\"firmware\":\"94.02\",\"driver\":\"nvidia\"}");
}

static void a_card_without_pci_counts_and_its_plugs_do_not(void **state)
{
    struct tree *t = *state;
    tree_link(t, "/sys/class/drm/card0/device/driver", "../../bus/platform/drivers/vc4");
    tree_dir(t, "/sys/class/drm/card0-HDMI-A-1");
    assert_int_equal(tree_run(t, SECTION_GPUS), 1);
    assert_string_equal(tree_row(t, "card0"), "{\"slot\":\"card0\",\"driver\":\"vc4\"}");
}

static void no_gpu_is_an_empty_section_and_no_bus_a_missing_one(void **state)
{
    struct tree *t = *state;
    assert_int_equal(tree_run(t, SECTION_GPUS), 0);
    assert_int_equal(t->status, SECTION_MISSING);
    tree_dir(t, "/sys/bus/pci/devices");
    assert_int_equal(tree_run(t, SECTION_GPUS), 0);
    assert_int_equal(t->status, SECTION_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pci_class_three_is_a_gpu_and_the_driver_names_it, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(a_card_without_pci_counts_and_its_plugs_do_not, tree_setup, tree_teardown),
        cmocka_unit_test_setup_teardown(no_gpu_is_an_empty_section_and_no_bus_a_missing_one, tree_setup, tree_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
