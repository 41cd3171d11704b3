/* fleet/presence.c - see presence.h. */
#include "fleet/presence.h"

const struct name presence_names[] = {
    { PRESENCE_NEVER, "never" },
    { PRESENCE_ONLINE, "online" },
    { PRESENCE_LATE, "late" },
    { PRESENCE_LOST, "lost" },
    NAMES_END,
};

static usec_t at_least(usec_t v, usec_t least)
{
    return v < least ? least : v;
}

static usec_t times(usec_t v, uint64_t n)
{
    usec_t r;
    return __builtin_mul_overflow(v, n, &r) ? USEC_NEVER : r;
}

static usec_t plus(usec_t a, usec_t b)
{
    usec_t r;
    return __builtin_add_overflow(a, b, &r) ? USEC_NEVER : r;
}

struct presence_rules presence_rules_for(usec_t heartbeat_every)
{
    return (struct presence_rules){
        .late_after = at_least(times(heartbeat_every, 2), 5 * USEC_PER_SEC),
        .lost_after = at_least(times(heartbeat_every, 4), 15 * USEC_PER_SEC),
    };
}

enum presence presence_at(const struct presence_rules *r, usec_t last_seen, bool has_link, usec_t now)
{
    if (last_seen == 0)
        return PRESENCE_NEVER;
    usec_t age = now > last_seen ? now - last_seen : 0;
    if (!has_link && age >= r->lost_after)
        return PRESENCE_LOST;
    return age >= r->late_after ? PRESENCE_LATE : PRESENCE_ONLINE;
}

usec_t presence_next(const struct presence_rules *r, usec_t last_seen, bool has_link, usec_t now)
{
    switch (presence_at(r, last_seen, has_link, now)) {
    case PRESENCE_ONLINE: {
        usec_t first = r->late_after;
        if (!has_link && r->lost_after < first)
            first = r->lost_after;
        return plus(last_seen, first);
    }
    case PRESENCE_LATE:
        return has_link ? USEC_NEVER : plus(last_seen, r->lost_after);
    case PRESENCE_NEVER:
    case PRESENCE_LOST:
        break;
    }
    return USEC_NEVER;
}

usec_t presence_over_restart(usec_t last_seen, usec_t unsaved, usec_t newest, usec_t start)
{
    if (last_seen == 0 || last_seen >= start)
        return last_seen;
    usec_t age = newest > last_seen ? newest - last_seen : 0;
    age = age > unsaved ? age - unsaved : 0;
    return age < start - last_seen ? start - age : last_seen;
}

enum status { STATUS_READY, STATUS_BUSY, STATUS_STALE, STATUS_DISCONNECTED };
const struct name presence_status_names[] = {
    { STATUS_READY, "ready" },
    { STATUS_BUSY, "busy" },
    { STATUS_STALE, "stale" },
    { STATUS_DISCONNECTED, "disconnected" },
    NAMES_END,
};

static enum status status_of(enum presence p, uint32_t running_tasks)
{
    switch (p) {
    case PRESENCE_ONLINE:
        return running_tasks > 0 ? STATUS_BUSY : STATUS_READY;
    case PRESENCE_LATE:
        return STATUS_STALE;
    case PRESENCE_NEVER:
    case PRESENCE_LOST:
        break;
    }
    return STATUS_DISCONNECTED;
}

const char *presence_status(enum presence p, uint32_t running_tasks)
{
    return name_of(presence_status_names, status_of(p, running_tasks));
}

bool presence_is_status(struct str word)
{
    return name_value(presence_status_names, word) >= 0;
}

usec_t presence_interval(usec_t base, uint64_t n_hosts, uint32_t beats_per_s)
{
    if (beats_per_s == 0)
        return base;
    usec_t needed = times(n_hosts, USEC_PER_SEC);
    /* up, to a whole millisecond: that is what travels */
    needed = needed / beats_per_s + (needed % beats_per_s != 0);
    if (needed <= base)
        return base;
    return plus(needed, USEC_PER_MS - 1) / USEC_PER_MS * USEC_PER_MS;
}

usec_t presence_reconnect_slot(uint64_t i, uint64_t n, uint32_t per_s)
{
    if (per_s == 0 || n == 0)
        return 0;
    return times(i % n, USEC_PER_SEC) / per_s;
}

/* -- samples */

static bool is_load(double v)
{
    return v >= 0 && v < 1e7; /* false for NaN */
}

static bool is_count(uint64_t v)
{
    return v <= UINT64_C(1) << 53;
}

static bool is_believable(const struct heartbeat *b)
{
    return is_load(b->load1) && is_load(b->load5) && is_load(b->load15) && is_load(b->cpu_pct) &&
           is_count(b->memory_used_bytes) && is_count(b->memory_total_bytes) && is_count(b->disk_used_bytes) &&
           is_count(b->disk_total_bytes) && is_count(b->uptime_s);
}

struct heartbeat heartbeat_checked(const struct heartbeat *b)
{
    if (is_believable(b))
        return *b;
    return (struct heartbeat){
        .running_tasks = b->running_tasks,
        .queued_tasks = b->queued_tasks,
        .roles_failed = b->roles_failed,
        .ports = b->ports,
        .metrics = OFFER_NO,
    };
}
