/* agent/roles.h - what a role is: a const value with four hooks, and the services it is given.
 *
 *   const struct role role_metrics = { .abi = ROLE_ABI, .size = sizeof(struct role), .name = "metrics", ... };
 *
 * Built-ins are listed in roles/table.c. A role sees the link only through its role_env: it may ask whether it is up, send, or put
 * into the spool; everything it hears comes through message(). A role that the local policy does not allow, or that cannot start,
 * does nothing; what the server may wait for it says all the same (enum role_when_off). Loop thread. */
#ifndef MUSTER_AGENT_ROLES_H
#define MUSTER_AGENT_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "muster.pb-c.h"
#include "net/loop.h"
#include "wire/facts.h"

enum { ROLE_ABI = 1 };
enum role_contexts { ROLE_SYSTEM = 1, ROLE_USER = 2 }; /* where it may run: the root daemon; a helper per user */
enum role_needs { ROLE_NEED_EXEC = 1, ROLE_NEED_PTY = 2, ROLE_NEED_NET = 4 };

/* How a role is; told in every heartbeat in the words of section_status_names. */
enum role_status {
    ROLE_OK = SECTION_OK,
    ROLE_DISABLED = SECTION_DISABLED,
    ROLE_FAILED = SECTION_FAILED,
    ROLE_MISSING = SECTION_MISSING
};

/* What becomes of a role that is off: not allowed by the policy, or failed to start. Whoever is asked something must not be silent. */
enum role_when_off {
    ROLE_GONE,  /* it does not run: the server asks nothing of it */
    ROLE_SAYS,  /* it is started with env->off: collects and does nothing, but answers whatever is asked of it with just that, and tells
                 * so for its sections */
    ROLE_STAYS, /* the policy it heeds by itself, for what it has begun goes on; when it cannot start, as ROLE_SAYS */
};

enum role_msg_kind {
    ROLE_MSG_HELLO,   /* a link is being made: add to @hello (allocate in @arena) */
    ROLE_MSG_WELCOME, /* it is up: @welcome */
    ROLE_MSG_DOWN,    /* it is down again; nothing sent and not acknowledged counts */
    ROLE_MSG_SERVER,  /* @server: offers, cancels, requests ... */
    ROLE_MSG_ACKED,   /* the server has committed spooled messages up to @acked_seq */
    ROLE_MSG_UNKEPT,  /* the spool was thrown away: what was in it was not and will not be delivered */
    ROLE_MSG_DRAINED, /* there is room to send again */
    ROLE_MSG_BEAT,    /* a heartbeat is being made: add to @beat */
    ROLE_MSG_POLICY,  /* env->policy was read anew */
    ROLE_MSG_DISOWNED, /* the server wants nothing of this host any more, for good: the last message */
};
struct role_msg {
    enum role_msg_kind kind;
    union {
        struct {
            Muster__V1__Hello *hello;
            struct arena *arena;
        };
        const Muster__V1__Welcome *welcome;
        const Muster__V1__ServerMessage *server;
        Muster__V1__Heartbeat *beat;
        uint64_t acked_seq;
    };
};

/* What the command line says to roles. */
struct role_settings {
    uint16_t scan_first, scan_last; /* 0: no port scan */
    usec_t scan_every;
    int scan_method;                /* enum port_method */
    uint32_t scan_max_count;
    const char *metrics_addr;       /* NULL: no metrics endpoint */
    uint16_t metrics_port;
    const char *metrics_token;      /* NULL: none asked for */
};
/* What one role lends to others while it runs. */
struct role_shared {
    struct ports *ports;            /* of port_scan; NULL: it does not scan */
    void (*look_again)(void *inventory, enum section s); /* of inventory, which does so at once; NULL: it does not run */
    void *inventory;
};

/* Services. All pointers live as long as the role. */
struct role_env {
    uint32_t abi;
    struct loop *loop;
    const char *state_dir, *hold_path;
    const char *root;             /* "" or a fake tree in tests */
    const struct policy *policy;
    const struct role_settings *settings;
    struct role_shared *shared;
    enum role_status off;         /* DISABLED or FAILED: see ROLE_SAYS; 0: it is on. Changes only by a stop and another start */
    const char *off_why;          /* a sentence */
    void *host;                   /* first argument of the calls below */
    /* Between Welcome and the break. */
    bool (*is_up)(void *host);
    /* Sends an unnumbered message; bytes now queued, or -ENOTCONN. Above LIMIT_WRITE_LOW wait for ROLE_MSG_DRAINED. */
    int64_t (*send)(void *host, const Muster__V1__AgentMessage *m);
    /* Numbers and keeps a message until it is acknowledged: SPOOL_OK and its number, SPOOL_FULL, or -errno. */
    int (*keep)(void *host, const Muster__V1__AgentMessage *m, uint64_t *ret_seq);
    /* Visits what is kept and not acknowledged, oldest first (at start, to remember). */
    void (*kept)(void *host, void (*fn)(void *ctx, uint64_t seq, const Muster__V1__AgentMessage *m), void *ctx);
    /* Calls tick() @after from now, once; an earlier call stands if it is sooner. */
    void (*tick_in)(void *host, const void *self, usec_t after);
    /* Without effect while it is off. */
    void (*set_health)(void *host, const void *self, enum role_status status, const char *message);
};

struct role {
    uint32_t abi;
    size_t size;
    const char *name;
    uint32_t contexts, needs;
    enum role_when_off when_off;
    /* 0 and *@ret_self, or -errno and @err: the role counts as failed. With env->off: 0. */
    int (*start)(const struct role_env *env, void **ret_self, struct err *err);
    void (*message)(void *self, const struct role_msg *m);
    void (*tick)(void *self);
    void (*stop)(void *self); /* never called on a role that did not start */
};

extern const struct role *const role_table[]; /* NULL-terminated */
extern const struct role role_inventory, role_command, role_metrics, role_port_scan, role_exporter;

#endif
