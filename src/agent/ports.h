/* agent/ports.h - which ports of a range are free, who uses the others, and handing some out. Used by the role port_scan and the
 * sigma personality. A scan runs on a pool thread; the rest on the loop. (sigma 2.6-2.8, 6.1, 6.5) */
#ifndef MUSTER_AGENT_PORTS_H
#define MUSTER_AGENT_PORTS_H

#include "base/auto.h"
#include "base/buf.h"
#include "net/loop.h"
#include "wire/ports.h"

enum port_method {
    PORT_BIND,    /* socket, SO_REUSEADDR, bind, close: the seed's answer. Never listens */
    PORT_STRICT,  /* without SO_REUSEADDR: TIME_WAIT and accepted connections count as used */
    PORT_NETLINK, /* sock_diag dump: the strict answer without touching a port */
};
extern const struct name port_method_names[]; /* bind strict netlink */
enum { PORT_SOURCES_FIXED = 6, PORT_SOURCES_MAX = 32 };

struct ports;
struct ports_conf {
    struct loop *loop;
    const char *root;            /* "" or a fake tree in tests */
    uint16_t first, last;        /* inclusive, 1 <= first <= last */
    usec_t every;                /* between the end of a scan and the next; 0: on request only */
    enum port_method method;
    uint32_t max_count;          /* of one allocation: 100, at most PORTS_MAX */
    const struct port_source { const char *name, *pattern; } *sources; /* more than the six fixed ones; a fixed name gets one more pattern */
    size_t n_sources;
    const char *lease_file;      /* leases are kept there and survive us; NULL: they end with us */
    const char *ss;              /* NULL: owners by sock_diag and /proc; else this program's `-tulnp` says them */
    const struct clock *clock;   /* NULL: the machine's */
    void (*scanned)(void *ctx);  /* a scan has ended, well or not; may be NULL */
    void (*leased)(void *ctx);   /* scan.reserved is another number; may be NULL, must not free us */
    void *ctx;
};
/* The result: sum(used) + available = total. Lent, replaced as a whole when a scan ends. */
struct ports_result {
    struct port_scan scan;
    const char *source[PORT_SOURCES_MAX]; /* envoy sshd nginx node_exporter other unknown, then the configured ones */
    uint32_t used[PORT_SOURCES_MAX];
    size_t n_sources;
};
/* Copies @conf. The first scan begins at once unless @every is 0. 0; -EINVAL "ports.range", "ports.count", "ports.sources". */
int ports_new(const struct ports_conf *conf, struct ports **ret, struct err *err);
/* Who waits for an answer is refused (ports.failed) before this returns; leases without a file end. What the pool thread is at ends by itself: the loop has
 * to run, or be freed, afterwards. Safe inside the callbacks. */
void ports_free(struct ports *p);
/* Why the last scan failed; NULL: it did not. */
const struct err *ports_trouble(const struct ports *p);
DEFINE_AUTO(struct ports *, ports_free)
const struct ports_result *ports_result(const struct ports *p);
/* Asks for a scan now (one at a time; a running one counts). */
void ports_scan_now(struct ports *p);
/* Does @w ask for what may be asked? 0; -EINVAL and @err: ports.count, or ports.failed for what it says of a lease. Pure. */
int ports_wish_check(const struct ports_wish *w, uint32_t max_count, struct err *err);
/* The first @w->count ports that are free now and not leased, ascending; @done later, with the answer lent. Scans and allocations run
 * in turns on one pool thread. With @w->ttl_seconds they are leased, which is on disk before @done (else ports.failed), and with @w->hold
 * also kept bound (not listening) until then. */
void ports_allocate(struct ports *p, const struct ports_wish *w, void (*done)(void *ctx, const struct ports_answer *a), void *ctx);
/* Leases: those alive (expired ones and those somebody binds are dropped), and giving one back: 0 once that is on disk; -ENOENT; another
 * -errno: it cannot be written, and the lease stays. */
struct port_lease {
    char id[37];
    const char *owner;
    const uint16_t *ports;
    uint32_t n;
    usec_t expires_at; /* wall */
    bool is_held;      /* we keep them bound */
};
void ports_leases(struct ports *p, void (*fn)(void *ctx, const struct port_lease *l), void *ctx);
int ports_release(struct ports *p, struct str lease, struct err *err);
/* The four sigma families and ours, Prometheus text 0.0.4, label values escaped (sigma 2.7). @p NULL: all zero. */
int ports_metrics(const struct ports *p, struct str hostname, struct buf *out);
/* A label's value, escaped. 0 or -ENOBUFS. */
int ports_label(struct buf *out, struct str s);

/* "START-END" -> the two, 1 <= START <= END. 0 or -EINVAL and @err ("config.range"). */
int port_range_parse(struct str s, uint16_t *ret_first, uint16_t *ret_last, struct err *err);
/* Blocking, any thread: what a scan does (bench, tests). @bitmap: one bit a port of the range, set = used. 0 or -errno. */
int port_scan_run(enum port_method m, const char *root, uint16_t first, uint16_t last, uint8_t *bitmap, struct err *err);
/* One line of `ss -tulnp` (sigma 2.6, section 5): 1 and port and process ("" unknown), 0 no listener. */
int ss_line(struct str line, uint16_t *ret_port, struct str *ret_process);
/* The source class of a process name: index into the result's list. */
size_t port_class(const struct ports_conf *conf, struct str process);

#endif
