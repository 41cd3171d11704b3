/* fleet/report.h - hosts that report by themselves, now and then: who may register, who gets a key, what a report means. Pure: time
 * and facts are arguments.
 *
 * A reporter is a host that comes by with what it saw (addresses, neighbours, connections, routes) and keeps its own memory of what
 * it told. Some tell additions only; those that keep a digest also tell what went. */
#ifndef MUSTER_FLEET_REPORT_H
#define MUSTER_FLEET_REPORT_H

#include "fleet/enroll.h"
#include "wire/facts.h"
#include "wire/report.h"

enum report_section { REPORT_ADDRESSES, REPORT_NEIGHBORS, REPORT_CONNECTIONS, REPORT_ROUTES, REPORT_SECTIONS };
extern const struct name report_section_names[]; /* as reported: addresses neighbors connections routes */
/* The inventory section it becomes. @is_apart: the machine's own agent tells what the plain names stand for, and what was reported stays
 * beside it: nobody's digest fits what two have written, and a reporter remembers for ever what the other says is gone. */
struct str report_section_facts(enum report_section s, bool is_apart);

/* -- registering */
enum register_verdict {
    REGISTER_OK,
    REGISTER_NO_KEY,      /* no such enrolment key, or a disabled one for a newcomer: 401 */
    REGISTER_KEY_EXPIRED, /* for a newcomer */
    REGISTER_REFUSED,     /* rejected or revoked */
    REGISTER_OTHER_KEY,   /* the uuid came in with another enrolment key */
    REGISTER_USED_UP,     /* the key has had all its registrations */
    REGISTER_CLAIM,       /* the uuid is claimed by somebody else */
};
struct register_facts {
    bool key_is_known, key_is_active;
    uint64_t key_id, n_registrations, max_registrations; /* max 0: unlimited */
    usec_t key_expires_at;                               /* 0: never */
    bool is_known;                                       /* the uuid is */
    enum host_state state;                               /* of a known one */
    uint64_t bound_key_id;                               /* 0: any key will do */
    bool has_claim, claim_is_right;                      /* bound to the uuid; sent now and equal */
};
/* An unknown key is always refused; one that expired, was disabled or used up only stops newcomers: who is known may still fetch what
 * was decided about it. */
enum register_verdict register_judge(const struct register_facts *f, usec_t now);

/* The certificate of a caller's TLS connection: the proof of a key, made before it says anything. A reporter is bound to the first
 * key shown by who nobody else can be, and from then on every call must come over it. */
enum cert_verdict {
    CERT_OK,
    CERT_BIND,    /* let in, and bound to it from now on */
    CERT_MISSING, /* one is needed and none was shown */
    CERT_OTHER,   /* bound to another */
};
struct cert_facts {
    bool is_required;       /* the enrolment key it came in with wants one */
    bool is_bound;          /* the reporter is, to a key */
    bool is_shown, is_same; /* one came; it is the bound one */
    bool may_bind;          /* its first registration, or it has its claim or its API key */
};
enum cert_verdict cert_judge(const struct cert_facts *f);

enum key_verdict { KEY_NONE, KEY_ISSUE, KEY_REISSUE };
struct key_facts {
    bool is_active;   /* the reporter, let in */
    bool has_key;     /* one that is not revoked */
    bool key_is_used; /* it was accepted once */
    usec_t issued_at;
    bool has_claim;   /* bound, and shown now */
};
enum { KEY_REISSUE_WINDOW_S = 24 * 3600 };
/* The first call let in without a key gets one. A key whose answer was lost (never used, within the window) is replaced for the
 * holder of the claim only. */
enum key_verdict key_judge(const struct key_facts *f, usec_t now);

/* -- versions and collectors, as policies name them and agents say them */
/* Letters, digits and . + ~ _ : - only, 1 to REPORT_VERSION_MAX: it goes into logs and onto terminals as it is. */
bool report_version_fits(struct str version);
/* Letters, digits and . _ - only, 1 to REPORT_COLLECTOR_NAME_MAX. */
bool report_collector_fits(struct str name);
/* Both are known, and they differ. Nothing is said of which is newer: an operator may want an older one. */
bool report_is_other_version(struct str version, struct str target);

/* -- reporting */
enum checkin_verdict { CHECKIN_OK, CHECKIN_NO_KEY, CHECKIN_STATE };
/* @key_is_known: at all, a revoked one too. 401 unless the key is the reporter's and the reporter is switched on; 403 when it is not
 * (or no longer) let in, also with the key it had then. */
enum checkin_verdict checkin_judge(bool key_is_known, bool key_is_revoked, bool is_switched_on, enum host_state state);

enum sequence_verdict { SEQUENCE_NEW, SEQUENCE_REPEAT, SEQUENCE_BACK };
/* A repeat is the newest number of the same, named, epoch; without an epoch nothing is a repeat. BACK: smaller than the newest and
 * not a fresh start at 1. */
enum sequence_verdict sequence_judge(struct str epoch, bool has_seq, uint64_t seq, struct str last_epoch, bool has_last, uint64_t last);
enum { REPORT_SKEW_S = 300 };
bool report_is_skewed(usec_t observed_at, usec_t now);
/* A, B, A: two machines share one identity. */
bool report_is_shared(struct str peer, struct str last_peer, struct str before_last);

/* What the reporter believes after this report against what we have: true when they are one set. */
struct report_digest {
    uint64_t count;
    struct fact_digest sum;
};
/* @now_has = (@is_full ? nothing : @recorded) - @gone + @added. */
void report_digest_step(const struct report_digest *recorded, bool is_full, const struct report_digest *added,
                        const struct report_digest *gone, struct report_digest *now_has);
bool report_digest_eq(const struct report_digest *a, const struct report_digest *b);

/* -- flags a check-in is shown with */
enum report_flag {
    REPORT_F_SKEW = 1,
    REPORT_F_BACK = 2,
    REPORT_F_SHARED = 4,
    REPORT_F_RESYNC = 8,
    REPORT_F_REJECTED = 16,
    REPORT_F_DROPPED = 32, /* rows given up to keep a section within its cap */
    REPORT_F_MISSING = 64, /* its policy names a collector that it does not have */
};
extern const struct name report_flag_names[];

/* -- a report as read from the wire. Strings and arrays belong to its reader's arena. */
struct report_rows {
    bool is_told;                     /* the list was in the report */
    bool is_raw;                      /* as the text of a command: its list, if there is one too, was not read */
    bool is_whole;                    /* what is not told is gone, though the report is no full one */
    enum section_status status;
    uint64_t n_truncated;             /* left out by the reporter */
    uint64_t n_dropped;               /* left out by the reader: more than a section holds */
    struct fact_row *rows;            /* good ones: key and JSON as the inventory keeps them */
    uint64_t *marks;                  /* of their keys */
    uint8_t *tails;                   /* so many bytes behind a socket's key name its process, where the key does not; NULL: nowhere */
    struct str *macs;                 /* of addresses and neighbours; {NULL,0}: none */
    size_t n_rows;
    struct str *removed;              /* keys */
    uint64_t *removed_marks;
    size_t n_removed;
    struct report_digest added, gone; /* over all distinct rows told, refused ones too */
    bool has_digest;
    struct report_digest digest;
};
struct report_refusal {
    char field[64];
    char message[80];
    const char *type;
};
enum { REPORT_REFUSALS = 32, REPORT_RAWS = 16, REPORT_RAW_NAME_MAX = 64 };
/* What became of the text of a command: ok, failed, unused (another one had told the section), unknown. */
struct report_raw {
    struct str name;
    const char *verdict;
};
struct report {
    struct str uuid, hostname, fqdn, platform, release, version, epoch;
    usec_t observed_at;
    bool has_sequence, is_full, tells_removals;
    uint64_t sequence;
    struct report_rows sections[REPORT_SECTIONS];
    struct str *ips, *macs; /* seen, sorted, distinct; wildcards are no address */
    size_t n_ips, n_macs;
    uint64_t *ip_marks;
    size_t n_ip_marks;      /* of addresses that are machines, in any order */
    size_t n_neighbors, n_connections, n_routes, n_addresses;
    size_t n_rejected, n_refusals;
    struct report_refusal *refusals; /* REPORT_REFUSALS at most */
    bool has_raw;                    /* there were texts of commands, or might have been */
    struct report_raw *raws;         /* REPORT_RAWS at most */
    size_t n_raws;
    bool is_missing_collector;       /* of those its policy names */
    bool is_gzip;
};

/* -- values in rows. Each returns false for what is refused. */
/* Canonical text of an address: no zone, mapped IPv4 dotted. @ret >= 46; *@ret_any: 0.0.0.0 or ::. */
bool report_ip(struct str s, char ret[46], bool *ret_any);
/* Six pairs joined by ':' or '-', either case -> lower case and colons. @ret >= 18. */
bool report_mac(struct str s, char ret[18]);
extern const char *const report_protocols[]; /* tcp udp sctp ip icmp, NULL */
extern const char *const report_states[];    /* listen established ..., NULL */
/* The spelling in @list that @s has in any case; NULL: none. */
const char *report_word(const char *const *list, struct str s);

/* -- a set of 64-bit marks. All-zero is empty. */
struct mark_set {
    uint64_t *v;
    uint32_t n, cap;
};
void mark_set_done(struct mark_set *s);
void mark_set_clear(struct mark_set *s);
bool mark_set_has(const struct mark_set *s, uint64_t mark);
/* Grows once for @n marks in all. */
void mark_set_room(struct mark_set *s, uint32_t n);
/* True if it was not there. */
bool mark_set_add(struct mark_set *s, uint64_t mark);
/* True if it was there. */
bool mark_set_del(struct mark_set *s, uint64_t mark);

/* Connections told as a delta onto those in @have: keys become those that are recorded, with the process or without; @tells_removals is
 * the report's. What @rows removes may grow: into the block that is returned, to be freed after @rows' last use; NULL: none. */
void *report_match_forms(const struct mark_set *have, const uint8_t mark_key[16], bool tells_removals, struct report_rows *rows);

/* The addresses a row's key names, as report_ip() writes them, for @section's keys: at most 2. */
size_t report_key_ips(enum report_section section, struct str key, struct str ret[2]);

#endif
