/* bench/sim.h - fleetsim: many simulated agents in one process over real mutual TLS. One thread.
 *
 *   fleetsim.c     options, start, end
 *   sim_keys.c     identities, cached in one file
 *   sim_enroll.c   makes the identities that are missing
 *   sim_agent.c    one agent's connection: hello, offers, acknowledgements, backoff
 *   sim_work.c     what they do by the clock: connects, heartbeats, check-ins; one tick for all of them
 *   sim_report.c   counters, latencies, progress and the summary
 *
 * Work is open-loop: what is due is due whether or not the server kept up, and latency counts from when it was due. */
#ifndef MUSTER_SIM_H
#define MUSTER_SIM_H

#include <stdio.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/vec.h"
#include "muster.pb-c.h"
#include "net/grpc.h"
#include "pb/pb.h"
#include "wire/facts.h"

enum sim_mode { SIM_IDLE = 1, SIM_STORM, SIM_CHECKIN, SIM_FANOUT };

struct sim_options {
    char *server, *token, *keys_dir;
    int mode;
    uint32_t agents, connect_rate, rate;
    usec_t heartbeat, duration, connect_timeout, backoff_max;
    bool json;
};

/* -- latencies: 32 steps an octave, so a percentile is right within 3 % */
enum { HIST_STEPS = 32, HIST_N = HIST_STEPS * 40 };
struct hist {
    uint64_t n[HIST_N], count, sum_us, max_us;
};
void hist_add(struct hist *h, usec_t us);
/* Upper edge of the bucket the @q-th (0..1) value is in; 0 when empty. */
usec_t hist_quantile(const struct hist *h, double q);

/* -- identities */
struct identity {
    char *key_pem, *cert_pem; /* malloced; NULL: not enrolled yet */
};
struct identities {
    struct identity *v;
    size_t n;
    char *ca_pem, *fleet; /* NULL until the first enrolment */
    uint8_t pin[SHA256_LEN];
    char *path;
    FILE *file; /* appended to */
};
/* Opens DIR/sim-<pin>.pem and takes what it has for the first @n; expired ones are left out. 0 or -errno and @err. */
int identities_open(struct identities *ids, const char *dir, const uint8_t pin[SHA256_LEN], size_t n, struct err *err);
/* Takes over both texts and appends them to the file. */
void identities_put(struct identities *ids, size_t i, char *key_pem, char *cert_pem);
/* From the first answer: whom to trust. */
void identities_set_fleet(struct identities *ids, const char *ca_pem, const char *fleet);
size_t identities_missing(const struct identities *ids);
void identities_done(struct identities *ids);

/* -- an agent */
enum agent_state { AGENT_IDLE, AGENT_CONNECTING, AGENT_HELLO, AGENT_ONLINE, AGENT_WAITING, AGENT_GONE };
struct sent {
    uint64_t seq;
    usec_t due; /* monotonic: when it was to be sent */
};
enum { AGENT_WINDOW = 64, AGENT_TASKS = 16 };
struct agent {
    struct sim *sim;
    uint32_t index;
    uint8_t state;
    bool was_online, needs_full, is_stale; /* stale: the client is to be freed before the next connect */
    uint32_t attempt;
    struct tls_ctx *tls;
    struct grpc_client *client;
    uint64_t call;
    struct agent *next; /* in a slot of the wheel */
    uint64_t due_tick;
    /* check-ins: message @seq says that the row's number is @seq */
    uint64_t epoch, seq, acked;
    struct sent *window; /* ring of AGENT_WINDOW, made on first use */
    uint32_t w_head, w_n;
    /* finished and not yet acknowledged by the server */
    uint64_t tasks[AGENT_TASKS];
    uint32_t n_tasks;
};
/* Reads its key and certificate; sim_end() if they are not usable. */
void agent_prepare(struct agent *a);
/* Begins a connection. */
void agent_connect(struct agent *a);
/* The heartbeat packed for this tick. */
void agent_heartbeat(struct agent *a, struct str packed);
/* Sends the next check-in, due at @due. False when its window is full: the server is that far behind. */
bool agent_checkin(struct agent *a, usec_t due);
/* Sends what was put off until everything was read. */
void agent_answer(struct agent *a, uint64_t task_id, usec_t offered_at);
void agent_done(struct agent *a);

/* -- everything */
struct offer {
    struct agent *agent;
    uint64_t task_id;
    usec_t at; /* monotonic */
};
struct sim_counts {
    uint64_t connects, connected_total, refused, failed, call_refused, broken, goodbyes, heartbeats;
    uint64_t checkins, acked, held_back, resyncs, resent, lost_acks;
    uint64_t offers, answered, finished_acked, inventory_asked, bytes_bad;
};
struct storm {
    usec_t broke_at, first_back_at, all_back_at; /* monotonic; 0: not yet */
    uint64_t lost, refused, failed;              /* links that broke; attempts since */
};
struct sim {
    struct sim_options o;
    char host[256];
    uint16_t port;
    char code[128];          /* of the install token */
    struct loop *loop;
    struct timer *tick;
    struct identities ids;
    struct enroller *enroller; /* while identities are being made */
    struct agent *agents;
    struct pb_arena in;
    struct buf out;
    char *expect_uri;
    usec_t started_at, running_at, all_online_at, ended_at; /* monotonic; running: identities are there */
    bool is_over;
    char fatal[512];
    uint32_t n_online, n_connecting;
    struct sim_counts c, shown; /* shown: at the last progress line */
    struct hist ack, connect;
    struct storm storm;
    uint32_t server_heartbeat_ms;
    char last_error[512];
    /* sim_work.c */
    struct agent *wheel[8192];
    uint64_t tick_n;
    uint32_t n_prepared, connect_next, beat_next, checkin_next;
    uint64_t beats_due, checkins_due;
    usec_t beats_from, checkins_from, progress_at;
    VEC(struct offer) offers;
    bool had_offers;         /* in this turn */
    usec_t first_offer_wall, last_offer_wall, last_answer_wall, last_finished_wall; /* of the newest job */
    uint64_t job_offers;
    usec_t last_offer_at;    /* monotonic */
};
usec_t sim_now(void); /* monotonic, of this instant */

/* sim_enroll.c: makes what is missing, then calls @done. Sets sim->fatal on failure. */
void sim_enroll(struct sim *s, void (*done)(struct sim *s));
/* Puts away what an early end left. */
void sim_enroll_done(struct sim *s);
/* sim_work.c */
void sim_work_start(struct sim *s);
void sim_work_done(struct sim *s);
/* Calls agent_connect(@a) after @after. */
void sim_later(struct sim *s, struct agent *a, usec_t after);
void sim_offered(struct sim *s, struct agent *a, uint64_t task_id);
void sim_online(struct sim *s, struct agent *a);
void sim_offline(struct sim *s, struct agent *a);
/* Ends the run; @fatal NULL: as planned. */
void sim_end(struct sim *s, const char *fatal);
/* sim_report.c */
void sim_progress(struct sim *s);
void sim_report(struct sim *s);

#endif
