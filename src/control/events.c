/* control/events.c - one row for whoever watches, one row for whoever asks later. Loop thread.
 *
 * Rows are recorded into the open unit at once and published when it is durable (topics.c). Text in them may
 * come from a peer: it is mended here, in one place, so that what is stored can always be shown and the audit
 * chain can always be checked. */
#include <inttypes.h>

#include "control/core.h"

enum { DETAIL_MAX_BYTES = 4 << 10, TARGET_MAX_BYTES = 512 };

/* -- details */
static struct details *details_add(struct details *d, const char *key, struct str value)
{
    if (d->list.n < DETAILS_MAX && value.len) {
        d->list.v = d->kv;
        d->kv[d->list.n++] = (struct kv){ str_of(key), value };
    }
    return d;
}

struct details *details_str(struct details *d, const char *key, struct str value)
{
    return details_add(d, key, value);
}

struct details *details_u64(struct details *d, const char *key, uint64_t value)
{
    if (d->list.n == DETAILS_MAX)
        return d;
    char *text = d->number[d->list.n];
    snprintf(text, sizeof(d->number[0]), "%" PRIu64, value);
    return details_add(d, key, str_of(text));
}

struct details *details_i64(struct details *d, const char *key, int64_t value)
{
    if (d->list.n == DETAILS_MAX)
        return d;
    char *text = d->number[d->list.n];
    snprintf(text, sizeof(d->number[0]), "%" PRId64, value);
    return details_add(d, key, str_of(text));
}

/* @in with clean values, in @room; the list lives as long as @room and the scratch arena. */
static struct kv_list clean_details(struct control *c, const struct kv_list *in, struct kv room[DETAILS_MAX])
{
    struct kv_list out = { room, 0 };
    for (size_t i = 0; in && i < in->n && out.n < DETAILS_MAX; i++) {
        struct str key = text__clean(c->scratch, in->v[i].key, 64);
        bool is_double = false;
        for (size_t k = 0; k < out.n; k++)
            is_double |= str_eq(room[k].key, key);
        if (key.len && !is_double)
            room[out.n++] = (struct kv){ key, text__clean(c->scratch, in->v[i].value, DETAIL_MAX_BYTES) };
    }
    return out;
}

/* -- events */
static void emit(struct control *c, const char *type, struct str uuid, struct str name,
                 const struct kv_list *details)
{
    struct kv room[DETAILS_MAX];
    arena_reset(c->scratch);
    const struct event e = {
        .id = c->next.event++,
        .at = control__wall(c),
        .type = str_of(type),
        .host_id = uuid,
        .host = name,
        .details = clean_details(c, details, room),
    };
    store_put_event(c->store, &e);
    c->stats.events++;
    topics__event(c, &e);
}

void event_emit(struct control *c, const char *type, const struct host_view *h, const struct kv_list *details)
{
    emit(c, type, h ? str_of(h->uuid) : STR_NONE, h ? h->name : STR_NONE, details);
}

void event__host(struct control *c, const char *type, const struct host *h, const struct details *d)
{
    emit(c, type, h ? str_of(h->uuid) : STR_NONE, h ? str_of(h->name) : STR_NONE, d ? &d->list : NULL);
}

uint64_t event_last_id(const struct control *c)
{
    return c->next.event - 1;
}

uint64_t audit_last_id(const struct control *c)
{
    return c->next.audit - 1;
}

/* -- audit */
static void record(struct control *c, const char *who, const char *peer, const char *verb, struct str target,
                   const char *outcome, const char *slug, const struct kv_list *details)
{
    struct kv room[DETAILS_MAX];
    arena_reset(c->scratch);
    struct audit_row row = {
        .id = c->next.audit++,
        .at = control__wall(c),
        .principal = text__clean(c->scratch, str_of(who), 256),
        .peer = text__clean(c->scratch, str_of(peer), 128),
        .verb = str_of(verb),
        .target = text__clean(c->scratch, target, TARGET_MAX_BYTES),
        .outcome = str_of(outcome),
        .slug = str_of(slug),
        .details = clean_details(c, details, room),
    };
    memcpy(row.prev, c->audit_head, sizeof(row.prev));
    audit_seal(&row);
    memcpy(c->audit_head, row.hash, sizeof(row.hash));
    store_put_audit(c->store, &row);
    c->stats.audit_rows++;
    topics__audit(c, &row);
}

void audit_emit(struct control *c, const struct principal *p, const char *peer, enum verb v,
                struct str target, const char *outcome, const char *slug, const struct kv_list *details)
{
    record(c, p ? p->name : "", peer, name_of(verb_names, (int)v), target, outcome, slug, details);
}

void audit__row(struct control *c, const char *who, const char *peer, const char *verb, struct str target,
                const char *outcome, const char *slug, const struct details *d)
{
    record(c, who, peer, verb, target, outcome, slug, d ? &d->list : NULL);
}

int audit__refused(struct control *c, const struct principal *p, enum verb v, struct str target, int r,
                   const struct err *err)
{
    struct details d = { 0 };
    details_str(&d, "why", str_of(err ? err->text : NULL));
    audit_emit(c, p, NULL, v, target, "failed", err ? err->slug : NULL, &d.list);
    return r;
}
