/* agent/collect/beat.c - the heartbeat's sample: loadavg, stat, meminfo, uptime and one statvfs(); about 60 us. */
#include "agent/collect/source.h"

#include <errno.h>
#include <sys/statvfs.h>

/* cpu  user nice system idle iowait irq softirq steal guest guest_nice: guest time is already in user time. */
int beat__stat_line(void *ctx, struct str line)
{
    struct cpu_times *t = ctx;
    struct str word;
    if (!str_word(&line, &word) || !str_is(word, "cpu"))
        return 1;
    uint64_t v[8] = { 0 }, total = 0;
    for (size_t i = 0; i < 8 && str_word(&line, &word); i++) {
        if (str_to_u64(word, &v[i]) < 0 || v[i] > UINT64_MAX / 16)
            return 1;
        total += v[i];
    }
    *t = (struct cpu_times){ .total = total, .idle = v[3] + v[4], .is_found = total > 0 };
    return 1;
}

static int on_load(void *ctx, struct str line)
{
    struct heartbeat *h = ctx;
    double *dst[] = { &h->load1, &h->load5, &h->load15 };
    struct str word;
    for (size_t i = 0; i < 3; i++)
        if (!str_word(&line, &word) || str_to_f64(word, dst[i]) < 0 || *dst[i] < 0)
            return -EBADMSG;
    return 1;
}

static int on_uptime(void *ctx, struct str line)
{
    struct heartbeat *h = ctx;
    struct str word;
    double seconds;
    if (!str_word(&line, &word) || str_to_f64(word, &seconds) < 0 || seconds < 0 || seconds >= 1e12)
        return -EBADMSG;
    h->uptime_s = (uint64_t)seconds;
    return 1;
}

int collect_beat(struct beat_state *st, const char *root, struct heartbeat *ret)
{
    *ret = (struct heartbeat){ 0 };
    struct cpu_times now = { 0 };
    int r = src__file_lines(root, "/proc/stat", beat__stat_line, &now);
    if (r < 0)
        return r;
    if (!now.is_found)
        return -EBADMSG;
    /* idle may step back by a tick when a processor goes offline */
    if (st->cpu_total && now.total > st->cpu_total && now.idle >= st->cpu_idle) {
        uint64_t total = now.total - st->cpu_total, idle = now.idle - st->cpu_idle;
        /* the share first: 100 * a / a may round to more than 100 */
        ret->cpu_pct = idle >= total ? 0 : 100.0 * ((double)(total - idle) / (double)total);
    }
    st->cpu_total = now.total;
    st->cpu_idle = now.idle;

    struct meminfo m;
    int load = src__file_lines(root, "/proc/loadavg", on_load, ret), uptime = src__file_lines(root, "/proc/uptime", on_uptime, ret),
        memory = memory__read(root, &m);
    if (load == -EBADMSG || uptime == -EBADMSG || memory == -EBADMSG) /* what is not there is another thing: a container hides some */
        return -EBADMSG;
    if (memory == 0) {
        ret->memory_total_bytes = m.total;
        ret->memory_used_bytes = m.total - m.available;
    }
    struct statvfs fs;
    if (statvfs(root && *root ? root : "/", &fs) == 0) {
        ret->disk_total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        ret->disk_used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    }
    return 0;
}
