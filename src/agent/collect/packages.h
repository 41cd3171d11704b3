/* agent/collect/packages.h - private: what dpkg and rpm rows look like, and their parsers, for tests and fuzzing. */
#ifndef MUSTER_AGENT_COLLECT_PACKAGES_H
#define MUSTER_AGENT_COLLECT_PACKAGES_H

#include "agent/collect/source.h"

struct package_facts {
    struct str name, version, arch, source, section, status, manager;
    uint64_t installed_bytes;
    bool is_held;
};
extern const struct record package_record;

/* One paragraph of the dpkg status file on its way; all-zero but for @out is its start. As strict as dpkg itself: a line that is no field,
 * or a paragraph without its name or status, is -EBADMSG, and @why, @n_line say what and where. */
struct dpkg_reading {
    struct collect_out *out;
    const char *why;
    uint32_t n_line;
    bool has_field; /* the paragraph has begun */
    char name[128], version[128], arch[32], source[128], section[64], status[64], multi_arch[16];
    uint64_t installed_kib;
};
int dpkg__line(void *dpkg_reading, struct str line);
/* The last paragraph, when no empty line ended it. */
int dpkg__end(struct dpkg_reading *d);

/* One line of `rpm -qa --qf RPM_FORMAT`; ctx = struct collect_out. */
#define RPM_FORMAT "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SOURCERPM}\\t%{GROUP}\\t%{SIZE}\\n"
int rpm__line(void *collect_out, struct str line);
/* Runs it. 0 or -errno; -EBADMSG when there is no package at all: rpm says nothing, and no error, of a database it cannot read. */
int rpm__run(struct collect_out *out, const char *root);
/* The rpm database's file under @root, or NULL. */
const char *rpm__database(const char *root);

#endif
