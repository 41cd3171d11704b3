/* control/accent.h - hosts that speak a foreign accent: how they become and stay known, hold secrets and fetch work.
 *
 * The rules of control.h hold. A dialect turns its wire into these calls and decides nothing. A host is never found by its name or
 * address, only by (dialect, external id); two hosts become one only by host_link(). */
#ifndef MUSTER_CONTROL_ACCENT_H
#define MUSTER_CONTROL_ACCENT_H

#include "control/verbs.h"
#include "fleet/secret.h"
#include "wire/credential.h"
#include "wire/ports.h"

/* -- accents.c: becoming known */
struct sighting {
    const char *dialect;        /* "sigma": static text */
    struct str external_id;     /* 1..128 bytes, UTF-8 */
    struct str name;            /* display name wanted; empty: the hostname */
    struct host_claims claims;
    const char *peer_addr;
    const char *approved_by;    /* not NULL: comes in approved, and by whom ("sigma key 12"); NULL: waits for an operator */
    usec_t every;               /* how often it means to come; 0: not known */
};
/* Finds the host by its alias or makes it; takes new claims and the interval. 0, *@ret_id and *@ret_is_new; -EACCES host.rejected, host.revoked
 * (a host that is there already; *@ret_id is set); -EBUSY enroll.full; -EINVAL field.invalid (the id); -EAGAIN as every mutation. A
 * pending host with approved_by becomes approved; one without waits anew. Does not count as a sign of life: see accent_seen(). */
int accent_meet(struct control *c, const struct sighting *s, uint64_t *ret_id, bool *ret_is_new, struct err *err);
/* 0; -ENOENT host.unknown. */
int accent_find(struct control *c, const char *dialect, struct str external_id, uint64_t *ret_id, struct err *err);
/* A sign of life now: presence by @every (online for 2 intervals and at least 30 s, lost after 4), the sample in @beat (may be
 * NULL) is shown, @peer remembered. -ENOENT host.unknown, -EACCES host.pending, host.rejected, host.revoked. Written lazily, like
 * the native beat: last seen is durable within a minute and at every state change. */
int accent_seen(struct control *c, uint64_t host_id, const char *peer, const struct heartbeat *beat, usec_t every, struct err *err);
/* The external id of @host_id in @dialect copied to @ret (129 bytes); false: it has none. */
bool accent_name_of(struct control *c, uint64_t host_id, const char *dialect, char ret[129]);
void accent_aliases(struct control *c, uint64_t host_id, void (*fn)(void *ctx, const struct alias *a), void *ctx);
/* -- accent_link.c */
/* An operator says two rows are one machine: @other's aliases, credentials and what the nouns have of it move to @host, @other is forgotten.
 * -EINVAL host.linked when @other has a key of its own (it would be locked out: link the other way round), host.state when @host is not
 * approved. Audited. */
int host_link(struct control *c, const struct principal *p, struct str host, struct str other, struct err *err);

/* -- accents.c: facts of hosts without a link. @is_blind: the sender keeps no digest and tells additions (and perhaps removals) only; what it says
 * is taken. Else judged as the native deltas are. DELTA_TAKE, DELTA_TAKE_SAME, DELTA_RESYNC (nothing was taken: ask for all of it),
 * or -ENOENT section.unknown, host.unknown; -EACCES as accent_seen(). A blind @d may be full (its digest is made here). */
int accent_facts(struct control *c, uint64_t host_id, const struct section_delta *d, bool is_blind, struct err *err);
/* What is recorded of a section: false when nothing is. Only the first 16 bytes of digests are in memory, the others come back as zero;
 * all 0xff: not known (after a blind delta). To compare: accent_section_is(). */
bool accent_section(struct control *c, uint64_t host_id, struct str section, enum section_status *ret_status, struct fact_digest *ret_digest);
bool accent_section_is(struct control *c, uint64_t host_id, struct str section, const struct fact_digest *digest);

/* -- tell.c: what an accent's agent says of the machine itself, as the sections our own agent would make of it */
enum { TOLD_MAX = 8 };
struct told_section {
    enum section section;  /* one that teller_rank() knows of the dialect */
    struct fact_row *rows; /* all of it; sorted in place */
    size_t n_rows;
};
/* Records @n sections, as the agent of that name tells them; of several agents of one accent the newest is heard that is not lost. True:
 * it is the newest, and need not tell the same again; else it may be heard another time. Where the host has an agent
 * of ours they are its reported_ ones; one that another accent of the host tells better is left out (fleet/teller.h). What is recorded just
 * like this is not written again. No-op for a host that accent_seen() refuses. */
bool accent_tell(struct control *c, uint64_t host_id, const char *dialect, struct str external_id, const struct told_section *t, size_t n);
/* Is anything recorded where accent_tell() would put @s? No rows are nothing. */
bool accent_is_told(struct control *c, uint64_t host_id, enum section s);

/* -- credentials.c */
struct credential_wish {
    enum secret_kind kind;
    struct str name, scope;
    uint64_t host_id, user_id, parent_id;
    bool bind_hostname;
    usec_t expires_at; /* wall; 0 never */
    struct str created_by;
};
/* Lent until control is entered again. NULL: the book is full (200000 that are alive). */
const struct credential *credential_make(struct control *c, const struct credential_wish *w, char ret_text[SECRET_TEXT_MAX]);
/* By the secret's text: 0 and *@ret (lent; not revoked, not expired); -EACCES auth.bad_credential (unknown), auth.revoked,
 * auth.expired, with *@ret set when it is known at all, else NULL. Takes note of the use (written at most once a minute) and of @peer.
 * Not audited: the accent's verb knows what it is about; see credential_refused(). */
int credential_check(struct control *c, enum secret_kind k, struct str text, const char *peer, const struct credential **ret, struct err *err);
/* One audit row for a refusal, rate limited per address as authn_operator() does. Returns err->code. */
int credential_refused(struct control *c, const char *who, const char *peer, const struct err *err);
const struct credential *credential_by_id(struct control *c, uint64_t id);
/* All of @k (0: all), in id order; @fn returns false to stop. */
void credential_list(struct control *c, enum secret_kind k, bool (*fn)(void *ctx, const struct credential *cr), void *ctx);
/* Marks it revoked (a tombstone stays: its hash is known and refused); its children too when @and_children. Unknown or revoked: no-op. */
void credential_revoke(struct control *c, uint64_t id, bool and_children);
/* Out of the book: its text is unknown from now on. */
void credential_forget(struct control *c, uint64_t id);
/* Changes what is not the secret. */
void credential_bind(struct control *c, uint64_t id, struct str hostname);
void credential_set_expiry(struct control *c, uint64_t id, usec_t expires_at);

/* -- sessions: people who logged in through an accent; the token itself is the api's (codec/jwt.h), signed with this key. */
const uint8_t *session_key(struct control *c); /* 32 bytes, kept in meta */
/* Password check as authn_login(), but makes no token: @done gets user name, role and id. */
struct session_user {
    int result;
    struct err err;
    uint64_t user_id;
    const char *user;
    enum role_level role;
    uint64_t mark; /* the session's token carries it */
    usec_t retry_after;
};
typedef void (*session_fn)(void *ctx, const struct session_user *r);
void authn_password(struct control *c, struct str user, struct str password, const struct peer_info *peer, session_fn done, void *ctx);
/* A session whose signature and expiry are good: 0 and the principal with the user's present role; -EACCES auth.disabled,
 * auth.bad_credential (the user is gone; or got a new password or another role, or was disabled, since a login was answered with @mark). */
int authn_session(struct control *c, uint64_t user_id, uint64_t mark, const struct peer_info *peer, struct principal *ret, struct err *err);
/* Ends one session of @p's, of the number its token carries, until whose end @expires_at (wall) it is remembered, over restarts too. Of more
 * than SESSIONS_ENDED_MAX at once the next ends all of its user's. */
enum { SESSIONS_ENDED_MAX = 4096 };
void session_end(struct control *c, const struct principal *p, const char *peer, uint64_t number, usec_t expires_at);
bool session_is_ended(const struct control *c, uint64_t number);
/* A principal for a credential (its scope read as a role: admin operator; viewer, readonly; else none), named @name. */
void principal_of_credential(const struct credential *cr, const char *name, struct principal *ret);

/* -- poll.c: hosts that fetch their work */
/* Visits the host's unfinished tasks, oldest first, until @fn returns false. Those queued count as offered from now on; nothing is
 * consumed: what is not acknowledged is visited again. */
struct polled_task {
    uint64_t task_id, job_id;
    enum task_state state;
    const struct job_spec *spec;
    struct str stdin_data;
    usec_t created_at;
    bool cancel_requested;
};
void poll_tasks(struct control *c, uint64_t host_id, bool (*fn)(void *ctx, const struct polled_task *t), void *ctx);
/* The agent's word on one of its own tasks, of kinds other than command (those travel down a link). 0; -ENOENT task.unknown (another host's,
 * or long over); -EINVAL job.finished (already ended). poll_output(): also -ERANGE job.input_offset (a gap before the frame: the
 * sentence says what is wanted), -EINVAL field.invalid. What poll_finished() says of bytes beyond those taken is kept as totals. */
int poll_started(struct control *c, uint64_t host_id, uint64_t task_id, struct err *err);
int poll_output(struct control *c, uint64_t host_id, const struct output_frame *f, struct err *err);
int poll_finished(struct control *c, uint64_t host_id, const struct task_end *end, struct err *err);

/* -- ports.c: ports of a host, through whatever reaches it */
typedef void (*ports_fn)(void *ctx, int result, const struct err *err, const struct ports_answer *a);
/* How a question reaches a host, best first: down the link of an agent that scans, fetched by who polled for it in the last 90 s,
 * by a puller (below). A link whose agent does not scan comes last: it refuses, in its own words. */
enum ports_way { PORTS_NO_WAY, PORTS_LINK, PORTS_POLL, PORTS_DIAL };
/* The way a question would go now; @may_dial: the caller thinks that a puller would carry it. */
enum ports_way ports_way(struct control *c, uint64_t host_id, bool may_dial);
/* Asks the host the first way that carries the question; one that is fetched waits at most 35 s. @done with the answer (a refusal
 * is result 0 with error.slug set), or -ENOTCONN host.offline, -ETIMEDOUT host.timeout, -EACCES, -ENOENT. */
void ports_ask(struct control *c, const struct principal *p, struct str host, const struct ports_wish *w, ports_fn done, void *ctx);
/* Accents: visits questions waiting for @host_id; and the answer to one (of this host, else -ENOENT). One that was visited is so again
 * after 5 s without an answer, for which a held poll is woken. */
void ports_waiting(struct control *c, uint64_t host_id, void (*fn)(void *ctx, uint64_t request_id, const struct ports_wish *w), void *ctx);
int ports_answered(struct control *c, uint64_t host_id, uint64_t request_id, const struct ports_answer *a);
/* From a native link. */
void ports_link_answer(struct control *c, struct link_id link, uint64_t request_id, const struct ports_answer *a);
/* True when something takes questions for @host_id by itself: it has polled for them in the last 90 s, or has a link and scans. */
bool ports_reachable(struct control *c, uint64_t host_id);
/* The accent polled. Then runs @wake (once) when a question comes for the host, at @until (mono), or when the host is let in no more:
 * long polls, which look again at whom they are for. Returns an id for ports_unwait(). */
uint64_t ports_wait(struct control *c, uint64_t host_id, usec_t until, void (*wake)(void *ctx), void *ctx);
void ports_unwait(struct control *c, uint64_t wait_id);
/* For accents whose server calls the agent: asked when a host known in @dialect can be asked no better way. @fn carries the question away and
 * answers by ports_answered(), then or later: true; false: it cannot (the question waits to be fetched, if anything fetches). One a
 * dialect; @fn NULL takes it back. */
typedef bool (*ports_pull_fn)(void *ctx, uint64_t host_id, uint64_t request_id, const struct ports_wish *w);
void ports_puller(struct control *c, const char *dialect, ports_pull_fn fn, void *ctx);

#endif
