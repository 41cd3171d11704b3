/* base/clock.h - time. usec_t is microseconds; which clock is in the name.
 *
 * A struct clock is passed where time is read, so that tests turn it by hand. */
#ifndef MUSTER_CLOCK_H
#define MUSTER_CLOCK_H

#include <stdint.h>

#include "base/str.h"

typedef uint64_t usec_t;

#define USEC_PER_MS ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define USEC_PER_MIN (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (3600 * USEC_PER_SEC)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_NEVER UINT64_MAX

struct clock {
    usec_t (*wall)(const struct clock *);      /* CLOCK_REALTIME since 1970 */
    usec_t (*monotonic)(const struct clock *); /* CLOCK_BOOTTIME-like, never steps */
    usec_t hand_wall, hand_mono;               /* of the hand-turned clock */
};

/* The machine's clocks. Any thread. */
extern const struct clock clock_real;
/* A clock that stands at @wall until clock_turn() moves both hands. */
struct clock clock_hand(usec_t wall);
void clock_turn(struct clock *c, usec_t by);

static inline usec_t clock_wall(const struct clock *c)
{
    return c->wall(c);
}
static inline usec_t clock_mono(const struct clock *c)
{
    return c->monotonic(c);
}

/* RFC 3339 UTC. "2026-11-22T05:56:45Z" (@fraction 0), or with 3 or 6 fraction digits. @dst >= 32 bytes. */
enum { CLOCK_TEXT_MAX = 32 };
void clock_format(usec_t wall, int fraction, char *dst);
/* Accepts any RFC 3339 offset and fraction. 0 or -EINVAL. */
int clock_parse(struct str s, usec_t *ret_wall);
/* "3s", "5m", "2h 10m", "4d": an age for people. @dst >= 32. */
void clock_format_age(usec_t age, char *dst);

#endif
