/* agent/ports_priv.h - private between the ports*.c files: one look at a range, on whatever thread; what is kept between looks, and the
 * leases, on the loop's. */
#ifndef MUSTER_AGENT_PORTS_PRIV_H
#define MUSTER_AGENT_PORTS_PRIV_H

#include "agent/ports.h"
#include "base/limits.h"
#include "base/vec.h"

struct lease {
    struct port_lease pub; /* .ports is ours to free */
    char owner[LIMIT_NAME + 1];
    usec_t until;          /* monotonic */
    int *fds;              /* held; as many as ports */
};

struct ports {
    struct ports_conf conf; /* strings are ours */
    struct ports_result result;
    struct err trouble;
    struct job *job;        /* under way */
    bool is_scan_due, was_ask, is_freed;
    struct ask *asks, **tail, *refused;
    size_t n_asks;
    struct timer *next_scan, *expiry, *refusals;
    VEC(struct lease) leases;
    size_t n_held;
    uint32_t reserved_told; /* as conf.leased heard last */
};

/* One bit a port of a range. */
static inline size_t ports__bytes(uint16_t first, uint16_t last)
{
    return ((size_t)(last - first) >> 3) + 1;
}
static inline bool ports__bit(const uint8_t *bitmap, size_t i)
{
    return bitmap[i >> 3] >> (i & 7) & 1;
}
static inline void ports__set(uint8_t *bitmap, size_t i)
{
    bitmap[i >> 3] = (uint8_t)(bitmap[i >> 3] | 1u << (i & 7));
}

/* -- ports_scan.c */
/* One socket that is tried on port after port; a bind that fails leaves it as it was. All-zero but fd -1 at first. */
struct probe {
    int fd;
    bool reuse;
};
/* 1: a TCP server could bind 0.0.0.0:@port now; 0: not; -errno: no socket to try with. @ret_fd (may be NULL) gets the bound socket,
 * which otherwise is closed. */
int probe__try(struct probe *p, uint16_t port, int *ret_fd);
void probe__done(struct probe *p);

/* -- ports_diag.c */
/* What sock_diag says of the TCP sockets of a range. */
struct diag {
    uint16_t first, last;
    uint8_t *used;  /* bitmap: an IPv4 bind would meet a socket; NULL: only listeners are asked for */
    uint8_t *maybe; /* bitmap: the kernel does not say whether this IPv6 socket stands in IPv4's way */
    VEC(struct diag_listener { uint64_t inode; uint16_t port; }) listeners;
};
/* 0 or -errno. @d's vector is the caller's to release, also after a failure. */
int diag__run(const char *root, struct diag *d);

/* -- ports_leases.c. Loop thread. */
/* A new lease of @wanted's owner, ports and hold for @ttl, on disk when this returns. It is lent until leases change; NULL and @err:
 * there is no room, or it cannot be written. Held: @fds are taken over, with success only. */
const struct lease *leases__make(struct ports *p, const struct port_lease *wanted, usec_t ttl, const int *fds, struct err *err);
/* What the file has and still counts. */
void leases__load(struct ports *p);
void leases__expire(struct ports *p);
void leases__on_expiry(void *ports); /* of p->expiry */
/* Ports of @used (a bitmap of the range) have somebody's socket now. */
void leases__met(struct ports *p, const uint8_t *used);
/* In memory; the file stays. */
void leases__end_all(struct ports *p);

/* -- ports_owners.c */
enum { PORT_CLASS_OTHER = 4, PORT_CLASS_UNKNOWN = 5 };
/* Names of all sources in order (@ret_n of them). */
void ports__sources(const struct ports_conf *conf, const char *names[PORT_SOURCES_MAX], size_t *ret_n);
/* Classes of the ports that are used in @bitmap, one byte a port of the range. @listeners: as diag__run() gave them. */
void owners__classes(const struct ports_conf *conf, const uint8_t *bitmap, const struct diag *listeners, uint8_t *ret_class);
/* The same by the words of conf->ss. 0 or -errno: it could not be run, or said nothing. */
int owners__classes_ss(const struct ports_conf *conf, const uint8_t *bitmap, uint8_t *ret_class);

/* As port_scan_run(), and the listeners that were met. */
int scan__run(enum port_method m, const char *root, struct diag *d, struct err *err);

#endif
