/* wire/facts.h - inventory: sections of keyed rows, deltas with removals, a digest of the whole.
 *
 * A row is (key, one JSON object as canonical text: no spaces, keys in table order). The digest of a section is the sum
 * modulo 2^256 (little-endian bytes) of SHA-256("muster.row" 0x00 key 0x00 json) over its rows: a change is one
 * subtraction and one addition, order does not matter, and an empty section is all zero. */
#ifndef MUSTER_WIRE_FACTS_H
#define MUSTER_WIRE_FACTS_H

#include "base/clock.h"
#include "base/crypto.h"
#include "base/names.h"
#include "base/str.h"

enum section_status { SECTION_OK = 1, SECTION_DISABLED, SECTION_FAILED, SECTION_MISSING };
extern const struct name section_status_names[]; /* ok disabled failed missing */

/* The sections, in the order they are shown. Spelling = section_names. Those below SECTION_N are what an agent of ours collects; the
 * reported_ ones are what another accent's agent (fleet/teller.h) tells of a machine whose own agent has the plain name. */
enum section {
    SECTION_OS, SECTION_KERNEL, SECTION_CPU, SECTION_MEMORY, SECTION_DMI, SECTION_DISKS, SECTION_FILESYSTEMS,
    SECTION_INTERFACES, SECTION_ADDRESSES, SECTION_NEIGHBOURS, SECTION_ROUTES, SECTION_LISTENERS, SECTION_CONNECTIONS,
    SECTION_PACKAGES, SECTION_SERVICES, SECTION_USERS, SECTION_LOGINS, SECTION_GPUS, SECTION_PORTS, SECTION_N,
    SECTION_REPORTED_ADDRESSES = SECTION_N, SECTION_REPORTED_NEIGHBOURS, SECTION_REPORTED_CONNECTIONS,
    SECTION_REPORTED_ROUTES, SECTION_REPORTED_OS, SECTION_REPORTED_CPU, SECTION_REPORTED_MEMORY,
    SECTION_REPORTED_FILESYSTEMS, SECTION_ALL,
};
extern const struct name section_names[];

struct fact_digest {
    uint8_t b[SHA256_LEN];
};
struct fact_row {
    struct str key, json;
};
struct section_delta {
    struct str name;
    enum section_status status;
    struct str message;
    bool full;
    struct fact_row *rows;
    size_t n_rows;
    struct str *removed;
    size_t n_removed;
    struct fact_digest base, digest;
    usec_t taken_at; /* agent clock */
};

#endif
