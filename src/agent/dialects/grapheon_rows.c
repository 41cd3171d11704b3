/* agent/dialects/grapheon_rows.c - rows of now and of last time: compared, summed. Pure. */
#include "agent/dialects/grapheon.h"
#include "fleet/inventory.h"

const char *const grapheon_section_names[GS_N] = { "addresses", "neighbors", "connections", "routes" };
const char *const grapheon_command_names[GS_N] = { "ip_addr", "ip_neigh", "ss_tunap", "ip_route" };

void rows__delta(const struct rows *now, const struct rows *before, struct rows *ret_added, struct rows *ret_gone)
{
    size_t b = 0;

    /* the results share the texts: no arena, no cap */
    for (size_t n = 0; n < now->n; n++) {
        while (b < before->n && str_cmp(before->v[b], now->v[n]) < 0) {
            if (ret_gone->n == 0 || !str_eq(ret_gone->v[ret_gone->n - 1], before->v[b]))
                *vec_add(ret_gone) = before->v[b];
            b++;
        }
        if (b < before->n && str_eq(before->v[b], now->v[n])) {
            while (b + 1 < before->n && str_eq(before->v[b + 1], now->v[n]))
                b++;
            /* stays at @b: a double in @now meets it again */
            if (n + 1 == now->n || !str_eq(now->v[n + 1], now->v[n]))
                b++;
            continue;
        }
        *vec_add(ret_added) = now->v[n];
    }
    for (; b < before->n; b++)
        if (ret_gone->n == 0 || !str_eq(ret_gone->v[ret_gone->n - 1], before->v[b]))
            *vec_add(ret_gone) = before->v[b];
}

/* An extended row may begin with its interface. */
static bool is_wildcard(struct str row)
{
    ptrdiff_t at = str_starts(row, STR("{\"interface\":")) ? str_find(row, STR(",\"local_ip\":")) : 0;

    row = str_sub(row, at < 0 ? row.len : (size_t)at + 1, SIZE_MAX);
    return str_starts(row, STR("\"local_ip\":\"0.0.0.0\",")) || str_starts(row, STR("\"local_ip\":\"::\","));
}

size_t rows__count_wildcards(const struct rows *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n; i++)
        n += is_wildcard(r->v[i]);
    return n;
}

size_t rows__drop_wildcards(struct rows *r)
{
    size_t kept = 0, n = r->n;

    for (size_t i = 0; i < n; i++)
        if (!is_wildcard(r->v[i]))
            r->v[kept++] = r->v[i];
    r->n = kept;
    return n - kept;
}

/* -- the digest of a set */

static void hash_of(enum grapheon_section s, struct str row, struct fact_digest *ret)
{
    struct fact_row f = { .key = str_of(grapheon_section_names[s]), .json = row };

    fact_row_hash(&f, ret);
}

void told__add(struct told *t, enum grapheon_section s, struct str row)
{
    struct fact_digest h;

    hash_of(s, row, &h);
    fact_digest_add(&t->digest, &h);
    t->n++;
}

void told__sub(struct told *t, enum grapheon_section s, struct str row)
{
    struct fact_digest h;

    hash_of(s, row, &h);
    fact_digest_sub(&t->digest, &h);
    t->n--;
}
