/* base/uuid.c - see uuid.h. */
#include "base/uuid.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/rand.h"
#include "base/text.h"

static void stamp(struct uuid *u, uint8_t version)
{
    u->b[6] = (uint8_t)((u->b[6] & 0x0f) | version << 4);
    u->b[8] = (uint8_t)((u->b[8] & 0x3f) | 0x80);
}

struct uuid uuid_v4(void)
{
    struct uuid u;
    rand_bytes(u.b, sizeof(u.b));
    stamp(&u, 4);
    return u;
}

struct uuid uuid_v7(usec_t wall)
{
    /* The last one's milliseconds and 12-bit counter in one word (RFC 9562 section 6.2, method 1). A clock
     * that stepped back a little is carried forward by counting; one that stepped back far is believed. */
    static _Atomic uint64_t last_word;
    enum { SLACK_MS = 1000 };
    struct uuid u;
    rand_bytes(u.b, sizeof(u.b));
    uint64_t ms = wall / USEC_PER_MS & 0xffffffffffffULL;
    uint64_t fresh = ms << 12 | ((uint64_t)(u.b[6] & 0x07) << 8 | u.b[7]); /* half the counter is headroom */
    uint64_t last = atomic_load(&last_word), word;
    do
        word = fresh <= last && (last >> 12) - ms <= SLACK_MS ? last + 1 : fresh;
    while (!atomic_compare_exchange_weak(&last_word, &last, word));
    ms = word >> 12;
    for (int i = 0; i < 6; i++)
        u.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    u.b[6] = (uint8_t)(word >> 8 & 0x0f);
    u.b[7] = (uint8_t)word;
    stamp(&u, 7);
    return u;
}

void uuid_format(const struct uuid *u, char dst[UUID_TEXT_MAX])
{
    static const char hex[] = "0123456789abcdef";
    char *p = dst;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[u->b[i] >> 4];
        *p++ = hex[u->b[i] & 15];
    }
    *p = '\0';
}

int uuid_parse(struct str s, struct uuid *ret)
{
    static const uint8_t lens[] = { 4, 2, 2, 2, 6 };
    if (s.len != UUID_TEXT_LEN)
        return -EINVAL;
    struct uuid u;
    size_t at = 0, byte = 0;
    for (size_t i = 0; i < sizeof(lens); i++) {
        if (i && s.ptr[at++] != '-')
            return -EINVAL;
        if (hex_decode(str_sub(s, at, 2 * (size_t)lens[i]), u.b + byte, lens[i]) < 0)
            return -EINVAL;
        at += 2 * (size_t)lens[i];
        byte += lens[i];
    }
    *ret = u;
    return 0;
}

bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool uuid_is_nil(const struct uuid *a)
{
    static const struct uuid nil;
    return uuid_eq(a, &nil);
}
