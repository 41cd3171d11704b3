/* control/nouns.c - the nouns that hang on control beside hosts, jobs and people; hooks run in the table's order. Loop thread. */
#include "control/noun.h"

/* Nouns without a file of their own yet: whoever adds that file deletes the line. */

/* Sessions before what people own, credentials before what is got with them. The index of a row is its place in c->noun. */
const struct noun *const control__nouns[] = {
    [NOUN_SESSIONS] = &noun_sessions, [NOUN_CREDENTIALS] = &noun_credentials,
    [NOUN_ACCENTS] = &noun_accents,   [NOUN_PORTS] = &noun_ports,
    [NOUN_ASSETS] = &noun_assets,     [NOUN_REPORTS] = &noun_reports,
    [NOUN_RUNS] = &noun_runs,         [NOUN_N] = NULL,
};

#define EACH(n) (const struct noun *const *n = control__nouns; *n; n++)

int noun__load_all(struct control *c, struct err *err)
{
    for (int k = 1; k < OBJECT_KINDS; k++) {
        int r = store_load_next_object(c->store, (enum object_kind)k, &c->next_object[k], err);
        if (r < 0)
            return r;
    }
    for EACH (n) {
        int r = (*n)->load ? (*n)->load(c, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

/* The other way round: what was loaded last may hold what was loaded first. */
void noun__free_all(struct control *c)
{
    for (int i = NOUN_N; i-- > 0;)
        if (control__nouns[i]->free)
            control__nouns[i]->free(c);
}

uint64_t object__next(struct control *c, enum object_kind k)
{
    assert(k > 0 && k < OBJECT_KINDS && c->next_object[k]);
    return c->next_object[k]++;
}

void noun__tick(struct control *c, usec_t mono)
{
    for EACH (n)
        if ((*n)->tick)
            (*n)->tick(c, mono);
}

void noun__host_gone(struct control *c, uint64_t host_id)
{
    for EACH (n)
        if ((*n)->host_gone)
            (*n)->host_gone(c, host_id);
}

void noun__host_decided(struct control *c, uint64_t host_id)
{
    for EACH (n)
        if ((*n)->host_decided)
            (*n)->host_decided(c, host_id);
}

void noun__host_linked(struct control *c, uint64_t host_id, uint64_t other_id)
{
    for EACH (n)
        if ((*n)->host_linked)
            (*n)->host_linked(c, host_id, other_id);
}

void noun__task_changed(struct control *c, const struct task *t)
{
    for EACH (n)
        if ((*n)->task_changed)
            (*n)->task_changed(c, t);
}

usec_t noun__heard_at(const struct control *c, const char *dialect, struct str external_id)
{
    for EACH (n)
        if ((*n)->dialect && strcmp((*n)->dialect, dialect) == 0)
            return (*n)->heard_at(c, external_id);
    return 0;
}
