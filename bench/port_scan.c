/* port_scan - how long a scan of a range takes by each method, alone and with many listeners, for docs/performance.md.
 *
 *   port_scan [-p FIRST-LAST] [-l LISTENERS] [-r ROUNDS]
 *
 * Prints one line of JSON: listeners, and by method the median and the slowest round in milliseconds, and how many ports were used.
 * Run it in a network namespace of its own, with RLIMIT_NOFILE above the listeners. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "agent/ports.h"
#include "base/mem.h"

static int by_time(const void *a, const void *b)
{
    const usec_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Every third port, from the first on. */
static int listen_on(uint16_t first, uint16_t last, uint32_t n)
{
    uint32_t port = first;

    for (uint32_t i = 0; i < n; i++, port += 3) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = { htonl(INADDR_LOOPBACK) } };

        if (port > last || fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 1) < 0) {
            (void)fprintf(stderr, "port_scan: listener %u on %u: %s\n", i, port, strerror(port > last ? ERANGE : errno));
            return -1;
        }
    }
    return 0;
}

static int measure(enum port_method m, uint16_t first, uint16_t last, uint32_t rounds)
{
    AUTO_FREE uint8_t *bitmap = xcalloc(8193, 1);
    AUTO_FREE usec_t *took = xcalloc(rounds, sizeof(*took));
    struct err err = { 0 };
    uint32_t used = 0;

    for (uint32_t i = 0; i < rounds; i++) {
        usec_t began = clock_mono(&clock_real);

        if (port_scan_run(m, "", first, last, bitmap, &err) < 0) {
            (void)fprintf(stderr, "port_scan: %s\n", err.text);
            return -1;
        }
        took[i] = clock_mono(&clock_real) - began;
    }
    for (uint32_t i = 0; i <= (uint32_t)(last - first); i++)
        used += bitmap[i >> 3] >> (i & 7) & 1;
    qsort(took, rounds, sizeof(*took), by_time);
    (void)printf(", \"%s\": {\"median_ms\": %.3f, \"slowest_ms\": %.3f, \"used\": %u}", name_of(port_method_names, (int)m),
                 (double)took[rounds / 2] / 1000, (double)took[rounds - 1] / 1000, used);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned first = 10000, last = 30000, listeners = 0, rounds = 21;
    struct rlimit files = { 65536, 65536 };
    int opt;

    while ((opt = getopt(argc, argv, "p:l:r:")) != -1) {
        bool is_ok = true;

        if (opt == 'p')
            is_ok = sscanf(optarg, "%u-%u", &first, &last) == 2 && first >= 1 && first <= last && last <= UINT16_MAX;
        else if (opt == 'l')
            is_ok = sscanf(optarg, "%u", &listeners) == 1;
        else if (opt == 'r')
            is_ok = sscanf(optarg, "%u", &rounds) == 1 && rounds > 0;
        if (!is_ok || opt == '?') {
            (void)fprintf(stderr, "usage: port_scan [-p FIRST-LAST] [-l LISTENERS] [-r ROUNDS]\n");
            return 2;
        }
    }
    (void)setrlimit(RLIMIT_NOFILE, &files);
    if (listen_on((uint16_t)first, (uint16_t)last, listeners) < 0)
        return 1;
    (void)printf("{\"ports\": %u, \"listeners\": %u, \"rounds\": %u", last - first + 1, listeners, rounds);
    for (int m = PORT_BIND; m <= PORT_NETLINK; m++)
        if (measure((enum port_method)m, (uint16_t)first, (uint16_t)last, rounds) < 0)
            return 1;
    (void)printf("}\n");
    return 0;
}
