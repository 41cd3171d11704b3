/* control/report_priv.h - what the files of reporters share (private to control/). Loop thread. */
#ifndef MUSTER_CONTROL_REPORT_PRIV_H
#define MUSTER_CONTROL_REPORT_PRIV_H

#include "control/core.h"
#include "control/noun.h"
#include "control/reports.h"

#define REPORT_DIALECT "grapheon"

/* A present address of a reporter. */
struct report_address {
    uint64_t mark;
    char *text; /* "MAC KEY", as stored */
};
/* A check-in that waits for its reporter's sets to be read. */
struct report_waiting {
    struct report_pass pass;
    struct report *r;
    char peer[64];
    report_fn done;
    void *ctx;
    struct report_waiting *prev, *next;
};
struct reporter {
    struct reporter_row row;       /* texts are owned, each by itself */
    struct reporter_state state;   /* lists and texts point into the arrays below */
    char epoch[65], peer[64], before_peer[64], key_hint[SECRET_HINT_MAX];
    void *ips_block, *macs_block;  /* of state.last.summary */
    struct report_digest digests[REPORT_SECTIONS];
    VEC(struct report_address) addresses;
    /* What is recorded, by mark of key: read from the store at the first check-in after a start. */
    struct mark_set rows[REPORT_SECTIONS], ips;
    uint64_t bytes[REPORT_SECTIONS]; /* about what the section's rows take */
    bool is_cut[REPORT_SECTIONS];    /* rows were given up: what is shown is not all that was told */
    bool is_loaded, is_loading;
    struct report_waiting *waiting;
    struct report_last_refusal *refusal; /* NULL: none since the start */
    UT_hash_handle hh, hh_host;
};
struct policy_entry {
    struct report_policy p;
    uint64_t n_reporters;
    UT_hash_handle hh;
};
struct key_entry {
    struct enroll_key k;
    UT_hash_handle hh, hh_credential;
};
struct report_book {
    struct reporter *by_id, *by_host;
    struct policy_entry *policies;
    struct key_entry *keys, *keys_by_credential;
};
static inline struct report_book *report__book(const struct control *c)
{
    return c->noun[NOUN_REPORTS];
}

/* -- text that is owned */
void report__set(struct str *dst, struct str value);
void report__set_list(struct str_list *dst, const struct str *v, size_t n); /* one block at dst->v */
/* At most @max_chars characters. */
bool report__fits(struct str s, size_t max_chars);

/* The key was there, with a value or null: a wish with null clears. */
static inline bool report__given(const struct record *rec, const void *wish, const char *field)
{
    return field_is_present(rec, wish, field) || field_is_null(rec, wish, field);
}

/* -- reports.c */
struct reporter *reporter__by_id(const struct control *c, uint64_t id);
struct reporter *reporter__by_host(const struct control *c, uint64_t host_id);
struct reporter *reporter__new(struct control *c, uint64_t host_id, struct str uuid);
void reporter__put(struct control *c, struct reporter *r);
void reporter__put_state(struct control *c, struct reporter *r);
void reporter__set_policy(struct control *c, struct reporter *r, uint64_t policy_id);
enum host_state reporter__host_state(const struct control *c, const struct reporter *r);
/* The key it has, not revoked; NULL: none. */
const struct credential *reporter__key(struct control *c, const struct reporter *r);
/* Makes a key instead of the one it has, which is unknown from now on. 0 or -ENOBUFS credential.full. */
int reporter__new_key(struct control *c, struct reporter *r, const char *by, char ret_text[SECRET_TEXT_MAX], struct err *err);
/* Tells the host what is known of it now: claims and interval. */
void reporter__tell_host(struct control *c, struct reporter *r, const char *peer, const char *approved_by);
/* Out of the book with its name and key; the host stays. */
void reporter__part(struct control *c, struct reporter *r);
usec_t reporter__every(const struct control *c, const struct reporter *r);
void reporter__view(struct control *c, struct reporter *r, struct reporter_view *ret);
/* report_health.c: it was refused, and why. NULL @r is a no-op. */
void reporter__refused(struct control *c, struct reporter *r, const char *peer, const struct err *err);
/* The inventory section of its host that @s becomes. */
struct str reporter__section(const struct control *c, const struct reporter *r, enum report_section s);
/* Reads its sets; report_checkin.c is called back. */
void reporter__load_sets(struct control *c, struct reporter *r);
void reporter__loaded(struct control *c, struct reporter *r);
void reporter__waiting_end(struct reporter *r, int result, const struct err *err);

/* -- report_certs.c */
/* Does @r (NULL: a newcomer) come over the key it must? @key: the enrolment key it came in with, NULL: gone. 0, CERT_BIND, or -EACCES
 * client_cert.required, client_cert.other. */
int reporter__judge_cert(struct control *c, const struct reporter *r, const struct enroll_key *key, const struct client_key *shown,
                         bool may_bind, struct err *err);
/* From now on @r must come over @shown; audited. The caller stores it. */
void reporter__bind_cert(struct control *c, struct reporter *r, const struct client_key *shown, const char *peer);

/* -- report_policies.c, enroll_keys.c */
/* May @p, and may anybody now? 0; -EACCES, -EAGAIN. */
int report__begin(struct control *c, const struct principal *p, enum verb v, struct str target, struct err *err);
/* Name and description of a wish, in characters: 0 or -EINVAL field.too_long. */
int report__check_texts(const struct record *rec, const void *wish, struct str name, struct str description, struct err *err);
int policy__load(struct control *c, struct err *err);
void policy__free_all(struct control *c);
struct policy_entry *policy__by_id(const struct control *c, uint64_t id);
int enroll_key__load(struct control *c, struct err *err);
void enroll_key__free_all(struct control *c);
struct key_entry *enroll_key__by_id(const struct control *c, uint64_t id);
struct key_entry *enroll_key__by_credential(const struct control *c, uint64_t credential_id);
void enroll_key__put(struct control *c, const struct key_entry *k);

#endif
