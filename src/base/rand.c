/* base/rand.c - see rand.h. */
#include "base/rand.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void rand_bytes(void *dst, size_t n)
{
    uint8_t *p = dst;
    while (n) {
        ssize_t r = getrandom(p, n, 0);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            abort(); /* keys from a machine without randomness would be worse than no server */
        p += r;
        n -= (size_t)r;
    }
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof(v));
    return v;
}

uint64_t rand_below(uint64_t n)
{
    assert(n > 0);
    /* values under 2^64 mod n would make the small results likelier */
    uint64_t floor = (0 - n) % n, v;
    do
        v = rand_u64();
    while (v < floor);
    return v % n;
}
