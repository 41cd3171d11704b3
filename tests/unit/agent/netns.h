/* tests/unit/agent/netns.h - a network namespace for this program alone, where that is allowed. Call before any thread is made. */
#ifndef TEST_NETNS_H
#define TEST_NETNS_H

#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"

static inline bool go_alone(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_RUNNING };
    AUTO_FD int fd = -1;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    (void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lo");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
}

#endif
