/* agent/collect/cpu.c - processors from /proc/cpuinfo, one row "cpu" (clock rates as sold, never as they are now).
 *
 * Cost: cpuinfo is made by the kernel at each read, about 30 us a logical processor; hence daily. */
#include "agent/collect/source.h"

#include <errno.h>

#include "base/vec.h"

struct cpu_facts {
    struct str vendor, model, family, model_number, stepping, microcode;
    uint32_t sockets, cores, threads;
    uint64_t max_khz;
    bool is_virtual;
};
static const struct field cpu_fields[] = {
    F_STR(struct cpu_facts, vendor, "vendor", 64, .flags = FIELD_OMIT, .help = "Maker."),
    F_STR(struct cpu_facts, model, "model", 128, .flags = FIELD_OMIT, .help = "Name."),
    F_STR(struct cpu_facts, family, "family", 32, .flags = FIELD_OMIT, .help = "Family number."),
    F_STR(struct cpu_facts, model_number, "model_number", 32, .flags = FIELD_OMIT, .help = "Model number."),
    F_STR(struct cpu_facts, stepping, "stepping", 32, .flags = FIELD_OMIT, .help = "Stepping or revision."),
    F_STR(struct cpu_facts, microcode, "microcode", 32, .flags = FIELD_OMIT, .help = "Microcode version."),
    F_U32(struct cpu_facts, sockets, "sockets", .help = "Packages."),
    F_U32(struct cpu_facts, cores, "cores", .help = "Cores in all packages."),
    F_U32(struct cpu_facts, threads, "threads", .help = "Logical processors online."),
    F_U64(struct cpu_facts, max_khz, "max_khz", .flags = FIELD_OMIT, .help = "Highest clock rate."),
    F_BOOL(struct cpu_facts, is_virtual, "virtual", .help = "The processor says it runs under a hypervisor."),
};
static const struct record cpu_record = RECORD(cpu_facts, cpu_fields);

struct place {
    uint64_t socket, core;
};
struct reading {
    struct collect_out *out; /* NULL: count only */
    struct cpu_facts f;
    struct place now;
    VEC(struct place) places; /* distinct (socket, core) */
    bool has_core;
};

static void add_place(struct reading *rd)
{
    if (!rd->has_core)
        return;
    rd->has_core = false;
    for (size_t i = rd->places.n; i-- > 0;) /* siblings are near each other */
        if (rd->places.v[i].core == rd->now.core && rd->places.v[i].socket == rd->now.socket)
            return;
    if (rd->places.n < 8192)
        *vec_add(&rd->places) = rd->now;
}

static void set_once(struct reading *rd, struct str *dst, struct str v)
{
    if (rd->out && !dst->len)
        *dst = collect__keep(rd->out, str_sub(v, 0, 128));
}

static int on_line(void *ctx, struct str line)
{
    struct reading *rd = ctx;
    struct str key, value;
    if (!src__pair(line, ':', &key, &value)) {
        add_place(rd); /* an empty line ends a processor */
        return 0;
    }
    /* x86, then ARM, POWER, s390 and RISC-V spellings */
    if (str_is(key, "processor") || str_starts(key, STR("processor ")))
        rd->f.threads++;
    else if (str_is(key, "vendor_id") || str_is(key, "CPU implementer") || str_is(key, "mvendorid"))
        set_once(rd, &rd->f.vendor, value);
    else if (str_is(key, "model name") || str_is(key, "cpu") || str_is(key, "uarch"))
        set_once(rd, &rd->f.model, value);
    else if (str_is(key, "cpu family") || str_is(key, "CPU architecture"))
        set_once(rd, &rd->f.family, value);
    else if (str_is(key, "model") || str_is(key, "CPU part") || str_is(key, "marchid"))
        set_once(rd, &rd->f.model_number, value);
    else if (str_is(key, "stepping") || str_is(key, "CPU revision") || str_is(key, "revision"))
        set_once(rd, &rd->f.stepping, value);
    else if (str_is(key, "microcode"))
        set_once(rd, &rd->f.microcode, value);
    else if (str_is(key, "physical id"))
        (void)str_to_u64(value, &rd->now.socket);
    else if (str_is(key, "core id"))
        rd->has_core = str_to_u64(value, &rd->now.core) == 0;
    else if (str_is(key, "flags") && str_find(value, STR(" hypervisor ")) >= 0)
        rd->f.is_virtual = true;
    return 0;
}

static uint32_t count_sockets(const struct reading *rd)
{
    uint32_t n = 0;
    for (size_t i = 0; i < rd->places.n; i++) {
        size_t j = 0;
        while (j < i && rd->places.v[j].socket != rd->places.v[i].socket)
            j++;
        n += j == i;
    }
    return n;
}

int cpu__run(struct collect_out *out, const char *root)
{
    struct reading rd = { .out = out };
    int r = src__file_lines(root, "/proc/cpuinfo", on_line, &rd);
    add_place(&rd);
    if (rd.f.threads == 0 && (rd.f.vendor.len || rd.f.model.len || rd.f.family.len)) /* a machine that lists them otherwise */
        rd.f.threads = cpu__count(root);
    rd.f.sockets = rd.places.n ? count_sockets(&rd) : 1;
    rd.f.cores = rd.places.n ? (uint32_t)rd.places.n : rd.f.threads;
    vec_done(&rd.places);
    if (r < 0)
        return r == -ENOENT ? collect__missing(out, "no /proc/cpuinfo") : collect__failed(out, r, "/proc/cpuinfo");

    if (rd.f.threads == 0)
        return collect__garbled(out, "/proc/cpuinfo", "names no processor");
    rd.f.max_khz = src__number(root, "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq");
    return collect_row(out, STR("cpu"), &cpu_record, &rd.f);
}

/* "0-3,8,10-11" -> 7 */
uint32_t cpu__count(const char *root)
{
    struct arena *a = arena_new(8192);
    struct str list = src__word(a, root, "/sys/devices/system/cpu/online"), part;
    uint64_t n = 0;
    while (str_cut(&list, ',', &part)) {
        struct str from;
        uint64_t lo, hi;
        str_cut(&part, '-', &from);
        if (str_to_u64(from, &lo) < 0)
            continue;
        if (!part.ptr || str_to_u64(part, &hi) < 0)
            hi = lo;
        if (hi >= lo && hi < 65536)
            n += hi - lo + 1;
    }
    arena_free(a);
    return (uint32_t)n;
}
