/* fleet/presence.h - online, late, lost: by server time only. Pure. */
#ifndef MUSTER_FLEET_PRESENCE_H
#define MUSTER_FLEET_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/names.h"
#include "base/str.h"
#include "wire/checkin.h"

enum presence { PRESENCE_NEVER, PRESENCE_ONLINE, PRESENCE_LATE, PRESENCE_LOST };
extern const struct name presence_names[]; /* never online late lost */

struct presence_rules {
    usec_t late_after;  /* without a beat although the link lives, or since it broke */
    usec_t lost_after;
};
/* From the heartbeat interval: late after 2 missed beats (at least 5 s), lost after 4 (at least 15 s). */
struct presence_rules presence_rules_for(usec_t heartbeat_every);

/* What a host is at @now. @last_seen 0: never seen. A live link keeps it from being lost (a stuck agent is late). */
enum presence presence_at(const struct presence_rules *r, usec_t last_seen, bool has_link, usec_t now);
/* When the answer may change without new input: absolute time, USEC_NEVER if not. */
usec_t presence_next(const struct presence_rules *r, usec_t last_seen, bool has_link, usec_t now);

/* Over a restart of the server. @last_seen is what the books had when it started at @start, @unsaved how much newer it may have been and
 * not saved, @newest the newest sighting in them, i.e. when the last server stopped as far as is known; all wall time. From when to count
 * now: what was not saved counts against nobody, nor does the time that there was no server. Never before @last_seen; that itself if it
 * is 0 or not before @start. */
usec_t presence_over_restart(usec_t last_seen, usec_t unsaved, usec_t newest, usec_t start);

/* The guide's status words: ready, busy, stale, disconnected. */
const char *presence_status(enum presence p, uint32_t running_tasks);
extern const struct name presence_status_names[];
/* Is @word one of them? */
bool presence_is_status(struct str word);

/* Server-driven heartbeat interval: @base up to @n_hosts that keep the server below @beats_per_s, then stretched. */
usec_t presence_interval(usec_t base, uint64_t n_hosts, uint32_t beats_per_s);
/* Reconnect slot for host number @i of @n before a planned stop: spread so that @per_s come back a second. */
usec_t presence_reconnect_slot(uint64_t i, uint64_t n, uint32_t per_s);

/* A sample as it is kept. One with a number that no machine has (not finite, negative, beyond what JSON's readers hold exactly) says
 * nothing: its numbers are 0 and its metrics OFFER_NO, the rest of it stands. */
struct heartbeat heartbeat_checked(const struct heartbeat *b);

#endif
