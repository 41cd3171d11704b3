/* agent/dialects/sigma.h - private between the sigma*.c files: muster-agent as sigma-agent (docs/wire/sigma.md). Loop thread. */
#ifndef MUSTER_AGENT_DIALECTS_SIGMA_H
#define MUSTER_AGENT_DIALECTS_SIGMA_H

#include <netinet/in.h>

#include "agent/dialects/personality.h"
#include "agent/ports.h"
#include "base/conf.h"
#include "wire/dialects/sigma.h"

/* -- sigma.c */
/* Heartbeats lie on a grid of @every (above 0) that @due is on: the first point of it that is after @now and not before @not_before. */
usec_t sigma_next_beat(usec_t due, usec_t every, usec_t now, usec_t not_before);

/* -- sigma_options.c */
struct sigma_options {
    char *api_url, *api_key, *ca_file, *hostname, *alias, *port_scan_range, *public_ip, *public_ip_url, *metrics_bind, *metrics_token,
        *log, *root, *state_dir;
    uint32_t interval_s, ssh_port, metrics_port, port_scan_interval_s, max_allocate;
    bool port_scan, keep_172, port_requests, man;
    int scan_method, scan_owners;
    usec_t auth_backoff, request_timeout;
    struct conf_map sources;
    /* made from the above */
    uint16_t first, last; /* when port_scan */
};
extern const struct conf_table sigma_options_table;
/* Flags, then environment. Outcomes as conf_flags(); -EINVAL and @err: exit code 2. Release with conf_done(), also after a failure. */
int sigma_options_load(struct conf *c, struct sigma_options *o, int argc, char **argv, struct err *err);
/* The level an env_logger-like filter asks for ("warn", "sigma_agent=debug,info"); info when it asks for none. */
int sigma_log_level(const char *filter);
/* What this host is called: the option, the file a container mounts, the kernel. Malloced. */
char *sigma_hostname(const struct sigma_options *o);

/* -- sigma_addresses.c */
struct sigma_address {
    char ip[INET6_ADDRSTRLEN];
    const char *label; /* "", "internal", "cgnat": static */
};
struct sigma_addresses {
    struct sigma_address v[ASSET_ADDRESSES]; /* ascending by text, each once */
    size_t n;
    bool is_cut;
};
/* /proc/net/fib_trie, a line at a time (a src_line_fn). */
struct fib_trie {
    struct sigma_addresses *to;
    bool keep_172;
    char prefix[20]; /* of the line before; empty: none */
};
int fib_trie_line(void *fib_trie, struct str line);
/* The host's IPv4 addresses; without a table: none. With @keep_172 those of container bridges (docker0, br-*, veth*) are left out by their
 * interface instead of the whole of 172.16/12. */
void sigma_addresses_read(const char *root, bool keep_172, struct sigma_addresses *ret);
/* One more, in its place; repeats are ignored. False: no address, or no room. */
bool sigma_addresses_add(struct sigma_addresses *a, struct str ip);
/* True if one of them can be reached from the internet. */
bool sigma_addresses_have_public(const struct sigma_addresses *a);
bool sigma_addresses_eq(const struct sigma_addresses *a, const struct sigma_addresses *b);

/* -- sigma_lookup.c: what the internet calls us */
struct sigma_lookup;
/* @urls: comma-separated, asked in turn, 5 s each. @done once, later: the address, or empty. */
struct sigma_lookup *sigma_lookup_new(struct loop *l, const char *urls, const char *ca_file, void (*done)(void *ctx, struct str ip), void *ctx);
void sigma_lookup_free(struct sigma_lookup *k); /* without a call of done(); safe inside it */

/* -- sigma_info.c */
/* The object system_info; @scan NULL: no port scan, else @max_count is the most one allocation may ask for. */
struct jw;
void sigma_info_write(const char *root, uint16_t metrics_port, const struct port_scan *scan, uint32_t max_count, struct jw *w);

/* -- sigma_talk.c: requests to the server, same-origin redirects followed with the key, others not */
struct sigma_talk;
struct sigma_talk_conf {
    struct loop *loop;
    const char *api_url, *api_key, *ca_file; /* key NULL: no header */
    usec_t total_timeout;
};
int sigma_talk_new(const struct sigma_talk_conf *conf, struct sigma_talk **ret, struct err *err);
void sigma_talk_free(struct sigma_talk *t);
/* One at a time. @body empty: GET. @timeout 0: the conf's. @done gets the last reply. */
void sigma_talk_send(struct sigma_talk *t, const char *path, struct str body, usec_t timeout, outbound_fn done, void *ctx);
/* What the server says is wrong, for people: its "error" when that is text, else the beginning of the body, else why there is none. */
void sigma_talk_why(const struct outbound_reply *r, char *dst, size_t size);

/* -- sigma_queue.c: questions about ports that are fetched (hosts behind NAT) */
struct sigma_queue;
struct sigma_queue_conf {
    struct loop *loop;
    struct sigma_talk *talk; /* its own: a long poll must not hold up heartbeats. Taken over */
    const char *hostname;    /* lent */
    struct ports *ports;     /* lent; freed before the queue */
    usec_t auth_backoff;
};
struct sigma_queue *sigma_queue_new(const struct sigma_queue_conf *conf);
void sigma_queue_free(struct sigma_queue *q);
/* Begins to ask, or goes on after a 404 switched it off. */
void sigma_queue_start(struct sigma_queue *q);
/* The server has just taken a heartbeat or a registration: one that rests because the server was away or knew no such host asks now. */
void sigma_queue_known(struct sigma_queue *q);

#endif
