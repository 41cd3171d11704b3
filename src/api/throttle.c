/* api/throttle.c - see throttle.h. A bucket is kept as the time at which it will be full again (the
 * virtual-scheduling form of a leaky bucket): one number, no refill timer. */
#include "api/throttle.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/table.h"

struct bucket {
    uint64_t key;   /* siphash of the name: a peer cannot aim at a stranger's bucket */
    usec_t full_at; /* in the past: full */
    UT_hash_handle hh;
};
struct throttle {
    struct bucket *table;
    size_t n_keys;
    uint32_t burst;
    usec_t every;
    uint8_t seed[16];
};

struct throttle *throttle_new(size_t n_keys, uint32_t burst, usec_t every)
{
    struct throttle *t = xnew0(struct throttle);

    assert(n_keys > 0);
    *t = (struct throttle){ .n_keys = n_keys, .burst = burst ? burst : 1, .every = every };
    rand_bytes(t->seed, sizeof(t->seed));
    return t;
}

void throttle_free(struct throttle *t)
{
    struct bucket *b, *next;

    if (!t)
        return;
    HASH_ITER(hh, t->table, b, next)
    {
        HASH_DEL(t->table, b);
        free(b);
    }
    free(t);
}

void throttle_set(struct throttle *t, uint32_t burst, usec_t every)
{
    t->burst = burst ? burst : 1;
    t->every = every;
}

/* Drops every full bucket; if none is, the fullest. */
static void make_room(struct throttle *t, usec_t now)
{
    struct bucket *b, *next, *fullest = NULL;

    HASH_ITER(hh, t->table, b, next)
    {
        if (b->full_at <= now) {
            HASH_DEL(t->table, b);
            free(b);
        } else if (!fullest || b->full_at < fullest->full_at) {
            fullest = b;
        }
    }
    if (HASH_COUNT(t->table) >= t->n_keys && fullest) {
        HASH_DEL(t->table, fullest);
        free(fullest);
    }
}

static struct bucket *find(const struct throttle *t, struct str key)
{
    uint64_t k = siphash(t->seed, key);
    struct bucket *b;

    HASH_FIND(hh, t->table, &k, sizeof(k), b);
    return b;
}

static usec_t wait_of(const struct throttle *t, const struct bucket *b, usec_t now)
{
    usec_t full_at = b && b->full_at > now ? b->full_at : now;
    usec_t room = (usec_t)t->burst * t->every; /* how far ahead full_at may be */
    usec_t after = full_at - now + t->every;

    return after > room ? after - room : 0;
}

usec_t throttle_peek(struct throttle *t, struct str key, usec_t now)
{
    return t->every == 0 ? 0 : wait_of(t, find(t, key), now);
}

usec_t throttle_take(struct throttle *t, struct str key, usec_t now)
{
    struct bucket *b;
    usec_t wait;

    if (t->every == 0)
        return 0;

    b = find(t, key);
    wait = wait_of(t, b, now);
    if (wait > 0)
        return wait;

    if (!b) {
        if (HASH_COUNT(t->table) >= t->n_keys)
            make_room(t, now);
        b = xnew0(struct bucket);
        b->key = siphash(t->seed, key);
        HASH_ADD(hh, t->table, key, sizeof(b->key), b);
    }
    b->full_at = (b->full_at > now ? b->full_at : now) + t->every;
    return 0;
}

void throttle_return(struct throttle *t, struct str key, usec_t now)
{
    struct bucket *b = find(t, key);

    if (b && b->full_at > now)
        b->full_at = b->full_at - now > t->every ? b->full_at - t->every : now;
}

struct str throttle_address(const char *addr, char dst[64])
{
    struct in6_addr a6;

    if (inet_pton(AF_INET6, addr, &a6) == 1 && !IN6_IS_ADDR_V4MAPPED(&a6) && !IN6_IS_ADDR_LOOPBACK(&a6)) {
        for (int i = 8; i < 16; i++)
            a6.s6_addr[i] = 0;
        if (inet_ntop(AF_INET6, &a6, dst, 64))
            return str_of(dst);
    }
    (void)snprintf(dst, 64, "%s", addr);
    return str_of(dst);
}
