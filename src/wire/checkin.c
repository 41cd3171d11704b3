/* wire/checkin.c - see checkin.h. */
#include "wire/checkin.h"

#include "base/limits.h"

static const struct field host_claims_fields[] = {
    F_STR(struct host_claims, hostname, "hostname", LIMIT_HOSTNAME, .flags = FIELD_ID,
          .help = "What the host calls itself."),
    F_STR(struct host_claims, machine_id, "machine_id", 128, .flags = FIELD_WIDE,
          .help = "Salted hash of the machine's id: tells cloned disks apart."),
    F_STR(struct host_claims, os, "os", 256, .help = "Operating system, for people."),
    F_STR(struct host_claims, kernel, "kernel", 256, .help = "Kernel release."),
    F_STR(struct host_claims, arch, "arch", 64, .help = "Machine architecture."),
    F_STR(struct host_claims, agent_version, "agent_version", 64, .help = "Version of the agent."),
    F_STR_LIST(struct host_claims, addresses, "addresses", 64, 64, .help = "Addresses of its interfaces."),
    F_MAP(struct host_claims, labels, "labels", LIMIT_LABELS, LIMIT_LABEL_VALUE,
          .help = "Labels it asks for; they match no selector until an operator approves them."),
    F_U32(struct host_claims, cpu_cores, "cpu_cores", .help = "Logical processors."),
    F_U64(struct host_claims, memory_bytes, "memory_bytes", .help = "Installed memory."),
    F_U64(struct host_claims, disk_bytes, "disk_bytes", .help = "Size of the root file system."),
};
const struct record host_claims_record = RECORD(host_claims, host_claims_fields);
