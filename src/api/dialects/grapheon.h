/* api/dialects/grapheon.h - what the files of Graphēon's accent share (private to api/). Core loop's thread but for
 * grapheon_read_report(). */
#ifndef MUSTER_API_GRAPHEON_H
#define MUSTER_API_GRAPHEON_H

#include "api/dialects/dialect.h"
#include "control/reports.h"
#include "wire/dialects/grapheon.h"

/* -- grapheon.c */
/* What every answer carries. */
void grapheon_begin(struct call *c);
/* A 422 about one field ("unknown": none in particular), in the accent's form. */
void grapheon_refuse_field(struct call *c, const char *field, const char *type, const char *text);
/* The same about several. */
void grapheon_refuse_fields(struct call *c, const struct report_refusal *v, size_t n);
/* [{"field", "message", "type"}] */
void grapheon_refusals(struct jw *w, const struct report_refusal *v, size_t n);
/* 422 and false when a body was wanted and none came. */
bool grapheon_has_body(struct call *c);
/* Is @s at most @max_chars characters? Else answers 422 and returns false. */
bool grapheon_fits(struct call *c, const char *field, struct str s, size_t max_chars);
/* ISO 8601 with or without a zone (none: UTC), a bare date, seconds or milliseconds since 1970. */
bool grapheon_parse_time(struct str s, usec_t *ret);
/* "2026-03-22T18:00:00.123456": naive UTC. @dst >= 32. */
void grapheon_format_time(usec_t t, char *dst);
void grapheon_time(struct jw *w, const char *key, usec_t t); /* 0: null */
/* What TLS proved of the caller. Nothing a proxy says counts. */
struct client_key grapheon_client_key(const struct call *c);
/* A control verb's refusal, parked where state was looked at. */
void grapheon_error(struct call *c, const struct err *err);

/* -- grapheon_view.c: objects, as upstream shows them */
void grapheon_policy(struct jw *w, const struct report_policy *p, int64_t agent_count);
void grapheon_key(struct jw *w, struct control *c, const struct enroll_key *k);
void grapheon_agent(struct jw *w, struct control *c, const struct reporter_view *v);
/* The same for operators: and how it fares. */
void grapheon_agent_judged(struct jw *w, struct control *c, const struct reporter_view *v);
struct grapheon_seen_lists { /* instead of those kept: all of them */
    const struct str *ips, *macs;
    size_t n_ips, n_macs;
};
void grapheon_summary(struct jw *w, const struct report_checkin *ck, uint64_t id, const struct grapheon_seen_lists *all);
void grapheon_checkin(struct jw *w, const struct report_checkin *ck, uint64_t id, usec_t received_at,
                      const struct grapheon_seen_lists *all);
void grapheon_page_begin(struct jw *w, uint64_t total, uint64_t skip, uint64_t limit);
void grapheon_page_end(struct jw *w);

/* -- grapheon_report.c: the body of a check-in -> struct report. Any thread. */
enum grapheon_read { GRAPHEON_READ_OK, GRAPHEON_READ_JSON, GRAPHEON_READ_FIELDS, GRAPHEON_READ_TOO_LARGE };
/* @ret->refusals has the reasons for FIELDS (the report as a whole is refused) as well as those of rows refused alone. @strict: one
 * bad row refuses all. Strings borrow from @text and @a. */
enum grapheon_read grapheon_read_report(struct arena *a, struct str text, bool strict, struct report *ret);
/* The rows of a registration's address list, as grapheon_read_report() reads them: into @ret->sections[0], ips, macs. */
enum grapheon_read grapheon_read_addresses(struct arena *a, struct str list, struct report *ret);
/* -- grapheon_intake.c: bodies of check-ins on their way to being read */
struct grapheon_intake;
struct grapheon_lane;
struct grapheon_job {
    struct call *c; /* held */
    struct report_pass pass;
    char peer[64];
    struct report report; /* as read; strings in .text and .arena */
    enum grapheon_read got;
    int inflated; /* 0, or -errno of gunzip_run(): then nothing was read */
    /* the intake's */
    struct grapheon_intake *in;
    struct grapheon_lane *lane;
    struct buf raw, text;
    struct arena *arena;
    bool is_gzip, is_strict, is_open, is_read;
    struct grapheon_job *next_waiting, *next_in_lane;
};
/* Copies the request's body and reads it on a pool thread; grapheon_on_report() has it then, after those the agent sent earlier. 0; or
 * -EAGAIN report.overloaded, -EBUSY report.busy (four of this agent are on their way), and nothing happens. */
int grapheon_take_in(struct call *c, const struct report_pass *pass, bool is_gzip, struct err *err);
/* grapheon_checkin.c: @j has been read (@j->c may be gone meanwhile). It is given back with grapheon_job_done(), now or later. */
void grapheon_on_report(struct grapheon_job *j);
void grapheon_job_done(struct grapheon_job *j);

/* grapheon_rows.c: one row. False: refused, and why in @why. */
struct grapheon_row {
    struct str key, json, ips[2], mac;
    size_t n_ips;
    uint8_t tail; /* bytes behind .key that name the process */
};
struct json_item;
bool grapheon_read_row(struct arena *a, struct buf *room, enum report_section s, const struct json_item *row, bool is_precise,
                       struct grapheon_row *ret, struct report_refusal *why);

/* -- the handlers */
void grapheon_on_register(struct call *c);
void grapheon_on_checkin(struct call *c);
extern const struct route_table grapheon_routes, grapheon_admin_routes, grapheon_agent_routes, grapheon_page_routes;

/* Hooks of the accent, see struct dialect. */
void grapheon_stop(struct api *a);

#endif
