/* wire/facts.c - see facts.h. */
#include "wire/facts.h"

const struct name section_status_names[] = {
    { SECTION_OK, "ok" },
    { SECTION_DISABLED, "disabled" },
    { SECTION_FAILED, "failed" },
    { SECTION_MISSING, "missing" },
    NAMES_END,
};

const struct name section_names[] = {
    { SECTION_OS, "os" },
    { SECTION_KERNEL, "kernel" },
    { SECTION_CPU, "cpu" },
    { SECTION_MEMORY, "memory" },
    { SECTION_DMI, "dmi" },
    { SECTION_DISKS, "disks" },
    { SECTION_FILESYSTEMS, "filesystems" },
    { SECTION_INTERFACES, "interfaces" },
    { SECTION_ADDRESSES, "addresses" },
    { SECTION_NEIGHBOURS, "neighbours" },
    { SECTION_ROUTES, "routes" },
    { SECTION_LISTENERS, "listeners" },
    { SECTION_CONNECTIONS, "connections" },
    { SECTION_PACKAGES, "packages" },
    { SECTION_SERVICES, "services" },
    { SECTION_USERS, "users" },
    { SECTION_LOGINS, "logins" },
    { SECTION_GPUS, "gpus" },
    { SECTION_PORTS, "ports" },
    { SECTION_REPORTED_ADDRESSES, "reported_addresses" },
    { SECTION_REPORTED_NEIGHBOURS, "reported_neighbours" },
    { SECTION_REPORTED_CONNECTIONS, "reported_connections" },
    { SECTION_REPORTED_ROUTES, "reported_routes" },
    { SECTION_REPORTED_OS, "reported_os" },
    { SECTION_REPORTED_CPU, "reported_cpu" },
    { SECTION_REPORTED_MEMORY, "reported_memory" },
    { SECTION_REPORTED_FILESYSTEMS, "reported_filesystems" },
    NAMES_END,
};
