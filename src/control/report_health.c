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

static bool is_missing_collector(const struct reporter *r)
{
    return r->state.has_report && (r->state.last.flags & REPORT_F_MISSING);
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
    ret->is_missing_collector = is_missing_collector(r);
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

/* The inventory sections that say how a reporter's collectors fare, a bit each: of hosts that are reporters, and of those that have an
 * agent of ours beside it. Made once for all of them. */
struct told_in {
    uint64_t alone, apart;
};
_Static_assert(SECTION_ALL <= 64, "a bit for each section");

static struct told_in told_in(void)
{
    struct told_in t = { 0 };
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++) {
        t.alone |= UINT64_C(1) << name_value(section_names, report_section_facts(s, false));
        t.apart |= UINT64_C(1) << name_value(section_names, report_section_facts(s, true));
    }
    return t;
}

static bool is_failing(const struct control *c, const struct reporter *r, const struct told_in *t)
{
    const struct host *h = host__by_id(c, r->row.host_id);
    if (!h || h->state != HOST_APPROVED)
        return false;
    if (is_missing_collector(r))
        return true;
    uint64_t told = strcmp(h->dialect, "native") == 0 ? t->apart : t->alone;
    for (size_t i = 0; i < h->n_sections; i++)
        if ((told >> h->sections[i].section & 1) && report_collector_fails((enum section_status)h->sections[i].status))
            return true;
    return false;
}

static bool is_wanted(const struct control *c, const struct reporter *r, const struct reporter_filter *which, const struct told_in *t)
{
    if (which->state && reporter__host_state(c, r) != which->state)
        return false;
    if (which->is_active >= 0 && r->row.is_active != (which->is_active > 0))
        return false;
    if (which->is_failing && !is_failing(c, r, t))
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
    const struct told_in t = told_in();
    struct reporter **all = xcalloc(HASH_COUNT(report__book(c)->by_id) + 1, sizeof(struct reporter *)), *r, *next;
    size_t n = 0;
    HASH_ITER(hh, report__book(c)->by_id, r, next)
    if (is_wanted(c, r, which, &t))
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
    const struct told_in t = told_in();
    struct reporter *r, *next;
    *ret = (struct reporter_tally){ 0 };
    HASH_ITER(hh, report__book(c)->by_id, r, next)
    {
        const struct report_pace pace = pace_of(c, r);

        ret->n++;
        ret->by_state[pace.state]++;
        ret->n_overdue += report_is_overdue(&pace, control__wall(c));
        ret->n_failing += is_failing(c, r, &t);
    }
}
