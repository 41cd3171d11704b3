/* api/throttle.h - token buckets per key (an address, a name) in a table of fixed size. Pure: time is an
 * argument.
 *
 * The table never grows: when it is full the fullest bucket goes, which is the one whose owner is owed the
 * least patience; an attacker with many addresses can wash out only buckets that are no longer limiting
 * anybody (or, at worst, get one fresh burst per table turn). */
#ifndef MUSTER_API_THROTTLE_H
#define MUSTER_API_THROTTLE_H

#include <stdbool.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"

struct throttle;

/* @burst tokens at once, one more every @every; @n_keys buckets at most. @every 0: no limit. */
struct throttle *throttle_new(size_t n_keys, uint32_t burst, usec_t every);
void throttle_free(struct throttle *t);
DEFINE_AUTO(struct throttle *, throttle_free)
/* Other figures from now on; buckets keep their level. */
void throttle_set(struct throttle *t, uint32_t burst, usec_t every);
/* Takes one token of @key: 0, or the time to wait until there is one (and nothing is taken). @now monotonic.
 */
usec_t throttle_take(struct throttle *t, struct str key, usec_t now);
/* As throttle_take, but only looks. */
usec_t throttle_peek(struct throttle *t, struct str key, usec_t now);
/* Gives one back (the attempt was a good one). */
void throttle_return(struct throttle *t, struct str key, usec_t now);
/* The key under which an address is counted: itself; an IPv6 address by its first 64 bits. @dst >= 64. */
struct str throttle_address(const char *addr, char dst[64]);

#endif
