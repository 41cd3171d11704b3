/* control/control.h - verbs: the struct everything hangs on, start and stop order.
 *
 * One use case per file, each with the same four steps: load (from memory) · decide (fleet, pure) · record (store, into the open
 * unit) · promise (control/commit.h: replies, acks, events and orders leave when the unit is durable). One thread: the core loop's.
 * control cannot see a socket or a JSON key: time comes from a struct clock, timers from control_tick(), bytes leave through
 * link_ops and callbacks.
 *
 * Every verb takes the principal, checks fleet/policy itself, and audits both success and refusal. Verbs return 0 or an -errno /
 * outcome with @err filled (slug from wire/slugs.h); what they return is lent until the next call unless said. A caller that shows
 * or answers anything parks its reply with commit_after(). */
#ifndef MUSTER_CONTROL_H
#define MUSTER_CONTROL_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "control/admission.h"
#include "control/link.h"
#include "fleet/policy.h"
#include "fleet/presence.h"
#include "store/store.h"
#include "wire/checkin.h"

struct control;

/* Zero in a duration, limit or rate means its default (in brackets). */
enum { CONTROL_NAMES_MAX = 32 };
struct control_conf {
    const struct clock *clock;
    struct store *store;              /* open; owned by the caller */
    const struct link_ops *links;
    usec_t heartbeat;                 /* base interval, 10 s */
    uint32_t beats_per_s;             /* stretch above this, 2000 */
    usec_t pending_ttl;               /* 7 days */
    usec_t cert_ttl;                  /* 30 days */
    usec_t job_deadline;              /* 1 h */
    uint64_t output_cap_bytes;        /* 64 MiB */
    uint32_t max_running_tasks;       /* per host, 16 */
    uint32_t enroll_per_s;            /* global limit for valid install tokens, 200; 1000 with is_dev */
    usec_t away_limit;                /* an unfinished task of a host away for this long (and past the deadline) is lost, 24 h */
    struct admission_conf admission;  /* control/admission.h has the defaults */
    struct retention retention;
    bool is_dev;
    bool asks_client_certs;           /* of foreign agents: else an enrollment key cannot require one (reports.h) */
    const char *const *names;         /* the server's certificate has these names and addresses too; read by control_open() only */
    size_t n_names;                   /* at most CONTROL_NAMES_MAX */
    /* Off-loop work (password hashing): @work on a pool thread, then @done on the loop. */
    void (*offload)(void *ctx, void (*work)(void *arg), void (*done)(void *arg), void *arg);
    void *offload_ctx;
};

/* Loads the fleet from the store (synchronously; makes CA and fleet id on first start) and registers store_on_drift(). 0 and *@ret, or -errno and @err. */
int control_open(const struct control_conf *conf, struct control **ret, struct err *err);
/* Before store_close(): reads still out end in there with -ECANCELED and touch control no more. Parked callbacks are told that nothing was
 * promised (commit.h). NULL is a no-op. */
void control_free(struct control *c);
DEFINE_AUTO(struct control *, control_free)
/* Timers: presence, deadlines, retention, pending expiry. Call about every 250 ms. */
void control_tick(struct control *c);
/* Takes new values of heartbeat, ttl, limits, retention (reload). */
void control_reload(struct control *c, const struct control_conf *conf);
/* Planned stop: goodbye with a reconnect slot to every link. */
void control_drain(struct control *c);

/* What the server needs to listen and to tell people. Lent, constant for the life of @c. */
struct control_identity {
    const char *fleet;                /* trust domain */
    const char *ca_pem;
    const char *server_cert_pem;      /* the leaf, then the CA */
    const char *server_key_pem;
    uint8_t pin[SHA256_LEN];
    char pin_text[80];                /* "sha256:hex" */
};
const struct control_identity *control_identity(const struct control *c);

#endif
