/* agent/options.h - the option table of muster-agent: flags, environment, file and manual page from the same rows. */
#ifndef MUSTER_AGENT_OPTIONS_H
#define MUSTER_AGENT_OPTIONS_H

#include "base/conf.h"
#include "base/log.h"

struct options {
    char *config, *server, *state_dir, *token, *token_file, *ca, *policy, *hold;
    struct conf_map labels, label; /* of the file; of the command line (they win) */
    int log_level, log_format;
    char *log_file;
    uint64_t spool_max;
    char *port_scan, *metrics_listen, *metrics_token;
    usec_t port_scan_interval;
    int port_scan_method;
    uint32_t port_scan_max;
    bool man;
};
extern const struct conf_table options_table;

/* Defaults, file, environment, flags (before and behind the subcommand). Outcomes as conf_flags(); *@ret_sub is the subcommand or NULL.
 * -errno and @err otherwise. Release with conf_done(@c), also after a failure. */
int options_load(struct conf *c, struct options *o, int argc, char **argv, const char **ret_sub, struct err *err);

#define OPTIONS_CONFIG "/etc/muster/agent.yaml"
#define OPTIONS_POLICY "/etc/muster/policy.yaml"

#endif
