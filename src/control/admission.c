/* control/admission.c - token buckets. Loop thread. */
#include "control/core.h"

static void fill(struct rate *r, double per_s, double burst)
{
    if (r->per_s == 0)
        r->per_s = per_s;
    if (r->burst == 0)
        r->burst = burst;
}

void admission_defaults(struct admission_conf *conf)
{
    fill(&conf->enroll_address, 10.0 / 60, 20);
    fill(&conf->enroll_work, 20, 100);
    fill(&conf->login, 10.0 / 60, 10);
    fill(&conf->auth_failure, 1, 5);
    fill(&conf->auth_failures, 20, 1000);
    fill(&conf->connect, 5000, 20000);
    fill(&conf->connect_host, 2, 20);
    fill(&conf->checkin, 500, 2000);
    fill(&conf->output_bytes, 32 << 20, 64 << 20);
    fill(&conf->operators, 2000, 10000);
}

static void refill(struct bucket *b, const struct rate *r, usec_t now_mono)
{
    uint32_t now_ms = (uint32_t)(now_mono / USEC_PER_MS);
    if (!b->used) {
        *b = (struct bucket){ .level = (float)r->burst, .at_ms = now_ms, .used = true };
        return;
    }
    uint32_t passed = now_ms - b->at_ms;
    if (passed == 0)
        return;
    double level = b->level + passed / 1000.0 * r->per_s;
    /* A gain too small for a float would be lost for ever if the time were taken as spent. */
    if ((float)level == b->level && level < r->burst)
        return;
    b->level = (float)(level > r->burst ? r->burst : level);
    b->at_ms = now_ms;
}

static usec_t wait_for(const struct rate *r, double missing)
{
    double s = missing / r->per_s;
    return s > 3600 ? USEC_PER_HOUR : (usec_t)(s * (double)USEC_PER_SEC) + USEC_PER_MS;
}

bool bucket_take(struct bucket *b, const struct rate *r, usec_t now_mono, double cost, usec_t *ret_wait)
{
    refill(b, r, now_mono);
    if (b->level < cost) {
        if (ret_wait)
            *ret_wait = wait_for(r, cost - b->level);
        return false;
    }
    b->level -= (float)cost;
    return true;
}

usec_t bucket_charge(struct bucket *b, const struct rate *r, usec_t now_mono, double cost)
{
    refill(b, r, now_mono);
    b->level -= (float)cost;
    return b->level >= 0 ? 0 : wait_for(r, -b->level);
}

struct keyed_bucket {
    struct bucket b;
    UT_hash_handle hh;
    uint32_t len;
    char key[];
};
struct admission {
    struct keyed_bucket *table;
    uint32_t max_keys;
};

struct admission *admission_new(uint32_t max_keys)
{
    struct admission *a = xnew0(struct admission);
    a->max_keys = max_keys;
    return a;
}

static void drop(struct admission *a, struct keyed_bucket *k)
{
    HASH_DEL(a->table, k);
    free(k);
}

void admission_free(struct admission *a)
{
    if (!a)
        return;
    while (a->table)
        drop(a, a->table);
    free(a);
}

bool admission_take(struct admission *a, char kind, struct str key, const struct rate *r, usec_t now_mono,
                    usec_t *ret_wait)
{
    char text[96];
    uint32_t len = (uint32_t)(key.len < sizeof(text) - 1 ? key.len : sizeof(text) - 1);
    text[0] = kind;
    if (len)
        memcpy(text + 1, key.ptr, len);
    len++;

    struct keyed_bucket *k;
    HASH_FIND(hh, a->table, text, len, k);
    if (!k) {
        if (HASH_COUNT(a->table) >= a->max_keys)
            drop(a, a->table); /* the table's own order is the order of adding */
        k = xcalloc(1, sizeof(*k) + len);
        k->len = len;
        memcpy(k->key, text, len);
        HASH_ADD_KEYPTR(hh, a->table, k->key, len, k);
    }
    return bucket_take(&k->b, r, now_mono, 1, ret_wait);
}
