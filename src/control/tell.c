/* control/tell.c - what agents of other accents say of the machine they run on. Loop thread.
 *
 * They say it again whenever they register, and some with every beat: what is recorded already is found by its digest and not written.
 * Who asks here has found before, by cheaper means, that it may be news. */
#include "control/tell.h"

#include "control/accent.h"
#include "control/noun.h"
#include "fleet/inventory.h"
#include "fleet/teller.h"

struct look {
    enum section section;
    int rank;
};

static void look_at(void *ctx, const struct alias *a)
{
    struct look *l = ctx;
    int rank = teller_rank(a->dialect, l->section);
    if (rank > l->rank)
        l->rank = rank;
}

int tell__rank(struct control *c, const struct host *h, enum section s)
{
    struct look l = { .section = s };
    accent_aliases(c, h->id, look_at, &l);
    return l.rank;
}

void tell__ranks(struct control *c, const struct host *h, struct tell_ranks *ret)
{
    for (enum section s = 0; s < SECTION_N; s++)
        ret->of[s] = (uint8_t)tell__rank(c, h, s);
}

void tell__empty(struct control *c, struct host *h, enum section there)
{
    const struct section_delta nothing = {
        .name = str_of(name_of(section_names, (int)there)), .status = SECTION_OK, .full = true, .taken_at = control__wall(c)
    };
    if (inventory__mark(h, (uint8_t)there))
        (void)inventory__take(c, h, &nothing, true);
}

void tell__fell(struct control *c, struct host *h, const struct tell_ranks *had)
{
    for (enum section s = 0; s < SECTION_N; s++)
        if (tell__rank(c, h, s) < had->of[s])
            tell__empty(c, h, tell__section(h, s));
}

enum section tell__section(const struct host *h, enum section s)
{
    enum section apart = section_apart(s);
    return strcmp(h->dialect, "native") == 0 && apart != SECTION_ALL ? apart : s;
}

static void tell_one(struct control *c, const struct host *h, const char *dialect, const struct told_section *t)
{
    const struct section_delta d = {
        .name = str_of(name_of(section_names, (int)tell__section(h, t->section))),
        .status = SECTION_OK,
        .full = true,
        .rows = t->rows,
        .n_rows = t->n_rows,
        .taken_at = control__wall(c),
    };
    struct fact_digest sum = { 0 }, row, recorded;
    enum section_status status;
    struct err err = { 0 };
    if (tell__rank(c, h, t->section) > teller_rank(str_of(dialect), t->section))
        return;
    for (size_t i = 0; i < t->n_rows; i++) {
        fact_row_hash(&t->rows[i], &row);
        fact_digest_add(&sum, &row);
    }
    if (accent_section(c, h->id, d.name, &status, &recorded) && status == SECTION_OK && accent_section_is(c, h->id, d.name, &sum))
        return;
    if (accent_facts(c, h->id, &d, true, &err) != DELTA_TAKE)
        log_warn("accent.section", "a section was not taken", LOG_CSTR("host", h->name), LOG_STR("section", d.name), LOG_ERR(&err));
}

/* -- of two agents of one accent the newest that is not lost: they would write over each other with every word */
struct voice {
    struct control *c;
    const char *dialect;
    struct str external_id;
    usec_t since;               /* who was not heard since then is lost */
    bool is_newest, is_heard;
    bool is_older, is_silenced; /* there is a newer one; that is not lost */
};

static bool is_lost(const struct voice *v, struct str external_id)
{
    usec_t at = noun__heard_at(v->c, v->dialect, external_id);
    return at && at < v->since;
}

static void look_for_voice(void *ctx, const struct alias *a)
{
    struct voice *v = ctx;
    if (!str_is(a->dialect, v->dialect) || v->is_newest || v->is_heard)
        return;
    if (!str_eq(a->external_id, v->external_id)) {
        v->is_older = true;
        v->is_silenced |= !is_lost(v, a->external_id);
        return;
    }
    v->is_newest = !v->is_older;
    v->is_heard = !v->is_silenced;
}

bool accent_tell(struct control *c, uint64_t host_id, const char *dialect, struct str external_id, const struct told_section *t, size_t n)
{
    const struct host *h = host__by_id(c, host_id);
    struct presence_rules rules;
    if (!h || !accent__rules(h, &rules))
        return false;
    struct voice v = { c, dialect, external_id, 0 };
    if (control__mono(c) - c->started_mono >= rules.lost_after) /* time that the server was down counts for nobody */
        v.since = control__wall(c) - rules.lost_after;
    accent_aliases(c, host_id, look_for_voice, &v);
    if (v.is_heard && !v.is_newest)
        asset__tell_again(c, host_id); /* the newest, when it is back */
    for (size_t i = 0; v.is_heard && h->state == HOST_APPROVED && i < n; i++)
        tell_one(c, h, dialect, &t[i]);
    return v.is_newest;
}

bool accent_is_told(struct control *c, uint64_t host_id, enum section s)
{
    const struct host *h = host__by_id(c, host_id);
    const struct section_mark *m = h ? inventory__mark(h, (uint8_t)tell__section(h, s)) : NULL;
    static const struct fact_digest nothing;
    return m && memcmp(m->digest, nothing.b, MARK_LEN) != 0;
}
