/* agent/roles/metrics.c - load, CPU, memory and disk of this host, sampled when a heartbeat is made: no timer of its own. */
#include <errno.h>

#include "agent/collect/collect.h"
#include "agent/roles.h"
#include "base/mem.h"

struct metrics {
    const struct role_env *env;
    struct beat_state beat;
    bool has_failed;
};

static void metrics_sample(struct metrics *m, Muster__V1__Heartbeat *to)
{
    struct heartbeat b;
    int r = collect_beat(&m->beat, m->env->root, &b);

    if (r < 0) {
        m->env->set_health(m->env->host, m, ROLE_FAILED,
                           r == -EBADMSG ? "/proc/stat, loadavg, uptime or meminfo cannot be understood" : strerror(-r));
        m->has_failed = true;
        return;
    }
    if (m->has_failed)
        m->env->set_health(m->env->host, m, ROLE_OK, "");
    m->has_failed = false;
    to->load1 = b.load1;
    to->load5 = b.load5;
    to->load15 = b.load15;
    to->cpu_percent = b.cpu_pct;
    to->memory_used_bytes = b.memory_used_bytes;
    to->memory_total_bytes = b.memory_total_bytes;
    to->disk_used_bytes = b.disk_used_bytes;
    to->disk_total_bytes = b.disk_total_bytes;
    to->uptime_seconds = b.uptime_s;
}

static int metrics_start(const struct role_env *env, void **ret_self, struct err *err)
{
    struct metrics *m = xnew0(struct metrics);

    (void)err;
    m->env = env;
    *ret_self = m;
    return 0;
}

static void metrics_message(void *self, const struct role_msg *msg)
{
    if (msg->kind == ROLE_MSG_BEAT)
        metrics_sample(self, msg->beat);
}

static void metrics_stop(void *self)
{
    free(self);
}

const struct role role_metrics = {
    .abi = ROLE_ABI, .size = sizeof(struct role),
    .name = "metrics", .contexts = ROLE_SYSTEM,
    .start = metrics_start, .message = metrics_message, .stop = metrics_stop,
};
