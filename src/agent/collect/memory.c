/* agent/collect/memory.c - how much memory there is (never how much is free: that is the heartbeat's). Row "memory", and one
 * "swap NAME" per swap area. Two small reads. */
#include "agent/collect/source.h"

#include <errno.h>

struct memory_facts {
    uint64_t total_bytes, swap_bytes, huge_pages, huge_page_bytes;
};
static const struct field memory_fields[] = {
    F_U64(struct memory_facts, total_bytes, "total_bytes", .help = "Usable memory."),
    F_U64(struct memory_facts, swap_bytes, "swap_bytes", .help = "Swap of all areas."),
    F_U64(struct memory_facts, huge_pages, "huge_pages", .flags = FIELD_OMIT, .help = "Huge pages reserved."),
    F_U64(struct memory_facts, huge_page_bytes, "huge_page_bytes", .flags = FIELD_OMIT, .help = "Size of one."),
};
static const struct record memory_record = RECORD(memory_facts, memory_fields);

struct swap_facts {
    struct str name, kind;
    uint64_t bytes;
    int32_t priority;
};
static const struct field swap_fields[] = {
    F_STR(struct swap_facts, name, "name", 1024, .help = "Device or file."),
    F_STR(struct swap_facts, kind, "kind", 32, .help = "partition or file."),
    F_U64(struct swap_facts, bytes, "size_bytes", .help = "Size."),
    F_I32(struct swap_facts, priority, "priority", .help = "Higher is used first."),
};
static const struct record swap_record = RECORD(swap_facts, swap_fields);

int memory__line(void *ctx, struct str line)
{
    struct meminfo *m = ctx;
    const struct {
        const char *key;
        uint64_t *dst;
        uint64_t unit;
    } keys[] = {
        { "MemTotal", &m->total, 1024 },
        { "MemFree", &m->free, 1024 },
        { "MemAvailable", &m->available, 1024 },
        { "Buffers", &m->buffers, 1024 },
        { "Cached", &m->cached, 1024 },
        { "SReclaimable", &m->slab_reclaimable, 1024 },
        { "SwapTotal", &m->swap_total, 1024 },
        { "HugePages_Total", &m->huge_total, 1 },
        { "Hugepagesize", &m->huge_size, 1024 },
    };
    struct str key, value, number, unit = STR_NONE;
    uint64_t v;
    size_t i = 0;
    if (!src__pair(line, ':', &key, &value))
        return 0;
    while (i < sizeof(keys) / sizeof(keys[0]) && !str_is(key, keys[i].key))
        i++;
    if (i == sizeof(keys) / sizeof(keys[0]))
        return 0;
    if (!str_word(&value, &number) || str_to_u64(number, &v) < 0 || v > UINT64_MAX / 1024)
        return -EBADMSG;
    (void)str_word(&value, &unit); /* a number cut short has lost it */
    if (keys[i].unit != 1 && !str_is(unit, "kB"))
        return -EBADMSG;
    *keys[i].dst = v * keys[i].unit;
    m->has_available = m->has_available || str_is(key, "MemAvailable");
    return 0;
}

int memory__read(const char *root, struct meminfo *ret)
{
    *ret = (struct meminfo){ 0 };
    int r = src__file_lines(root, "/proc/meminfo", memory__line, ret);
    if (r < 0)
        return r;
    if (ret->total == 0)
        return -EBADMSG;
    if (!ret->has_available) /* kernels before 3.14 */
        ret->available = ret->free + ret->buffers + ret->cached + ret->slab_reclaimable;
    if (ret->available > ret->total)
        ret->available = ret->total;
    return 0;
}

struct swaps {
    struct collect_out *out;
    bool has_heading;
};
/* Filename Type Size Used Priority, sizes in KiB */
static int on_swap(void *ctx, struct str line)
{
    struct swaps *s = ctx;
    struct collect_out *out = s->out;
    if (str_starts(line, STR("Filename"))) {
        s->has_heading = true;
        return 0;
    }
    struct str name, kind, size, used, priority;
    struct swap_facts f = { 0 };
    int64_t pr = 0;
    if (!str_word(&line, &name) || !str_word(&line, &kind) || !str_word(&line, &size) || !str_word(&line, &used) ||
        !str_word(&line, &priority) || str_to_u64(size, &f.bytes) < 0 || f.bytes > UINT64_MAX / 1024 ||
        str_to_i64(priority, &pr) < 0)
        return -EBADMSG;
    f.name = name;
    f.kind = kind;
    f.bytes *= 1024;
    f.priority = (int32_t)pr;
    struct str key = arena_printf(out->arena, "swap %.*s", STR_FMT(name));
    return collect_row(out, key, &swap_record, &f);
}

int memory__run(struct collect_out *out, const char *root)
{
    struct meminfo m;
    int r = memory__read(root, &m);
    if (r == -EBADMSG)
        return collect__garbled(out, "/proc/meminfo", "does not say in numbers how much memory there is");
    if (r < 0)
        return collect__failed(out, r, "/proc/meminfo");

    struct memory_facts f = {
        .total_bytes = m.total,
        .swap_bytes = m.swap_total,
        .huge_pages = m.huge_total,
        .huge_page_bytes = m.huge_total ? m.huge_size : 0,
    };
    r = collect_row(out, STR("memory"), &memory_record, &f);
    if (r < 0)
        return r;
    struct swaps s = { .out = out };
    r = src__file_lines(root, "/proc/swaps", on_swap, &s);
    if (r == -EBADMSG || (r == 0 && !s.has_heading))
        return collect__garbled(out, "/proc/swaps", "is no list of swap areas");
    return r < 0 && r != -ENOENT ? collect__failed(out, r, "/proc/swaps") : 0;
}
