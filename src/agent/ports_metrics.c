/* agent/ports_metrics.c - the last scan as Prometheus text 0.0.4 (sigma 2.7). See ports.h. Loop thread. */
#include <errno.h>

#include "agent/ports_priv.h"

/* Backslash, quote and newline; other bytes stand as they are (the format is UTF-8). */
int ports_label(struct buf *out, struct str s)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s.len; i++) {
        char c = s.ptr[i];

        r = c == '\n' ? buf_cstr(out, "\\n") : c == '\\' ? buf_cstr(out, "\\\\") : c == '"' ? buf_cstr(out, "\\\"") : buf_char(out, c);
    }
    return r;
}

static int put_head(struct buf *out, const char *name, const char *help)
{
    return buf_printf(out, "%s# HELP %s %s\n# TYPE %s gauge\n", out->len ? "\n" : "", name, help, name);
}

static int put_sample(struct buf *out, const char *name, struct str hostname, const char *source)
{
    int r = buf_printf(out, "%s{hostname=\"", name);

    if (r == 0)
        r = ports_label(out, hostname);
    if (r == 0)
        r = buf_char(out, '"');
    if (r == 0 && source) {
        r = buf_cstr(out, ",source=\"");
        if (r == 0)
            r = ports_label(out, str_of(source));
        if (r == 0)
            r = buf_char(out, '"');
    }
    return r == 0 ? buf_cstr(out, "} ") : r;
}

static int put_number(struct buf *out, const char *name, const char *help, struct str hostname, uint64_t value)
{
    int r = put_head(out, name, help);

    if (r == 0)
        r = put_sample(out, name, hostname, NULL);
    return r == 0 ? buf_printf(out, "%llu\n", (unsigned long long)value) : r;
}

static int put_seconds(struct buf *out, const char *name, const char *help, struct str hostname, usec_t value)
{
    int r = put_head(out, name, help);

    value = (value + 500) / 1000;
    if (r == 0)
        r = put_sample(out, name, hostname, NULL);
    return r == 0 ? buf_printf(out, "%llu.%03llu\n", (unsigned long long)(value / 1000), (unsigned long long)(value % 1000)) : r;
}

int ports_metrics(const struct ports *p, struct str hostname, struct buf *out)
{
    struct ports_result none = { 0 };
    const struct ports_result *res = p ? ports_result(p) : &none;
    size_t len = out->len;
    int r;

    if (!p)
        ports__sources(&(struct ports_conf){ 0 }, none.source, &none.n_sources);
    r = put_number(out, "sigma_ports_total", "Ports in the scanned range.", hostname, res->scan.total);
    if (r == 0)
        r = put_number(out, "sigma_ports_available", "Ports of the range a server could bind now.", hostname, res->scan.available);
    if (r == 0)
        r = put_head(out, "sigma_ports_used", "Ports of the range in use, by who uses them.");
    for (size_t i = 0; r == 0 && i < res->n_sources; i++) {
        r = put_sample(out, "sigma_ports_used", hostname, res->source[i]);
        if (r == 0)
            r = buf_printf(out, "%u\n", res->used[i]);
    }
    if (r == 0)
        r = put_seconds(out, "sigma_port_scan_duration_seconds", "How long the last scan took.", hostname, res->scan.duration_us);
    if (r == 0)
        r = put_number(out, "sigma_ports_in_use", "Ports of the range in use: total less available.", hostname,
                       res->scan.total - res->scan.available);
    if (r == 0)
        r = put_number(out, "sigma_ports_reserved", "Ports of the range under a lease.", hostname, res->scan.reserved);
    if (r == 0)
        r = put_seconds(out, "sigma_port_scan_last_success_timestamp_seconds", "When the last scan ended, 0: none has yet.", hostname,
                        res->scan.at);
    if (r < 0)
        out->len = len;
    return r;
}
