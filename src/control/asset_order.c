/* control/asset_order.c - machines in order, kept so: a page of a long list costs the page. Loop thread.
 *
 * Every row stands in one sorted list an order. By status the rows of one status are neighbours, and how many there are of each is
 * counted, so that a list without other filters is found by arithmetic: pages are cut out, nothing is looked through. Other filters
 * look at each row once. */
#include "control/assets_priv.h"

static int by_status_at(const void *a, const void *b)
{
    return asset_compare((*(struct asset_entry *const *)a)->asset, (*(struct asset_entry *const *)b)->asset);
}

static int by_name_at(const void *a, const void *b)
{
    return asset_compare_names((*(struct asset_entry *const *)a)->asset, (*(struct asset_entry *const *)b)->asset);
}

static const struct {
    int (*compare)(const struct asset *a, const struct asset *b);
    int (*compare_at)(const void *a, const void *b);
} orders[ASSET_ORDERS] = {
    [ASSET_BY_STATUS] = { asset_compare, by_status_at },
    [ASSET_BY_NAME] = { asset_compare_names, by_name_at },
};

/* -- keeping it */

/* The first place whose row does not come before @a. */
static size_t place_of(const struct assets *s, enum asset_order o, const struct asset *a)
{
    size_t low = 0, high = s->order[o].n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (orders[o].compare(s->order[o].v[mid]->asset, a) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void asset__order_add(struct assets *s, struct asset_entry *e)
{
    s->n_of[e->asset->status]++;
    for (int o = 0; o < ASSET_ORDERS; o++) {
        size_t at = s->is_loading ? s->order[o].n : place_of(s, (enum asset_order)o, e->asset);

        (void)vec_add(&s->order[o]);
        memmove(s->order[o].v + at + 1, s->order[o].v + at, (s->order[o].n - 1 - at) * sizeof(*s->order[o].v));
        s->order[o].v[at] = e;
    }
}

void asset__order_drop(struct assets *s, struct asset_entry *e)
{
    s->n_of[e->asset->status]--;
    for (int o = 0; o < ASSET_ORDERS; o++) {
        size_t at = place_of(s, (enum asset_order)o, e->asset);

        assert(at < s->order[o].n && s->order[o].v[at] == e);
        vec_del(&s->order[o], at);
    }
}

void asset__order_loaded(struct assets *s)
{
    for (int o = 0; o < ASSET_ORDERS; o++)
        if (s->order[o].n)
            qsort(s->order[o].v, s->order[o].n, sizeof(*s->order[o].v), orders[o].compare_at);
    s->is_loading = false;
}

/* -- lists */

struct walk {
    struct control *c;
    const struct asset_filter *f;
    size_t skip, limit, n; /* n: so many matched */
    bool (*fn)(void *ctx, const struct asset_view *v);
    void *ctx;
    bool is_over;
};

static void show(struct walk *w, const struct asset_entry *e)
{
    struct asset_view v;

    asset__view(w->c, e, &v);
    w->is_over = !w->fn(w->ctx, &v);
}

/* Rows of which each matches. */
static void walk_all(struct walk *w, struct asset_entry *const *v, size_t n)
{
    size_t first = w->skip > w->n ? w->skip - w->n : 0;
    size_t last = w->skip + w->limit > w->n ? w->skip + w->limit - w->n : 0; /* neither overflows: see asset_page() */

    for (size_t i = first; i < n && i < last && !w->is_over; i++)
        show(w, v[i]);
    w->n += n;
}

static void walk_matching(struct walk *w, struct asset_entry *const *v, size_t n)
{
    usec_t now = control__wall(w->c);

    for (size_t i = 0; i < n; i++) {
        if (!asset_matches(w->f, v[i]->asset, v[i]->state, now))
            continue;
        if (w->n >= w->skip && w->n - w->skip < w->limit && !w->is_over)
            show(w, v[i]);
        w->n++;
    }
}

/* Where the rows of one status begin. */
static size_t first_of(const struct assets *s, int status)
{
    size_t at = 0;

    for (int i = 1; i <= ASSET_DELETED; i++)
        if (strcmp(name_of(asset_status_names, i), name_of(asset_status_names, status)) < 0)
            at += s->n_of[i];
    return at;
}

static bool has_more_than_status(const struct asset_filter *f)
{
    return f->country.len || f->provider_id.len || f->purpose.len || f->tag.len || f->source.len || f->hostname.len || f->has_expiring ||
           f->has_online;
}

static void walk_by_status(struct walk *w)
{
    struct assets *s = assets__of(w->c);
    void (*part)(struct walk *, struct asset_entry *const *, size_t) = has_more_than_status(w->f) ? walk_matching : walk_all;
    size_t gone = first_of(s, ASSET_DELETED), behind = gone + s->n_of[ASSET_DELETED];

    if (w->f->status) {
        part(w, s->order[ASSET_BY_STATUS].v + first_of(s, w->f->status), s->n_of[w->f->status]);
        return;
    }
    part(w, s->order[ASSET_BY_STATUS].v, gone);
    part(w, s->order[ASSET_BY_STATUS].v + behind, s->order[ASSET_BY_STATUS].n - behind);
}

/* The one that has this name, unless it is deleted rows that are looked for. */
static bool walk_named(struct walk *w)
{
    struct asset_name *n = NULL;

    if (w->f->hostname.len == 0 || w->f->status == ASSET_DELETED)
        return false;
    HASH_FIND(hh, assets__of(w->c)->names, w->f->hostname.ptr, w->f->hostname.len, n);
    if (n)
        walk_matching(w, &n->e, 1);
    return true;
}

size_t asset_page(struct control *c, const struct asset_filter *f, size_t skip, size_t limit,
                  bool (*fn)(void *ctx, const struct asset_view *v), void *ctx)
{
    struct walk w = { .c = c, .f = f, .skip = skip, .limit = limit, .fn = fn, .ctx = ctx };

    assert(limit <= SIZE_MAX / 2 && skip <= SIZE_MAX / 2);
    if (assets__of(c)->order[ASSET_BY_STATUS].n && !walk_named(&w))
        walk_by_status(&w);
    return w.n;
}

size_t asset_list(struct control *c, const struct asset_filter *f, enum asset_order order,
                  bool (*fn)(void *ctx, const struct asset_view *v), void *ctx)
{
    const struct assets *s = assets__of(c);
    struct walk w = { .c = c, .f = f, .limit = SIZE_MAX / 2, .fn = fn, .ctx = ctx };

    if (s->order[order].n)
        walk_matching(&w, s->order[order].v, s->order[order].n);
    return w.n;
}
