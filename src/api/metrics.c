/* api/metrics.c - see metrics.h. Names with agentic_ are the sandbox guide's (its section 8); every one here
 * is live. */
#include "api/metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/listen.h"

void metrics_label(struct buf *out, struct str s)
{
    AUTO(buf_done) struct buf clean = BUF(s.len * 4 + 16);

    if (utf8_lossy(&clean, s) < 0)
        return;
    for (size_t i = 0; i < clean.len; i++) {
        char c = (char)clean.ptr[i];

        if (c == '\\' || c == '"') {
            (void)buf_char(out, '\\');
            (void)buf_char(out, c);
        } else if (c == '\n') {
            (void)buf_cstr(out, "\\n");
        } else {
            (void)buf_char(out, (unsigned char)c < 0x20 ? ' ' : c);
        }
    }
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one_u64(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
    head(out, name, type, help);
    (void)buf_printf(out, "%s %" PRIu64 "\n", name, v);
}

static void one_f64(struct buf *out, const char *name, const char *type, const char *help, double v)
{
    head(out, name, type, help);
    (void)buf_printf(out, "%s %.6f\n", name, v);
}

static double seconds(usec_t us)
{
    return (double)us / 1e6;
}

/* -- the fleet */

static void write_fleet(const struct api *a, struct buf *out)
{
    struct fleet_counts n = { 0 };

    fleet_count(a->control, &n);
    one_f64(out, "agentic_uptime_seconds", "gauge", "Seconds since the server started.",
            seconds(api_now(a) - a->started_mono));
    one_u64(out, "agentic_agents_connected", "gauge", "Agents with a live link.", n.connected);
    head(out, "agentic_agents_by_status", "gauge", "Agents by status word.");
    (void)buf_printf(
        out,
        "agentic_agents_by_status{status=\"ready\"} %u\nagentic_agents_by_status{status=\"busy\"} %u\n"
        "agentic_agents_by_status{status=\"stale\"} %u\nagentic_agents_by_status{status=\"disconnected\"} "
        "%u\n",
        n.ready, n.busy, n.stale, n.disconnected);
    one_u64(out, "muster_hosts_total", "gauge", "Approved hosts.", n.total);
    one_u64(out, "muster_hosts_pending", "gauge", "Hosts that wait for an operator.", n.pending);
    one_u64(out, "muster_jobs_open", "gauge", "Jobs that are not over.", n.open_jobs);
    head(out, "muster_tasks_open", "gauge", "Tasks that are not done, by state.");
    (void)buf_printf(out, "muster_tasks_open{state=\"running\"} %u\nmuster_tasks_open{state=\"queued\"} %u\n",
                     n.running_tasks, n.queued_tasks);
}

static void write_commands(const struct control_stats *s, struct buf *out)
{
    static const char *const le[] = { "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "30", "60", "+Inf" };

    one_u64(out, "agentic_commands_total", "counter", "Commands that ended.", s->commands_total);
    head(out, "agentic_commands_by_result", "counter", "Commands that ended, by result.");
    (void)buf_printf(out,
                     "agentic_commands_by_result{result=\"success\"} %" PRIu64
                     "\nagentic_commands_by_result{result=\"failed\"} %" PRIu64 "\n",
                     s->commands_ok, s->commands_failed);
    one_f64(out, "agentic_commands_duration_seconds_sum", "counter", "Time commands ran on their hosts.",
            s->command_seconds_sum);
    head(out, "agentic_command_latency_seconds", "histogram", "From the request to the result.");
    for (size_t i = 0; i < ARRAY_SIZE(le); i++)
        (void)buf_printf(out, "agentic_command_latency_seconds_bucket{le=\"%s\"} %" PRIu64 "\n", le[i],
                         s->latency_bucket[i]);
    (void)buf_printf(
        out, "agentic_command_latency_seconds_sum %.6f\nagentic_command_latency_seconds_count %" PRIu64 "\n",
        s->latency_sum, s->latency_count);
}

static void write_control(const struct control_stats *s, struct buf *out)
{
    one_u64(out, "muster_heartbeats_total", "counter", "Heartbeats taken.", s->heartbeats);
    one_u64(out, "muster_reconnects_total", "counter", "Links that came back.", s->reconnects);
    one_u64(out, "muster_enroll_requests_total", "counter", "Enrolment requests.", s->enroll_requests);
    one_u64(out, "muster_enroll_refused_total", "counter", "Enrolment requests refused.", s->enroll_refused);
    one_u64(out, "muster_inventory_deltas_total", "counter", "Inventory reports taken.", s->inventory_deltas);
    one_u64(out, "muster_inventory_resyncs_total", "counter", "Sections asked for in full.",
            s->inventory_resyncs);
    one_u64(out, "muster_output_bytes_total", "counter", "Bytes of task output taken.", s->output_bytes);
    one_u64(out, "muster_events_total", "counter", "Events recorded.", s->events);
    one_u64(out, "muster_audit_rows_total", "counter", "Audit rows recorded.", s->audit_rows);
    one_u64(out, "muster_logins_failed_total", "counter", "Failed logins.", s->logins_failed);
}

struct agents_walk {
    struct buf *out;
    const char *name;
    double (*value)(const struct heartbeat *b);
};

static bool on_agent(void *ctx, const struct host_view *h)
{
    const struct agents_walk *w = ctx;
    double v;

    if (!h->has_beat || h->beat.metrics == OFFER_NO || !h->link.v)
        return true;
    v = w->value(&h->beat);
    (void)buf_printf(w->out, "%s{agent_id=\"%s\",name=\"", w->name, h->uuid);
    metrics_label(w->out, h->name);
    (void)buf_printf(w->out, "\"} %.4f\n", v);
    return true;
}

static double ratio(uint64_t used, uint64_t total)
{
    return total ? (double)used / (double)total : 0;
}

static double cpu_of(const struct heartbeat *b)
{
    return b->cpu_pct / 100;
}

static double memory_of(const struct heartbeat *b)
{
    return ratio(b->memory_used_bytes, b->memory_total_bytes);
}

static double disk_of(const struct heartbeat *b)
{
    return ratio(b->disk_used_bytes, b->disk_total_bytes);
}

static void write_agents(const struct api *a, struct buf *out)
{
    struct agents_walk walks[] = {
        { out, "agentic_agent_cpu_ratio", cpu_of },
        { out, "agentic_agent_memory_ratio", memory_of },
        { out, "agentic_agent_disk_ratio", disk_of },
    };

    for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
        head(out, walks[i].name, "gauge", "Of a connected agent, 0 to 1.");
        host_list(a->control, HOST_APPROVED, NULL, on_agent, &walks[i]);
    }
}

/* -- the floors below */

static void write_grpc(struct buf *out, const char *method, const uint64_t *by_code)
{
    for (int i = 0; i < 17; i++)
        if (by_code[i] || i == GRPC_OK)
            (void)buf_printf(out, "agentic_grpc_requests_total{method=\"%s\",code=\"%d\"} %" PRIu64 "\n",
                             method, i, by_code[i]);
}

static void write_surfaces(const struct api *a, struct buf *out)
{
    head(out, "agentic_grpc_requests_total", "counter", "gRPC calls by method and status code.");
    write_grpc(out, "Enroll", a->n.grpc_enroll);
    write_grpc(out, "Link", a->n.grpc_link);
    one_u64(out, "agentic_ws_connections_current", "gauge", "Open WebSocket connections.", a->n_ws);
    one_u64(out, "agentic_ws_connections_total", "counter", "WebSocket connections ever.", a->n.ws_total);
    head(out, "muster_http_requests_total", "counter", "HTTP replies by class.");
    for (int i = 2; i < 6; i++)
        (void)buf_printf(out, "muster_http_requests_total{code=\"%dxx\"} %" PRIu64 "\n", i,
                         a->n.http_by_class[i]);
    one_u64(out, "muster_http_open", "gauge", "Requests that wait for their answer.", a->n_calls);
    one_u64(out, "muster_streams_open", "gauge", "Open event streams.", a->n_streams);
    one_u64(out, "muster_stream_catch_ups_total", "counter",
            "Times a subscriber fell behind and was read up.", a->n.stream_catch_ups);
    one_u64(out, "muster_rate_limited_total", "counter", "Requests answered 429 for refused credentials.",
            a->n.rate_limited);
    one_u64(out, "muster_replies_unknown_total", "counter",
            "Replies given up because the database did not answer.", a->n.parked_timeouts);
    one_u64(out, "muster_replies_parked", "gauge", "Callbacks that wait for the disk.",
            commit_parked(a->control));
}

static void write_store(const struct api *a, struct buf *out)
{
    struct store_stats s = { 0 };

    read_store_stats(a->control, &s);
    one_u64(out, "muster_store_healthy", "gauge", "1 while the database takes writes.",
            read_health(a->control, NULL) == 0);
    one_u64(out, "muster_store_units_total", "counter", "Units of work handed to the database.", s.units);
    one_u64(out, "muster_store_commits_total", "counter", "Transactions committed.", s.commits);
    one_u64(out, "muster_store_rows_total", "counter", "Rows written.", s.rows);
    one_u64(out, "muster_store_reads_total", "counter", "Reads.", s.reads);
    one_u64(out, "muster_store_commit_failures_total", "counter", "Commits that failed and were tried again.",
            s.commit_failures);
    one_f64(out, "muster_store_last_commit_seconds", "gauge", "How long the newest commit took.",
            seconds(s.last_commit_us));
    one_u64(out, "muster_store_db_bytes", "gauge", "Size of the database.", s.db_bytes);
    one_u64(out, "muster_store_wal_bytes", "gauge", "Size of its write-ahead log.", s.wal_bytes);
}

static void write_net(struct buf *out)
{
    const struct net_stats *s = &net_stats;

    one_u64(out, "muster_net_connections", "gauge", "Open connections.", s->conns);
    one_u64(out, "muster_net_handshakes_in_flight", "gauge", "TLS handshakes under way.",
            s->handshakes_in_flight);
    one_u64(out, "muster_net_accepted_total", "counter", "Connections accepted.", s->accepted);
    one_u64(out, "muster_net_closed_total", "counter", "Connections closed.", s->closed);
    one_u64(out, "muster_net_handshakes_total", "counter", "TLS handshakes done.", s->handshakes);
    one_u64(out, "muster_net_handshake_failures_total", "counter", "TLS handshakes that failed.",
            s->handshake_failures);
    one_u64(out, "muster_net_protocol_errors_total", "counter", "Connections closed for what they sent.",
            s->protocol_errors);
    one_u64(out, "muster_net_bytes_in_total", "counter", "Bytes read.", s->bytes_in);
    one_u64(out, "muster_net_bytes_out_total", "counter", "Bytes written.", s->bytes_out);
}

static uint64_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;

    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n ? n - 1 : 0; /* less the one that looks */
}

/* Field @i (1-based, as in proc(5)) of /proc/self/stat, behind the name in brackets. */
static uint64_t stat_field(struct str stat, int i)
{
    ptrdiff_t end = -1;
    struct str rest, word = STR_NONE;
    uint64_t v = 0;

    for (size_t k = 0; k < stat.len; k++)
        if (stat.ptr[k] == ')')
            end = (ptrdiff_t)k;
    if (end < 0)
        return 0;
    rest = str_sub(stat, (size_t)end + 1, stat.len);
    for (int k = 3; k <= i; k++)
        if (!str_word(&rest, &word))
            return 0;
    return str_to_u64(word, &v) < 0 ? 0 : v;
}

static void write_process(const struct api *a, struct buf *out)
{
    AUTO(buf_done) struct buf stat = BUF(4096);
    struct rlimit nofile = { 0 };
    struct rusage ru = { 0 };
    long page = sysconf(_SC_PAGESIZE);

    (void)fd_read_file("/proc/self/stat", &stat);
    (void)getrusage(RUSAGE_SELF, &ru);
    (void)getrlimit(RLIMIT_NOFILE, &nofile);
    one_f64(out, "process_cpu_seconds_total", "counter", "User and system time spent.",
            (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec +
                (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
    one_u64(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
            stat_field(buf_as_str(&stat), 24) * (uint64_t)(page > 0 ? page : 4096));
    one_u64(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
            stat_field(buf_as_str(&stat), 23));
    one_u64(out, "process_open_fds", "gauge", "Open descriptors.", open_fds());
    one_u64(out, "process_max_fds", "gauge", "Limit of open descriptors.", (uint64_t)nofile.rlim_cur);
    one_f64(out, "process_start_time_seconds", "gauge", "Start of the server, seconds since 1970.",
            seconds(clock_wall(a->conf.clock)) - seconds(api_now(a) - a->started_mono));
    head(out, "muster_build_info", "gauge", "1, labelled with the version.");
    (void)buf_cstr(out, "muster_build_info{version=\"" MUSTER_VERSION "\"} 1\n");
}

int metrics_write(const struct api *a, struct buf *out)
{
    write_fleet(a, out);
    write_commands(control_stats(a->control), out);
    write_surfaces(a, out);
    write_control(control_stats(a->control), out);
    write_store(a, out);
    write_net(out);
    write_process(a, out);
    write_agents(a, out);
    return out->len < out->max ? 0 : -1;
}
