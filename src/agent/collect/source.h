/* agent/collect/source.h - private to the collectors: small readers of files under a root, line streams, netlink dumps.
 *
 * Every path is ROOT + an absolute path, so that tests hand in a fake tree. Nothing here keeps anything between calls.
 * Loop thread. */
#ifndef MUSTER_AGENT_COLLECT_SOURCE_H
#define MUSTER_AGENT_COLLECT_SOURCE_H

#include <sys/types.h>

#include "agent/collect/collect.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"

enum { SRC_PATH_MAX = 1024, SRC_LINE_MAX = 8192 };

/* -- files */
/* "@root" + printf text into @dst. 0 or -ENAMETOOLONG. */
int src__path(char dst[SRC_PATH_MAX], const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The first line of the file, trimmed, in @a; empty if there is none or it cannot be read. */
struct str src__word(struct arena *a, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same as a number; 0 when it is none: only where that means the same as absent. */
uint64_t src__number(const char *root, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same where 0 would be a statement: 0 and *@ret; -EBADMSG when what is there is no number, else -errno. */
int src__number_of(uint64_t *ret, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Target of a symbolic link, in @a; empty if it is none. */
struct str src__link(struct arena *a, const char *root, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The part after the last '/'. */
struct str src__base(struct str path);
bool src__exists(const char *root, const char *path);
/* Calls @fn for each entry but "." and ".."; stops early when it returns non-zero and passes that on if negative. 0 or -errno. */
typedef int (*src_entry_fn)(void *ctx, const char *name);
int src__dir(const char *root, const char *path, src_entry_fn fn, void *ctx);
/* What identifies the file's present content; size UINT64_MAX when it cannot be seen. */
struct collect_stamp src__stamp(const char *root, const char *path);
/* True if one of up to two files differs from what @st remembers for @s; remembers. @b may be NULL. */
bool src__changed(struct collect_state *st, enum section s, const char *a, const char *b);

/* -- lines: a stream cut into lines at any chunking. A line longer than SRC_LINE_MAX is cut to that and flagged nowhere: no
 * source of ours has one whose end matters. The slice is valid during the call. */
typedef int (*src_line_fn)(void *ctx, struct str line); /* 0: go on; 1: enough; -errno: stop and pass on */
struct src_lines {
    src_line_fn fn;
    void *ctx;
    struct buf part;   /* an unfinished line */
    bool is_skipping;  /* the rest of a cut line */
};
struct src_lines src__lines(src_line_fn fn, void *ctx);
int src__lines_feed(struct src_lines *l, struct str chunk); /* as @fn */
/* The last line without a newline, and release. As @fn. */
int src__lines_end(struct src_lines *l);
void src__lines_done(struct src_lines *l);
/* A whole file through it. 0 or -errno (of opening or reading, or @fn's); -EBADMSG when it holds a zero byte, as blocks do that a crash
 * left unwritten: then it is no text. */
int src__file_lines(const char *root, const char *path, src_line_fn fn, void *ctx);

/* "key<sep> value" cut and both trimmed; false without @sep. */
bool src__pair(struct str line, char sep, struct str *ret_key, struct str *ret_value);

/* -- netlink */
struct nlmsghdr;
typedef int (*src_nl_fn)(void *ctx, const struct nlmsghdr *nlh); /* as src_line_fn */
/* Sends @req (a dump request with all but sequence filled) and calls @fn for each message of the reply. With a @root the reply
 * is the file ROOT/netlink/@name instead. 0 or -errno (-ENOENT: the kernel or the tree does not have it). */
int src__netlink(const char *root, const char *name, int protocol, struct nlmsghdr *req, src_nl_fn fn, void *ctx);
/* Every TCP and UDP socket of IPv4 and IPv6 by sock_diag (recordings tcp4, tcp6, udp4, udp6); of TCP those in @tcp_states (a bit each).
 * *@is_tcp tells @fn which they are. What the kernel does not have (IPv6, udp_diag) is left out. 0 or -errno (-ENOENT: not even TCP). */
int src__sock_diag(const char *root, uint32_t tcp_states, bool *is_tcp, src_nl_fn fn, void *ctx);
/* The messages in @bytes, as src__netlink() calls them: for tests and fuzzing. Ends at the first malformed one. */
int src__netlink_feed(struct str bytes, src_nl_fn fn, void *ctx);
struct nlattr;
/* Attributes of @nlh behind a fixed part of @fixed bytes by type into @tb[0..max]; a later repeat wins. False if too short. */
bool src__attrs(const struct nlmsghdr *nlh, size_t fixed, const struct nlattr **tb, unsigned max);
void src__attrs_nested(const struct nlattr *nest, const struct nlattr **tb, unsigned max);
/* Payload checks: false / empty when absent or too short. */
bool src__attr_u32(const struct nlattr *attr, uint32_t *ret);
struct str src__attr_text(const struct nlattr *attr); /* without trailing NUL */
struct str src__attr_bytes(const struct nlattr *attr);
/* An address of 4 or 16 bytes as text in @dst (46 bytes); "" otherwise. V4-mapped is written as IPv4. */
void src__address(struct str bytes, char dst[46]);

/* -- outcomes */
/* Marks the section missing on this host and returns 0. */
int collect__missing(struct collect_out *out, const char *why);
/* Writes the message of a failure, unless a deeper place has, and returns @r (-errno). */
int collect__failed(struct collect_out *out, int r, const char *what);
/* The same of a source that was read and is not what it should be: "@what: @why". -EBADMSG. A collector that understood nothing says
 * this: rows it does not have would be told as removed. */
int collect__garbled(struct collect_out *out, const char *what, const char *why);
/* A copy of a slice that outlives it, in the section's arena. */
struct str collect__keep(struct collect_out *out, struct str s);

/* -- the collectors, one a section */
int os__run(struct collect_out *out, const char *root);
int kernel__run(struct collect_out *out, const char *root);
int cpu__run(struct collect_out *out, const char *root);
int memory__run(struct collect_out *out, const char *root);
int dmi__run(struct collect_out *out, const char *root);
int disks__run(struct collect_out *out, const char *root);
int filesystems__run(struct collect_out *out, const char *root);
int interfaces__run(struct collect_out *out, const char *root);
int addresses__run(struct collect_out *out, const char *root);
int neighbours__run(struct collect_out *out, const char *root);
int routes__run(struct collect_out *out, const char *root);
int listeners__run(struct collect_out *out, const char *root);
int connections__run(struct collect_out *out, const char *root);
int packages__run(struct collect_out *out, const char *root);
bool packages__is_changed(void *state);
int services__run(struct collect_out *out, const char *root);
int users__run(struct collect_out *out, const char *root);
bool users__is_changed(void *state);
int logins__run(struct collect_out *out, const char *root);
int gpus__run(struct collect_out *out, const char *root);
int ports__run(struct collect_out *out, const char *root);
bool ports__is_changed(void *state);

/* -- parsers shared between files */
/* os-release(5): fields by fixed copies. */
struct os_release {
    char id[64], id_like[128], name[128], pretty_name[192], version[128], version_id[64], codename[64], variant[64];
};
int os__line(void *os_release, struct str line);
int os__release(const char *root, struct os_release *ret);
/* meminfo, in bytes. memory__read(): 0 or -errno; -EBADMSG when it does not say how much there is. */
struct meminfo {
    uint64_t total, free, available, buffers, cached, slab_reclaimable, swap_total, huge_total, huge_size;
    bool has_available;
};
int memory__line(void *meminfo, struct str line);
int memory__read(const char *root, struct meminfo *ret);
/* First line of /proc/stat. */
struct cpu_times {
    uint64_t total, idle;
    bool is_found;
};
int beat__stat_line(void *cpu_times, struct str line);
/* Calls for each address of the host, text without prefix; loopback and link-local left out. */
typedef int (*address_fn)(void *ctx, const char *address);
int addresses__each(const char *root, address_fn fn, void *ctx);
/* Logical processors that are online. */
uint32_t cpu__count(const char *root);

#endif
