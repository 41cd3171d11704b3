/* agent/dialects/sigma_info.c - system_info as the sigma agent reports it (its 2.4): keys in alphabetical order, a source that cannot be
 * read is 0. */
#include <string.h>
#include <sys/statvfs.h>

#include "agent/collect/source.h"
#include "agent/dialects/sigma.h"
#include "codec/json.h"

static int count_processor(void *n, struct str line)
{
    *(uint64_t *)n += str_starts(line, STR("processor"));
    return 0;
}

static int find_total(void *kib, struct str line)
{
    struct str word;

    if (!str_word(&line, &word) || !str_is(word, "MemTotal:"))
        return 0;
    if (str_word(&line, &word))
        (void)str_to_u64(word, kib);
    return 1;
}

static uint64_t disk_gib(const char *root)
{
    struct statvfs st;

    if (statvfs(*root ? root : "/", &st) < 0)
        return 0;
    return (uint64_t)((unsigned __int128)st.f_blocks * st.f_frsize >> 30);
}

/* "0.75" and nothing else: it goes out as it is, and stays a fraction. */
static bool is_fraction(struct str s)
{
    ptrdiff_t dot = str_find_char(s, '.');

    for (size_t i = 0; i < s.len; i++)
        if ((s.ptr[i] < '0' || s.ptr[i] > '9') && (ptrdiff_t)i != dot)
            return false;
    return dot > 0 && (size_t)dot + 1 < s.len && s.len < 24 && (dot == 1 || s.ptr[0] != '0');
}

static void put_load(const char *root, struct jw *w)
{
    AUTO(arena_free) struct arena *a = arena_new(16 << 10);
    struct str line = src__word(a, root, "/proc/loadavg"), word[3];
    size_t n = 0;

    while (n < 3 && str_word(&line, &word[n]) && is_fraction(word[n]))
        n++;
    jw_list(w);
    for (size_t i = 0; n == 3 && i < 3; i++)
        jw_raw(w, word[i]);
    jw_end_list(w);
}

static void put_scan(const struct port_scan *s, uint32_t max_count, struct jw *w)
{
    const struct {
        const char *key;
        uint64_t v;
    } rows[] = { { "available", s->available }, { "duration_ms", (s->duration_us + 500) / 1000 }, { "end", s->last },
                 { "max_count", max_count },    { "reserved", s->reserved },                      { "start", s->first },
                 { "total", s->total } };

    jw_map(w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        jw_key(w, rows[i].key);
        jw_u64(w, rows[i].v);
    }
    jw_end_map(w);
}

void sigma_info_write(const char *root, uint16_t metrics_port, const struct port_scan *scan, uint32_t max_count, struct jw *w)
{
    AUTO(arena_free) struct arena *a = arena_new(16 << 10);
    uint64_t cores = 0, kib = 0, uptime = 0;
    struct str line = src__word(a, root, "/proc/uptime"), whole;

    (void)src__file_lines(root, "/proc/cpuinfo", count_processor, &cores);
    (void)src__file_lines(root, "/proc/meminfo", find_total, &kib);
    if (str_cut(&line, '.', &whole))
        (void)str_to_u64(whole, &uptime);
    jw_map(w);
    jw_key(w, "cpu_cores");
    jw_u64(w, cores);
    jw_key(w, "disk_gb");
    jw_u64(w, disk_gib(root));
    jw_key(w, "load_avg");
    put_load(root, w);
    if (metrics_port) {
        jw_key(w, "metrics_port");
        jw_u64(w, metrics_port);
    }
    if (scan) { /* ours */
        jw_key(w, "port_scan");
        put_scan(scan, max_count, w);
    }
    jw_key(w, "ram_mb");
    jw_u64(w, kib / 1024);
    jw_key(w, "uptime_seconds");
    jw_u64(w, uptime);
    jw_end_map(w);
}
