/* agent/claims.c - see claims.h. */
#include "agent/claims.h"

#include "agent/collect/collect.h"
#include "base/limits.h"
#include "base/mem.h"

/* The generated structs want char *, and write nothing. */
static char *text(struct arena *a, struct str s)
{
    struct str copy = arena_str(a, s);

    return (char *)(uintptr_t)(copy.ptr ? copy.ptr : "");
}

static void add_labels(struct arena *a, const struct conf_map *labels, Muster__V1__HostClaims *c)
{
    size_t n = labels->n > LIMIT_LABELS ? LIMIT_LABELS : labels->n;

    c->labels = arena_array(a, n, sizeof(*c->labels));
    for (size_t i = 0; c->labels && i < n; i++) {
        Muster__V1__HostClaims__LabelsEntry *e = arena_new0(a, Muster__V1__HostClaims__LabelsEntry);

        if (!e)
            return;
        muster__v1__host_claims__labels_entry__init(e);
        e->key = labels->v[i].key;
        e->value = labels->v[i].value;
        c->labels[c->n_labels++] = e;
    }
}

Muster__V1__HostClaims *claims_make(struct arena *a, const char *root, const struct conf_map *labels)
{
    Muster__V1__HostClaims *c = arena_new0(a, Muster__V1__HostClaims);
    struct host_claims h = { 0 };

    if (!c)
        return NULL;
    muster__v1__host_claims__init(c);
    if (collect_claims(a, root, &h) < 0)
        return c;
    c->hostname = text(a, h.hostname);
    c->machine_id = text(a, h.machine_id);
    c->os = text(a, h.os);
    c->kernel = text(a, h.kernel);
    c->arch = text(a, h.arch);
    c->cpu_cores = h.cpu_cores;
    c->memory_bytes = h.memory_bytes;
    c->disk_bytes = h.disk_bytes;
    c->addresses = arena_array(a, h.addresses.n ? h.addresses.n : 1, sizeof(*c->addresses));
    for (size_t i = 0; c->addresses && i < h.addresses.n; i++)
        c->addresses[c->n_addresses++] = text(a, h.addresses.v[i]);
    if (labels && labels->n > 0)
        add_labels(a, labels, c);
    return c;
}
