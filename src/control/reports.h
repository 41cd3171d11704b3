/* control/reports.h - hosts that report by themselves: reporters, their policies, the keys they come in with, what they report.
 *
 * The rules of control.h hold. A reporter is an ordinary host (control/accent.h, dialect "grapheon") with a row beside it: what
 * operators decide about the host is decided about the reporter and the other way round. Views are lent until control is entered
 * again. */
#ifndef MUSTER_CONTROL_REPORTS_H
#define MUSTER_CONTROL_REPORTS_H

#include "control/accent.h"
#include "fleet/report.h"
#include "wire/report.h"

enum { REPORT_POLICIES_MAX = 1000, ENROLL_KEYS_MAX = 10000 };

/* -- report_policies.c. -ENOENT report_policy.unknown, -EEXIST name.taken, -ENOBUFS report_policy.full. */
const struct report_policy *report_policy_by_id(struct control *c, uint64_t id);
int report_policy_create(struct control *c, const struct principal *p, const struct report_policy_wish *w,
                         const struct report_policy **ret, struct err *err);
int report_policy_change(struct control *c, const struct principal *p, uint64_t id, const struct report_policy_wish *w,
                         const struct report_policy **ret, struct err *err);
/* By name. @is_active: -1 all, 0, 1. */
void report_policy_list(struct control *c, int is_active, void (*fn)(void *ctx, const struct report_policy *p), void *ctx);
/* Reporters that have it. */
uint64_t report_policy_count(struct control *c, uint64_t id);

/* -- enroll_keys.c. -ENOENT enroll_key.unknown, report_policy.unknown, -EEXIST name.taken. */
const struct enroll_key *enroll_key_by_id(struct control *c, uint64_t id);
int enroll_key_create(struct control *c, const struct principal *p, const struct enroll_key_wish *w, char ret_text[SECRET_TEXT_MAX],
                      const struct enroll_key **ret, struct err *err);
int enroll_key_change(struct control *c, const struct principal *p, uint64_t id, const struct enroll_key_wish *w,
                      const struct enroll_key **ret, struct err *err);
void enroll_key_list(struct control *c, int is_active, void (*fn)(void *ctx, const struct enroll_key *k), void *ctx);

/* -- reports.c: who is there */
struct reporter_view {
    const struct reporter_row *row;
    const struct reporter_state *state;
    enum host_state host_state;
    uint64_t host_id;
    const struct report_policy *policy; /* NULL: none */
    const struct enroll_key *key;
    struct str_list ips, macs;          /* present addresses, sorted */
    struct str host_name;
    bool has_key;                       /* one that is good: row->key_hint may be of one that is dead */
};
/* 0 or -ENOENT reporter.unknown. */
int reporter_find(struct control *c, uint64_t id, struct reporter_view *ret, struct err *err);
/* Check-ins, newest first; and how many. @done as in control/reads.h. */
void reporter_read_checkins(struct control *c, uint64_t id, uint32_t skip, uint32_t limit, store_count_fn count, store_trail_fn row,
                            store_done_fn done, void *ctx);

/* -- report_health.c: which of them, and how they fare */
struct reporter_filter {
    enum host_state state; /* 0: all */
    int is_active;         /* -1: all, 0, 1 */
    bool is_overdue;       /* only those */
    bool is_failing;       /* only those let in whose collecting fails */
};
/* Last seen first, never seen last, then the newest first. Returns how many there are; @fn sees those from @skip on, at most @limit. */
uint64_t reporter_list(struct control *c, const struct reporter_filter *which, uint64_t skip, uint64_t limit,
                       void (*fn)(void *ctx, const struct reporter_view *v), void *ctx);

struct reporter_tally {
    uint64_t n, by_state[HOST_REVOKED + 1], n_overdue, n_failing;
};
void reporter_tally(struct control *c, struct reporter_tally *ret);

/* Why a reporter was turned away last: a register or a check-in, by what names it (its API key; its uuid with a known enrolment key).
 * One of each reporter, in memory only: somebody who is refused again and again shall not make the server write, and after a restart
 * the next refusal is at most a timer away. The audit log has what was before. */
struct report_last_refusal {
    usec_t at;
    char code[48], text[160], peer[64];
};
struct reporter_health {
    bool is_overdue;
    usec_t due_at;                           /* 0: no report is expected */
    bool is_other_version;                   /* than its policy wants */
    enum section_status collectors[REPORT_SECTIONS]; /* as told last; 0: nothing told yet */
    bool is_missing_collector;               /* one that its policy names, told last */
    const struct report_last_refusal *refusal; /* lent; NULL: none since the start */
};
void reporter_judge(struct control *c, const struct reporter_view *v, struct reporter_health *ret);

/* -- report_agents.c: what operators do. 0 and *@ret; -ENOENT reporter.unknown, report_policy.unknown, enroll_key.unknown; -EEXIST
 * reporter.exists; -EINVAL field.invalid. */
int reporter_create(struct control *c, const struct principal *p, const struct reporter_wish *w, uint64_t *ret_id, struct err *err);
int reporter_change(struct control *c, const struct principal *p, uint64_t id, const struct reporter_wish *w, struct err *err);
/* Any state but active becomes active; a key it had stays dead: it fetches a new one by registering. @policy_id 0: as it is. Who may
 * approve (reject) hosts may do so to one that waits; all else takes VERB_FOREIGN_AGENT. */
int reporter_approve(struct control *c, const struct principal *p, uint64_t id, uint64_t policy_id, struct str display_name,
                     struct err *err);
int reporter_reject(struct control *c, const struct principal *p, uint64_t id, struct str reason, struct err *err);
int reporter_revoke(struct control *c, const struct principal *p, uint64_t id, struct str reason, struct err *err);
/* A new key; the old one is unknown at once. @seen_key: the credential_id the caller was shown, or NULL. -EBUSY reporter.inactive (switched
 * off, or not let in), reporter.key_changed (it is not @seen_key any more). */
int reporter_rotate(struct control *c, const struct principal *p, uint64_t id, const uint64_t *seen_key, struct str reason,
                    char ret_text[SECRET_TEXT_MAX], struct err *err);
/* As host_forget(); a host that was linked to others stays, without this name. */
int reporter_forget(struct control *c, const struct principal *p, uint64_t id, struct err *err);

/* The key behind the certificate that a caller's TLS connection came with; all-zero: none. */
struct client_key {
    bool is_shown;
    uint8_t spki_sha256[SHA256_LEN];
};

/* -- report_register.c */
struct register_ask {
    struct str enroll_key, uuid, display_name, hostname, site_name, version, platform, release;
    struct str claim_sha256, claim;
    struct json_text metadata;     /* an object or empty */
    const struct str *ips, *macs;  /* canonical, sorted, distinct */
    size_t n_ips, n_macs;
    uint64_t n_addresses;
    struct client_key client;
    const char *peer;
};
struct register_answer {
    uint64_t reporter_id;
    bool is_active, is_reissue;
    char api_key[SECRET_TEXT_MAX]; /* "": none */
    usec_t retry_after;
};
/* 0 and *@ret (park the reply); -EACCES auth.bad_credential, enroll_key.expired, enroll_key.used_up, host.rejected, host.revoked,
 * claim.bad, client_cert.required, client_cert.other; -EEXIST enroll_key.other; -EBUSY enroll.rate_limited (retry_after set), enroll.full. */
int report_register(struct control *c, const struct register_ask *ask, struct register_answer *ret, struct err *err);

/* -- report_checkin.c */
struct report_pass {
    uint64_t reporter_id, credential_id;
    uint32_t max_report_bytes;
    struct client_key client;
};
/* Whose key is @text, and may it be used over @client: 0 and *@ret; -EACCES auth.bad_credential (401), host.pending, host.rejected,
 * host.revoked, client_cert.required, client_cert.other (403). */
int report_authenticate(struct control *c, struct str text, const struct client_key *client, const char *peer, struct report_pass *ret,
                        struct err *err);
/* One audit row for a report that was refused for what it is (rate limited per address). Returns err->code. */
int report_refused(struct control *c, const struct report_pass *pass, const char *peer, const struct err *err);

struct report_answer {
    uint64_t reporter_id, checkin_id;
    usec_t received_at;
    const struct report_checkin *checkin;
    bool is_resync, is_repeat;
};
/* @result 0 and @a (lent inside the callback); or -errno and @err: as report_authenticate(), -EEXIST report.uuid. */
typedef void (*report_fn)(void *ctx, int result, const struct err *err, const struct report_answer *a);
/* Takes @r in, after those of the same reporter handed in earlier. @r stays valid and unchanged by others until @done (which may run
 * in here). Park the reply. */
void report_checkin(struct control *c, const struct report_pass *pass, struct report *r, const char *peer, report_fn done, void *ctx);
/* Secret of the marks in a struct report: 16 bytes, constant for the life of the process. */
const uint8_t *report_mark_key(void);

#endif
