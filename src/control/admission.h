/* control/admission.h - how much of one kind of call is let in: token buckets, global, per address, per
 * principal, per link.
 *
 * A bucket holds at most @burst and gains @per_s every second of monotonic time. Buckets by key (address,
 * token) live in a bounded table; the key that was new longest ago goes first, which can only make the limit
 * milder. Loop thread. */
#ifndef MUSTER_CONTROL_ADMISSION_H
#define MUSTER_CONTROL_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct rate {
    double per_s, burst;
};
/* Every admission limit of control; all-zero rates are replaced by the defaults on the right. */
struct admission_conf {
    struct rate
        enroll_address;       /* new keys without a valid install token, per address: 10 a minute, burst 20 */
    struct rate enroll_work;  /* requests looked at (a CSR costs 0.1 ms) without a valid token, per address:
                                 20/s, burst 100 */
    struct rate login;        /* attempts per address, and per user name: 10 a minute, burst 10 */
    struct rate auth_failure; /* audit rows for bad credentials, per address: 1/s, burst 5 */
    struct rate auth_failures; /* the same, all addresses: 20/s, burst 1000 */
    struct rate connect;      /* hellos, all links: 5000/s, burst 20000 */
    struct rate connect_host; /* hellos of one host: 2/s, burst 20 */
    struct rate checkin;      /* numbered messages, per link: 500/s, burst 2000; beyond it reading pauses */
    struct rate output_bytes; /* output, per link: 32 MiB/s, burst 64 MiB; beyond it reading pauses */
    struct rate operators;    /* calls per principal: 2000/s, burst 10000 */
};
void admission_defaults(struct admission_conf *conf);

struct bucket {
    float level;    /* may be negative: a debt, see bucket_charge() */
    uint32_t at_ms; /* of monotonic time, wraps after 49 days: a bucket untouched for longer is full anyway */
    bool used;
};
/* Takes @cost if it is there: true; else false and *@ret_wait (may be NULL) is when it will be. */
bool bucket_take(struct bucket *b, const struct rate *r, usec_t now_mono, double cost, usec_t *ret_wait);
/* Takes @cost in any case; returns how long to wait until the level is positive again, 0 if it is. */
usec_t bucket_charge(struct bucket *b, const struct rate *r, usec_t now_mono, double cost);

struct admission; /* buckets by key */
struct admission *admission_new(uint32_t max_keys);
void admission_free(struct admission *a);
/* bucket_take() of the bucket of (@kind, @key). */
bool admission_take(struct admission *a, char kind, struct str key, const struct rate *r, usec_t now_mono,
                    usec_t *ret_wait);

#endif
