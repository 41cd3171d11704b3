/* server/health.h - what the service manager is told (sd_notify's protocol, without libsystemd). Core loop's
 * thread. */
#ifndef MUSTER_SERVER_HEALTH_H
#define MUSTER_SERVER_HEALTH_H

#include "base/clock.h"

struct health {
    int fd;           /* to NOTIFY_SOCKET; -1: nobody asked */
    usec_t watchdog;  /* WATCHDOG_USEC, 0: none */
    usec_t last_feed; /* monotonic */
    uint64_t fed_turn;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment. */
void health_init(struct health *h);
void health_done(struct health *h);
/* One datagram: "READY=1", "STATUS=..." lines. */
void health_notify(const struct health *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Feeds the watchdog when it is due, the loop has turned since (@n_turns) and the database answered lately
 * (@store_alive, monotonic). A disk that refuses writes answers too: only a hang starves the dog. */
void health_feed(struct health *h, usec_t now, uint64_t n_turns, usec_t store_alive);

#endif
