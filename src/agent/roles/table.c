/* agent/roles/table.c - the built-in roles, in the order they start. An array, not a linker section: it can be read. */
#include "agent/roles.h"

const struct role *const role_table[] = { &role_metrics, &role_inventory, &role_command, &role_port_scan, &role_exporter, NULL };
