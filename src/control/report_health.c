/* control/report_health.c - how reporters fare: who is late, whose collecting fails, who was turned away; and the list of them. Loop
 * thread. What is late and what fails is fleet/report_health.h's to say. */
#include "control/report_priv.h"
#include "fleet/report_health.h"

/* -- one */
static struct report_pace pace_of(const struct control *c, const struct reporter *r)
{
    const struct policy_entry *p = policy__by_id(c, r->row.policy_id);

    return (struct report_pace){
        .state = reporter__host_state(c, r),
        .is_switched_on = r->row.is_active,
        .last_seen_at = r->state.last_seen_at,
        .approved_at = r->row.approved_at,
        .interval_s = p ? p->p.interval_s : 3600,
        .jitter_s = p ? p->p.jitter_s : 300,
    };
}

void reporter_judge(struct control *c, const struct reporter_view *v, struct reporter_health *ret)
{
    const struct reporter *r = reporter__by_id(c, v->row->id);
    struct fact_digest unused;

    *ret = (struct reporter_health){ 0 };
    if (!r)
        return;
    const struct report_pace pace = pace_of(c, r);

    ret->due_at = report_due_at(&pace);
    ret->is_overdue = report_is_overdue(&pace, control__wall(c));
    ret->is_other_version = v->policy && report_is_other_version(r->row.version, v->policy->target_version);
    ret->is_missing_collector = r->state.has_report && (r->state.last.flags & REPORT_F_MISSING);
    ret->refusal = r->refusal;
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++)
        (void)accent_section(c, r->row.host_id, reporter__section(c, r, s), &ret->collectors[s], &unused);
}

void reporter__refused(struct control *c, struct reporter *r, const char *peer, const struct err *err)
{
    if (!r)
        return;
    if (!r->refusal)
        r->refusal = xnew0(struct report_last_refusal);
    r->refusal->at = control__wall(c);
    snprintf(r->refusal->code, sizeof(r->refusal->code), "%s", err->slug);
    snprintf(r->refusal->text, sizeof(r->refusal->text), "%.*s", (int)sizeof(r->refusal->text) - 1, err->text);
    snprintf(r->refusal->peer, sizeof(r->refusal->peer), "%s", peer);
}

/* -- all */
static bool is_wanted(const struct control *c, const struct reporter *r, const struct reporter_filter *which)
{
    if (which->state && reporter__host_state(c, r) != which->state)
        return false;
    if (which->is_active >= 0 && r->row.is_active != (which->is_active > 0))
        return false;
    if (!which->is_overdue)
        return true;
    const struct report_pace pace = pace_of(c, r);

    return report_is_overdue(&pace, control__wall(c));
}

static int seen_order(const void *a, const void *b)
{
    const struct reporter *x = *(struct reporter *const *)a, *y = *(struct reporter *const *)b;
    if (x->state.last_seen_at != y->state.last_seen_at)
        return x->state.last_seen_at < y->state.last_seen_at ? 1 : -1;
    return x->row.id < y->row.id ? 1 : -1;
}

uint64_t reporter_list(struct control *c, const struct reporter_filter *which, uint64_t skip, uint64_t limit,
                       void (*fn)(void *ctx, const struct reporter_view *v), void *ctx)
{
    struct reporter **all = xcalloc(HASH_COUNT(report__book(c)->by_id) + 1, sizeof(struct reporter *)), *r, *next;
    size_t n = 0;
    HASH_ITER(hh, report__book(c)->by_id, r, next)
    if (is_wanted(c, r, which))
        all[n++] = r;
    if (limit > 0) /* else only their number is asked for */
        qsort(all, n, sizeof(struct reporter *), seen_order);
    for (size_t i = skip; i < n && i - skip < limit; i++) {
        struct reporter_view v;
        reporter__view(c, all[i], &v);
        fn(ctx, &v);
    }
    free(all);
    return n;
}

void reporter_tally(struct control *c, struct reporter_tally *ret)
{
    struct reporter *r, *next;
    *ret = (struct reporter_tally){ 0 };
    HASH_ITER(hh, report__book(c)->by_id, r, next)
    {
        const struct report_pace pace = pace_of(c, r);

        ret->n++;
        ret->by_state[pace.state]++;
        ret->n_overdue += report_is_overdue(&pace, control__wall(c));
    }
}
