/* api/dialects/sigma.h - what sigma's files share (private to api/dialects/sigma*.c). Core loop's thread. */
#ifndef MUSTER_API_SIGMA_H
#define MUSTER_API_SIGMA_H

#include "api/dialects/dialect.h"
#include "control/assets.h"
#include "wire/dialects/sigma.h"

/* -- sigma.c: who speaks, how refusals read, bodies of agents */
/* A caller of AUTH_AGENT rows: proven by key, session or API token (never the development rule), and within its quota. False: answered. */
bool sigma_prove_agent(struct call *c);
/* Decodes the body by @rec into the request's arena, and hands out its tree (may be NULL). NULL: answered (415, 413, 400, 422). */
void *sigma_body(struct call *c, const struct record *rec, struct node **ret_root);
/* Path parameter 0 as a UUID; false: answered 400. */
bool sigma_uuid(struct call *c, struct str *ret);
/* {"key": true}, parked. */
void sigma_reply_true(struct call *c, const char *key);

/* -- sigma_view.c: rows as they are shown, and extra taken apart */
void sigma_view(struct call *c, const struct asset_view *v);
/* The row as its record has it; extra is put together in @extra, which lends it. */
void sigma_vps_of(const struct asset_view *v, struct buf *extra, struct sigma_vps *ret);
/* One object by its view, parked. */
void sigma_reply_vps(struct call *c, const struct asset_view *v);
/* What an agent reported: @info any node or NULL. Members of the wrong type count as not reported. -EINVAL field.type (no object),
 * field.too_long. */
int sigma_read_info(struct arena *a, const struct node *info, struct asset_state *ret, struct heartbeat *ret_beat, struct err *err);
/* The wish's extra split into what is understood and the rest. -EINVAL field.*. */
int sigma_read_extra(struct arena *a, const struct asset_wish *w, struct asset_extra *ret, struct err *err);
/* {"data":[ ... ],"total","page","per_page"}: the window a list shows. */
struct sigma_window {
    struct call *c;
    uint32_t page, per_page;
    size_t at; /* rows seen, or how many there are */
};
/* The place of its first row. */
static inline size_t sigma_window_first(const struct sigma_window *w)
{
    return (size_t)(w->page - 1) * w->per_page;
}
struct jw *sigma_window_begin(struct sigma_window *w, struct call *c, bool has_page, uint32_t page, bool has_per_page, int64_t per_page);
/* Counts a row; true: it is to be written. */
bool sigma_window_row(struct sigma_window *w);
void sigma_window_end(struct sigma_window *w);

/* -- sigma_csv.c: comma separated values (RFC 4180), both ways */
/* The next record of @*text into @fields (at most @max; strings in @a). 1; 0 at the end; -EINVAL: a quote that is never closed or in the
 * middle of a field; -E2BIG: more fields. Blank lines are skipped. */
int csv_next(struct arena *a, struct str *text, struct str *fields, size_t max, size_t *ret_n);
/* Appends one field, quoted where it must be; a comma before it unless @is_first. What a spreadsheet would run as a formula gets an
 * apostrophe in front. */
void csv_field(struct buf *out, struct str value, bool is_first);
void csv_end(struct buf *out);
/* @value without that apostrophe. */
struct str csv_plain(struct str value);

/* -- sigma_dial.c: asking agents that are dialled */
struct sigma_dialing;
typedef void (*sigma_dialled_fn)(void *ctx, const struct ports_answer *a, const struct err *err);
/* Asks the agent at @d for ports: @done once, later, with the answer or "agent.unreachable", "agent.bad_answer", "agent.refused",
 * "ports.too_few", "ports.disabled". Within 10 s. @asset: whose token it hears, if it has one. */
struct sigma_dialing *sigma_dial(struct api *a, const struct asset *asset, const struct asset_dial *d, const struct ports_wish *w,
                                 sigma_dialled_fn done, void *ctx);
/* Gives up without a callback. NULL is a no-op. */
void sigma_dial_cancel(struct sigma_dialing *d);
/* Who may be dialled: this machine's own addresses are in @arena. */
void sigma_dial_rules(const struct api *a, struct arena *arena, struct asset_dial_rules *ret);

extern const struct route_table sigma_agent_table, sigma_vps_table, sigma_ports_table, sigma_provider_table, sigma_reader_table,
    sigma_key_table, sigma_transfer_table;

/* Hooks of the accent, see struct dialect. */
void sigma_start(struct api *a);
void sigma_drain(struct api *a);
void sigma_stop(struct api *a);

#endif
