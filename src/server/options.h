/* server/options.h - what musterd can be told: one table for flags, environment, file, --help, the manual
 * page and reload. */
#ifndef MUSTER_SERVER_OPTIONS_H
#define MUSTER_SERVER_OPTIONS_H

#include "base/conf.h"
#include "base/log.h"

struct options {
    bool dev;
    char *config, *state_dir, *listen;
    char *tls_cert, *tls_key;
    struct conf_map tls_names;
    struct conf_map trusted_proxies;
    int log_level, log_format, log_rotation;
    char *log_file;
    uint32_t log_retention_days;
    bool metrics;
    usec_t heartbeat, pending_ttl, cert_ttl, job_deadline, away_limit, keep, keep_audit;
    uint32_t beats_per_s, max_tasks, refusals_per_s, login_per_min, enroll_per_s, connect_per_s,
        checkin_per_s, operator_per_s;
    uint64_t output_cap, quota, output_per_s;
    uint32_t max_connections;
    /* foreign accents */
    struct conf_map http_listen;
    bool http_plain, http_client_certs, require_https, sigma_heartbeat_creates, sigma_allow_loopback, grapheon_strict, argus_sign_up;
    usec_t argus_agent_life;
    uint64_t grapheon_max_report;
    char *grapheon_key_header;
};
extern const struct conf_table options_table;

/* Where the gRPC port is: PORT+1 is WebSocket, PORT+2 HTTP; port 0 takes three free ones. */
struct listen_at {
    char addr[64];
    uint16_t port;
    bool is_loopback;
};

/* Defaults, file, environment and flags (the last win) into @c and @o. Words that are no flags go to @words
 * (at most @max; their number to *@ret_n). CONF_OK, CONF_HELP, CONF_VERSION; or -errno and @err. */
int options_load(struct conf *c, struct options *o, int argc, char **argv, const char **words, size_t max,
                 size_t *ret_n, struct err *err);
/* One of http_listen's: any numeric address. 0 or -EINVAL and @err. */
int options_http_listen(const struct options *o, size_t i, struct listen_at *ret, struct err *err);
/* The same for a reload: flags as at the start. */
int options_listen(const struct options *o, struct listen_at *ret, struct err *err);
/* The state directory: as told, else by mode. */
const char *options_state_dir(const struct options *o);
void options_log_conf(const struct options *o, struct log_conf *ret);

#endif
