/* control/runs.h - runs: what scripts report, who may look and touch, and the agents that start them again or stop them.
 *
 * The rules of control.h hold; fleet/run.h decides. Three kinds of caller: a person (session, the local socket, development), a
 * script by a reporter's or viewer's token (PRINCIPAL_KEY), an agent by its own token (struct run_agent_ref). A run that the caller
 * may not see is not there (-ENOENT run.unknown); one that may be seen and not touched is -EACCES run.denied.
 *
 * A command for an agent is an ordinary job of the fleet (kind rerun or stop, subject the run's id) with one task: the agent fetches
 * it, its id on the wire is made from the task's (run_command_uuid()). */
#ifndef MUSTER_CONTROL_RUNS_H
#define MUSTER_CONTROL_RUNS_H

#include "base/limits.h"
#include "control/accent.h"
#include "fleet/run.h"
#include "wire/run.h"

/* -- run_tokens.c: reporter and viewer tokens, addresses, logins */
enum { RUN_TOKENS_MAX = 50 }; /* alive, per person */
/* em_live_ or em_view_ as credentials of runs: 0 and the principal (PRINCIPAL_KEY; its user's role, at most viewer without one).
 * -EACCES auth.bad_credential (unknown, revoked), auth.expired, auth.disabled: all mean 401; -ENOENT: not one of these (an API token
 * of another kind may have the same shape), nothing was audited. */
int run_key_check(struct control *c, struct str bearer, const struct peer_info *peer, struct principal *ret, struct err *err);
/* Reporter: may write. False for viewers' tokens only. */
bool run_may_write(struct control *c, const struct principal *p);
/* People only (-EACCES run.people_only for every token). -EBUSY token.too_many; -EINVAL field.*. @scope "reporter" or "viewer". */
int run_token_create(struct control *c, const struct principal *p, struct str name, struct str scope, usec_t expires_at,
                     char ret_text[SECRET_TEXT_MAX], const struct credential **ret, struct err *err);
/* Own ones (admins: anybody's); -ENOENT run_token.unknown. Agents registered with it lose theirs too when @with_agents. */
int run_token_revoke(struct control *c, const struct principal *p, uint64_t id, bool with_agents, bool *ret_was_revoked,
                     struct err *err);
int run_token_list(struct control *c, const struct principal *p, struct str scope, bool with_revoked,
                   void (*fn)(void *ctx, const struct credential *cr), void *ctx, struct err *err);
/* Five wrong passwords lock a name for ten minutes. -EBUSY auth.locked and how long. */
int run_login_allowed(struct control *c, struct str who, usec_t *ret_wait, struct err *err);
void run_login_told(struct control *c, struct str who, bool is_good);
/* Somebody without a credential makes himself a user, a viewer, where @is_open: 0 and @done as of user_create(), or without it -EACCES
 * auth.closed, -EINVAL user.bad_name (an @ in it), -EBUSY rate.limited (as logins of one address) and how long. */
int run_sign_up(struct control *c, bool is_open, struct str name, struct str password, const char *peer, verb_fn done, void *ctx,
                usec_t *ret_wait, struct err *err);
/* The user's name for a name or a verified address (two users': see user_name_wins()), copied; what is neither is copied as it is (and
 * will not log in). */
void run_person_name(struct control *c, struct str who, char ret[LIMIT_NAME + 1]);
/* A user's address, set by an admin; empty removes it. -ENOENT user.unknown, -EINVAL field.invalid, -EEXIST email.taken:
 * another has it, or is called so. */
int person_email_set(struct control *c, const struct principal *p, struct str user, struct str email, struct err *err);
struct str person_email_of(struct control *c, uint64_t user_id); /* lent; empty: none */

/* -- run_agents.c */
struct run_agent_ref { /* a proven agent: valid until control is entered again by somebody else */
    uint64_t id, host_id, owner_id;
    char agent_id[64];
};
/* Its own token and its own id: -EACCES auth.* (401), run_agent.denied (another agent's: 403). Counts as a sign of life. */
int run_agent_check(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent_ref *ret,
                    struct err *err);
/* The same, of a request that was heard before and is answered now: no sign of life, its agent may be frozen since. */
int run_agent_still_holds(struct control *c, struct str agent_id, struct str bearer, const char *peer, struct run_agent_ref *ret,
                          struct err *err);
struct run_registration {
    struct str hostname, version;
    struct str_list capabilities;
    const char *peer;
    usec_t life; /* of the token it gets; 0: until it is revoked */
    const struct told_section *told; /* what it says of its machine, as sections */
    size_t n_told;
};
struct run_registered {
    char agent_id[64], token[SECRET_TEXT_MAX], label[RUN_LABEL_MAX + 1];
};
/* One agent for (owner, host name, label): the same id again, a new token, the old one dead. -EACCES run.read_only, host.revoked. */
int run_agent_register(struct control *c, const struct principal *p, const struct run_registration *rq, struct run_registered *ret,
                       struct err *err);
struct run_agent_view {
    uint64_t id;
    const struct run_agent_row *row;
    struct str owner;
    enum run_agent_badge badge;
    bool is_revoked, may_change;
    uint32_t n_running;
};
void run_agent_list(struct control *c, const struct principal *p, void (*fn)(void *ctx, const struct run_agent_view *a), void *ctx);
int run_agent_get(struct control *c, const struct principal *p, struct str agent_id, struct run_agent_view *ret, struct err *err);
/* Owner or admin; the host row shares the fate: revoked, forgotten. A host that was linked is not its owner's: it keeps its other names,
 * and only an admin's revoke reaches it. */
int run_agent_revoke(struct control *c, const struct principal *p, struct str agent_id, struct err *err);
int run_agent_delete(struct control *c, const struct principal *p, struct str agent_id, struct err *err);
/* Admins only. */
int run_agent_share(struct control *c, const struct principal *p, struct str agent_id, bool is_shared, struct err *err);

/* -- run_commands.c: what agents fetch */
struct run_order { /* lent */
    const char *uuid;
    const struct run_command_row *row;
    const struct run_row *run;
    const struct run_snapshot_row *snapshot; /* NULL: none */
    struct str command;                      /* of a rerun */
    int64_t pid;                             /* of a stop: what was started; 0: not known */
};
/* Everything that waits for this agent, oldest first. Nothing is consumed. */
void run_poll(struct control *c, const struct run_agent_ref *a, void (*fn)(void *ctx, const struct run_order *o), void *ctx);
/* Calls @wake once, from no verb: when there is something to fetch, after @wait, or when the server stops. One waits per agent: the next
 * one wakes the one before. */
void run_poll_wait(struct control *c, const struct run_agent_ref *a, usec_t wait, void (*wake)(void *ctx), void *ctx);
/* -ENOENT run_command.unknown; -EEXIST run_command.state (not pending any more). @error may be empty. */
int run_ack(struct control *c, const struct run_agent_ref *a, struct str uuid, bool is_started, int64_t pid, struct str error,
            struct err *err);
struct run_exit {
    bool has_code;
    int32_t code, signal;
    double runtime_s;
    struct str log_tail;
};
/* Its process is gone. A repeat changes nothing. -ENOENT, -EEXIST as above. */
int run_exited(struct control *c, const struct run_agent_ref *a, struct str uuid, const struct run_exit *e, struct err *err);

/* -- run_actions.c */
struct run_view { /* lent */
    uint64_t id;
    const struct run_row *row;
    const struct run_snapshot_row *snapshot; /* NULL: none. Its env is not for showing. */
    struct str owner;
    enum run_right right;
    bool has_agents, is_agent_online; /* an agent is registered that would serve it; one of them is online */
    bool is_rerun_allowed;
};
struct run_rerun {
    struct str name, overrides; /* overrides: a JSON object as text; empty: none */
    bool require_agent;
};
/* *@ret is the child. A repeat (run_is_repeat()) gives the same one. -EEXIST run.state, run.no_command, run.no_agent;
 * -EBUSY run.too_many. */
int run_rerun(struct control *c, const struct principal *p, struct str batch_id, const struct run_rerun *w, struct run_view *ret,
              struct err *err);
/* A stop of what is stopping or over changes nothing. */
int run_stop(struct control *c, const struct principal *p, struct str batch_id, struct run_view *ret, struct err *err);

/* -- run_events.c */
struct run_event {
    enum run_event_type type;
    struct str event_id, batch_id, item_id; /* event_id: a UUID */
    usec_t at;
    struct str project, host, os_user, commit, command;
    /* of data, where it has them */
    struct str name, experiment_type, data_command, cwd, status, model, dataset, reason, line, level;
    bool has_total, has_elapsed;
    uint32_t n_total;
    double elapsed_s;
    struct str metrics; /* JSON or empty */
    struct kv_list env; /* snapshots */
    struct str meta;    /* snapshots: the known keys as a JSON object */
    struct str data;    /* JSON as it is kept for reading; no environment in it */
};
/* @done once, after the event is durable: 0, its number, and whether it was known already; or -errno: -EACCES run.read_only,
 * -EBUSY rate.limited (only from run_ingest_admit()), run.too_many, -EINVAL field.*, -EMSGSIZE run.too_large. In order. */
typedef void (*run_ingest_fn)(void *ctx, int result, const struct err *err, uint64_t number, bool is_repeat);
void run_ingest(struct control *c, const struct principal *p, const struct run_event *e, run_ingest_fn done, void *ctx);
/* One request's worth of the token's rate (10/s, burst 60): 0, or -EBUSY and when to try again. -EACCES run.reporter_only: not a
 * reporter's token. */
int run_ingest_admit(struct control *c, const struct principal *p, usec_t *ret_wait, struct err *err);

/* -- run_reads.c */
struct run_filter {
    struct str user, project, scope; /* scope: mine, shared, all (or empty), public */
    uint32_t state;                  /* 0: any */
    usec_t since;
    uint32_t limit;
};
/* Newest first, what @p may see. */
void run_list(struct control *c, const struct principal *p, const struct run_filter *f,
              void (*fn)(void *ctx, const struct run_view *v), void *ctx);
int run_get(struct control *c, const struct principal *p, struct str batch_id, struct run_view *ret, struct err *err);
void run_items(struct control *c, uint64_t run_id, void (*fn)(void *ctx, const struct run_item_row *i), void *ctx);
void run_orders(struct control *c, uint64_t run_id, void (*fn)(void *ctx, const char *uuid, const struct run_command_row *cmd),
                void *ctx);
/* From the store: ascending behind @after. */
void run_read_logs(struct control *c, uint64_t run_id, uint64_t after, uint32_t limit,
                   void (*row)(void *ctx, uint64_t id, const struct run_log_row *l), void (*done)(void *ctx, int result),
                   void *ctx);

/* -- run_access.c: shares and recipients. Owner or admin of the run or project; -ENOENT user.unknown, share.unknown,
 * recipient.unknown, project.unknown; -EBUSY run.too_many. */
int run_share_run(struct control *c, const struct principal *p, struct str batch_id, struct str grantee, enum run_share permission,
                  struct err *err);
int run_share_project(struct control *c, const struct principal *p, struct str project, struct str grantee,
                      enum run_share permission, struct err *err);
int run_unshare_run(struct control *c, const struct principal *p, struct str batch_id, struct str grantee, struct err *err);
int run_unshare_project(struct control *c, const struct principal *p, struct str project, struct str grantee, struct err *err);
/* @batch_id empty: project shares of the caller. */
int run_share_list(struct control *c, const struct principal *p, struct str batch_id,
                   void (*fn)(void *ctx, uint64_t id, const struct run_share_row *s, struct str grantee), void *ctx,
                   struct err *err);
int run_recipient_add(struct control *c, const struct principal *p, struct str project, struct str email,
                      const struct str_list *kinds, bool enabled, uint64_t *ret_id, struct err *err);
struct run_recipient_change {
    bool has_kinds, has_enabled, enabled;
    struct str_list kinds;
};
int run_recipient_change(struct control *c, const struct principal *p, struct str project, uint64_t id,
                         const struct run_recipient_change *ch, struct err *err);
int run_recipient_remove(struct control *c, const struct principal *p, struct str project, uint64_t id, struct err *err);
/* @id 0: all. */
int run_recipient_list(struct control *c, const struct principal *p, struct str project, uint64_t id,
                       void (*fn)(void *ctx, uint64_t id, const struct run_recipient_row *r), void *ctx, struct err *err);
/* "alice"; "local" for the local admin; "(gone)". Lent. */
struct str run_person(struct control *c, uint64_t user_id);

#endif
