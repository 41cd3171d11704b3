/* control/verbs.h - every verb of control, grouped by the file that has it. See control.h for the rules. */
#ifndef MUSTER_CONTROL_VERBS_H
#define MUSTER_CONTROL_VERBS_H

#include "control/control.h"
#include "fleet/role_health.h"
#include "fleet/select.h"

/* A host as known now. Lent: valid until control is entered again. */
struct host_view {
    struct host_id id;
    const char *uuid;
    struct str name, dialect;
    enum host_state state;
    enum presence presence;
    const char *status;                 /* ready busy stale disconnected */
    struct host_claims claims;
    const struct kv_list *labels;       /* operator's */
    struct str fingerprint;             /* "sha256:hex" */
    struct str clone_note, peer;        /* peer: address it last spoke from */
    struct str decided_by, decided_why; /* of the newest approve, reject or revoke */
    usec_t created_at, decided_at, last_seen, connected_at, last_beat, cert_not_after, pending_expires_at;
    bool has_beat;
    struct heartbeat beat;
    struct str roles;                   /* fleet/role_health.h: as its own agent last said; empty: it did not */
    uint32_t active_tasks;
    struct link_id link;                /* 0: none */
};

/* -- authn.c: credential -> principal */
struct peer_info {
    const char *addr;                   /* numeric, or "unix" */
    bool is_unix, is_loopback_dev;      /* dev rule already checked by api (Host, Origin) */
    uint32_t uid;
};
/* Bearer text, or {NULL,0} when none was sent. 0 and *@ret; -EACCES with auth.required, auth.bad_credential, auth.expired,
 * auth.disabled. Refusals are audited: one row a second per address, what has none is counted in the next (refusals.c). */
int authn_operator(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret, struct err *err);
/* Does @p, proven earlier, still hold? False once its token was revoked or ran out, or its user was disabled or lost the role: for
 * streams that outlive the request that opened them. */
bool authn_still_holds(struct control *c, const struct principal *p);
/* The longest @ttl of a login. Whoever needs more makes a token, which is listed as what it is and has a role of its own. */
#define LOGIN_TTL_MAX (30 * USEC_PER_DAY)
/* Password login: answers through @done (later, after hashing off the loop): 0 and an API token's text, or -EACCES. @ttl 0: 12 hours. */
struct login_result {
    int result;
    struct err err;
    const char *token; /* lent */
    uint64_t token_id;
    const char *user;
    enum role_level role;
    usec_t expires_at;
};
typedef void (*login_fn)(void *ctx, const struct login_result *r);
void authn_login(struct control *c, struct str user, struct str password, struct str token_name, usec_t ttl,
                 const struct peer_info *peer, login_fn done, void *ctx);
/* Does @p's role allow @v? 0; or -EACCES (auth.denied; @err says whom and which role it takes) or -EBUSY (rate.limited) and an audit
 * row with @target, rationed per principal. Used by every verb, and by api for reads. */
int authz(struct control *c, const struct principal *p, enum verb v, struct str target, struct err *err);
/* -- refusals.c: what api refuses by itself. Both return err->code. */
/* A caller nobody is known of (another site's page, plain HTTP): a row, rationed with those of authn_operator(). */
int authn_refused(struct control *c, const char *peer, const struct err *err);
/* A refusal that has its row or was counted is answered 429, for @peer was refused too often: told with its next row. */
void authn_limited(struct control *c, const char *peer);
/* @p may not do @v for another reason than its role: a row, rationed with those of authz(). */
int authz_refused(struct control *c, const struct principal *p, const char *peer, enum verb v, struct str target,
                  const struct err *err);

/* -- enroll.c */
struct enroll_request {
    struct str csr_pem, token_code;
    struct host_claims claims;
    const char *peer_addr;
};
struct enroll_answer {
    enum host_state state;
    char host_uuid[37];
    const char *certificate_pem, *ca_pem; /* lent; only when approved */
    usec_t retry_after;
    const char *message; /* lent */
};
/* 0 and *@ret (park the reply); -EACCES token.*, -EINVAL csr.bad, -EBUSY enroll.rate_limited / enroll.full (*@ret->retry_after set). */
int enroll_ask(struct control *c, const struct enroll_request *rq, struct enroll_answer *ret, struct err *err);
int enroll_approve(struct control *c, const struct principal *p, struct str host, bool accept_labels, struct str name,
                   struct err *err);
/* @reason may be empty; audited, and told to the host when it asks (256 bytes of it). */
int enroll_reject(struct control *c, const struct principal *p, struct str host, struct str reason, struct err *err);
int enroll_revoke(struct control *c, const struct principal *p, struct str host, struct str reason, struct err *err);
/* Install tokens. */
struct token_wish {
    uint64_t uses;      /* 0 unlimited */
    usec_t ttl;         /* 0 never */
    struct kv_list labels;
    bool auto_approve;
    struct str note;
};
struct token_view {
    uint64_t id;
    struct install_token t;
    const struct kv_list *labels;
    struct str created_by, note;
    usec_t created_at;
};
int token_create(struct control *c, const struct principal *p, const struct token_wish *w, char ret_text[128], uint64_t *ret_id,
                 struct err *err);
int token_revoke(struct control *c, const struct principal *p, uint64_t id, struct err *err);
void token_list(struct control *c, void (*fn)(void *ctx, const struct token_view *t), void *ctx);

/* -- hosts.c */
/* By uuid or name, any state. 0; -ENOENT host.unknown. (approve and reject also: -EEXIST host.ambiguous, when a waiting host calls
 * itself what another is named.) */
int host_find(struct control *c, struct str name_or_uuid, struct host_view *ret, struct err *err);
bool host_view_of(struct control *c, struct host_id id, struct host_view *ret); /* false: there is no such host (any more) */
/* Visits in name order; @fn returns false to stop. @state 0: all. @sel NULL: all. */
void host_list(struct control *c, enum host_state state, const struct selector *sel, bool (*fn)(void *ctx, const struct host_view *h),
               void *ctx);
/* Could host @uuid have @name? 0, or host_rename()'s refusal: -EINVAL for what is no name, -EEXIST for another's. */
int host_check_name(struct control *c, struct str uuid, struct str name, struct err *err);
int host_rename(struct control *c, const struct principal *p, struct str host, struct str name, struct err *err);
/* A value {NULL,0} removes the key. */
int host_label(struct control *c, const struct principal *p, struct str host, const struct kv_list *labels, struct err *err);
int host_forget(struct control *c, const struct principal *p, struct str host, struct err *err);
struct fleet_counts {
    uint32_t total, ready, busy, stale, disconnected, pending, connected;
    uint32_t open_jobs, running_tasks, queued_tasks;
};
void fleet_count(struct control *c, struct fleet_counts *ret);
/* links.c: how often agents are asked to report now: the configured interval, stretched when there are many. */
usec_t presence_beat_every(const struct control *c);

/* -- checkin.c: a host becomes and stays known; called by the native api and the dialects */
/* From a certificate: 0 and the host's principal; -EACCES host.revoked, host.unknown, host.pending. @key: SPKI SHA-256. */
int authn_host(struct control *c, struct str uuid, const uint8_t key[SHA256_LEN], struct str cert_serial, struct principal *ret,
               struct err *err);
struct task_in_hand {
    uint64_t task_id;
    bool finished;
    uint64_t stdout_bytes, stderr_bytes;
};
struct hello {
    struct host_claims claims;
    const char *peer_addr;
    uint64_t spool_epoch;
    const struct task_in_hand *tasks;
    size_t n_tasks;
    const struct section_delta *sections; /* name and digest used */
    size_t n_sections;
    bool commands_allowed;
    enum offer ports; /* the port scan */
    usec_t agent_time;
};
/* A link says hello: it replaces an older one of the same host; welcome, resync, offers follow through link_ops once committed. */
int checkin_hello(struct control *c, const struct principal *host, struct link_id link, const struct hello *h, struct err *err);
void checkin_beat(struct control *c, struct link_id link, const struct heartbeat *b);
/* How the roles of its agent are, with each heartbeat. What does not fit into LIMIT_ROLE_HEALTH_BYTES is left out. */
void checkin_roles(struct control *c, struct link_id link, const struct role_health *v, size_t n);
/* Any byte from the link: it is alive. Cheap. */
void checkin_alive(struct control *c, struct link_id link);
/* A numbered message: true if it is new (the caller then hands its content in, in the same turn), false for a repeat. Acks go out by
 * themselves after commit either way. */
bool checkin_seq(struct control *c, struct link_id link, uint64_t seq);
/* Rows' json: the caller has checked that each is one JSON object. Unknown sections are left out. @deltas' rows may be sorted. */
void checkin_inventory(struct control *c, struct link_id link, const struct section_delta *deltas, size_t n);
void checkin_agent_event(struct control *c, struct link_id link, struct str slug, struct str message, usec_t at);
/* A renewal over the live link: answered by link_ops->renewed. */
void checkin_renew(struct control *c, struct link_id link, struct str csr_pem);
/* The agent takes leave: when the link is gone its host is lost at once, without the time a broken link has to come back. */
void checkin_leave(struct control *c, struct link_id link);
/* The link is gone (closed by either side): @code is the slug of why, @reason its sentence. */
void checkin_gone(struct control *c, struct link_id link, const char *code, const char *reason);

/* -- jobs.c, command.c, output.c */
struct job_wish {
    enum job_kind kind; /* others than command: @subject says what it is about; no shell, no open input; fetched by the host (accent.h) */
    struct str subject;
    bool all;
    struct str_list hosts;
    struct str selector;
    struct str_list argv;
    struct str shell, user, cwd;
    struct kv_list env;
    usec_t timeout, deadline, grace; /* 0: defaults */
    uint32_t max_parallel;
    struct bytes stdin_data;
    bool stdin_open;
    uint64_t output_cap_bytes;
    struct str idem_key;
};
/* @done runs when the answer is known (idempotency may need a read) and its unit committed: 0 and the job (is_repeat: an earlier one
 * with the same key), or -errno and @err. */
typedef void (*job_fn)(void *ctx, int result, const struct err *err, const struct job_row *job, bool is_repeat);
void job_create(struct control *c, const struct principal *p, const struct job_wish *w, job_fn done, void *ctx);
void job_cancel(struct control *c, const struct principal *p, uint64_t job_id, usec_t grace, job_fn done, void *ctx);
/* Input for all hosts of a job with stdin_open; delivered at once, not stored; the last MiB is kept for hosts that start later or come
 * back. After a server restart the first @offset is believed (the agent checks it). 0; or -ENOENT job.unknown, -EINVAL job.finished,
 * job.not_open, request.too_large (1 MiB a call), -EBUSY job.input_offset (@offset is not the next byte), job.input_full (try again). */
int job_input(struct control *c, const struct principal *p, uint64_t job_id, uint64_t offset, struct str data, bool eof,
              struct err *err);
/* Agent side of tasks. */
void task_accepted(struct control *c, struct link_id link, uint64_t task_id);
void task_started(struct control *c, struct link_id link, uint64_t task_id);
void task_output(struct control *c, struct link_id link, const struct output_frame *f);
void task_finished(struct control *c, struct link_id link, const struct task_end *e);

/* -- inventory.c */
/* A live question to the agent (section connections). @done with a delta lent, or -errno (host.offline, timed out after 10 s). */
typedef void (*inventory_fn)(void *ctx, int result, const struct err *err, const struct section_delta *d);
void inventory_ask(struct control *c, const struct principal *p, struct str host, struct str section, inventory_fn done, void *ctx);
void inventory_answer(struct control *c, struct link_id link, uint64_t request_id, const struct section_delta *d);

/* The store's word (its drift callback) that a folded section does not have its digest: asks the host for it in full. */
void inventory_drift(struct control *c, uint64_t host_id, struct str section);

/* -- users.c */
typedef void (*verb_fn)(void *ctx, int result, const struct err *err);
void user_create(struct control *c, const struct principal *p, struct str name, enum role_level role, struct str password,
                 verb_fn done, void *ctx);
struct user_change {
    bool has_role, has_disabled, has_password;
    enum role_level role;
    bool disabled;
    struct str password, old_password;
};
void user_change(struct control *c, const struct principal *p, struct str name, const struct user_change *ch, verb_fn done,
                 void *ctx);
void user_list(struct control *c, void (*fn)(void *ctx, const struct user_row *u), void *ctx); /* password_hash empty */
int user_find(struct control *c, struct str name, struct user_row *ret);
/* @role ROLE_NONE: as much as @user has, and no more than @p; more than either is -EACCES auth.denied. */
int api_token_create(struct control *c, const struct principal *p, struct str name, enum role_level role, usec_t ttl,
                     struct str user, char ret_text[36], struct api_token_row *ret, struct err *err);
int api_token_revoke(struct control *c, const struct principal *p, uint64_t id, struct api_token_row *ret, struct err *err);
void api_token_list(struct control *c, const struct principal *p, bool all,
                    void (*fn)(void *ctx, const struct api_token_row *t, struct str user), void *ctx);

/* -- topics.c: subscribers. Delivered only after commit. A subscriber is called on the loop; it must not re-enter control with a
 * mutation from inside. */
struct sub_event {
    enum { SUB_EVENT, SUB_AUDIT, SUB_TASK, SUB_OUTPUT, SUB_JOB_END } kind;
    const struct event *event;
    const struct audit_row *audit;
    const struct task_row *task;
    const struct output_frame *output;
    struct str host_name, host_uuid;
    const struct job_row *job;
};
typedef void (*sub_fn)(void *ctx, const struct sub_event *e);
/* Topics: all events; all audit rows; one job (task changes, output, end). Returns a subscription id. */
/* topic_job: 0 when the job is not open (any more): nothing will come, read the store. After SUB_JOB_END the subscription is gone. */
uint64_t topic_events(struct control *c, sub_fn fn, void *ctx);
uint64_t topic_audit(struct control *c, sub_fn fn, void *ctx);
uint64_t topic_job(struct control *c, uint64_t job_id, sub_fn fn, void *ctx);
void topic_leave(struct control *c, uint64_t sub);
/* Records and publishes; @h and @details may be NULL. Details are pairs of text (shown as an object of strings); values that are
 * not UTF-8 are mended. */
void event_emit(struct control *c, const char *type, const struct host_view *h, const struct kv_list *details);
/* One audit row. outcome "ok", "denied", "failed". @peer, @slug, @details may be NULL. */
void audit_emit(struct control *c, const struct principal *p, const char *peer, enum verb v, struct str target,
                const char *outcome, const char *slug, const struct kv_list *details);
/* The numbers given out last; 0: none. */
uint64_t event_last_id(const struct control *c);
uint64_t audit_last_id(const struct control *c);

/* True when mutations must be refused now: fills @err with store.unavailable or server.stopping. */
bool control_refuses_writes(struct control *c, struct err *err);

/* -- counters for /metrics */
struct control_stats {
    uint64_t commands_total, commands_ok, commands_failed, reconnects, enroll_requests, enroll_refused, inventory_deltas,
        inventory_resyncs, heartbeats, output_bytes, events, audit_rows, logins_failed;
    double command_seconds_sum;
    uint64_t latency_count, latency_bucket[10]; /* le 0.01 0.05 0.1 0.5 1 5 10 30 60 +Inf, cumulative */
    double latency_sum;
};
const struct control_stats *control_stats(const struct control *c);

#endif
