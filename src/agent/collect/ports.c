/* agent/collect/ports.c - the section "ports": the last scan of the role port_scan, one row. The role hands it over; what a collector
 * could read itself would be another scan. Duration and time are left out: facts stand still while the ports do.
 *
 * Cost: none. Static, because a collector has nothing but its root; loop thread only. */
#include <assert.h>

#include "agent/collect/source.h"

struct ports_facts {
    uint32_t start, end, total, available, reserved;
    struct str method;
    struct json_text used;
};
static const struct field ports_fields[] = {
    F_U32(struct ports_facts, start, "start", .help = "First port of the range."),
    F_U32(struct ports_facts, end, "end", .help = "Last one."),
    F_U32(struct ports_facts, total, "total", .help = "How many these are."),
    F_U32(struct ports_facts, available, "available", .help = "A server could bind so many now."),
    F_U32(struct ports_facts, reserved, "reserved", .help = "So many are under a lease."),
    F_STR(struct ports_facts, method, "method", 16, .help = "How it was found out: bind, strict or netlink."),
    F_JSON(struct ports_facts, used, "used", COLLECT_PORTS_USED_MAX, .help = "Ports in use by who uses them."),
};
static const struct record ports_record = RECORD(ports_facts, ports_fields);

static struct {
    struct collect_ports p;
    char used[COLLECT_PORTS_USED_MAX];
    uint64_t generation; /* of the telling */
    bool is_told;
    enum section_status off; /* while nothing is told; 0: nobody said why */
    char why[COLLECT_MESSAGE_MAX];
} last;

static bool is_same(const struct collect_ports *p)
{
    return last.is_told && last.p.start == p->start && last.p.end == p->end && last.p.available == p->available &&
           last.p.reserved == p->reserved && last.p.method == p->method && str_is(p->used, last.used);
}

void collect_ports_tell(const struct collect_ports *p)
{
    if (p ? is_same(p) : !last.is_told && !last.off)
        return;
    last.generation++;
    last.is_told = p != NULL;
    last.off = 0;
    if (!p)
        return;
    last.p = *p;
    if (str_copy(p->used, last.used, sizeof(last.used)) < 0)
        (void)str_copy(STR("{}"), last.used, sizeof(last.used));
}

void collect_ports_off(enum section_status status, const char *why)
{
    last.generation++;
    last.is_told = false;
    last.off = status;
    (void)snprintf(last.why, sizeof(last.why), "%s", why);
}

bool ports__is_changed(void *state)
{
    struct collect_stamp *st = &((struct collect_state *)state)->stamps[SECTION_PORTS][0];

    if (st->size == last.generation + 1)
        return false;
    st->size = last.generation + 1;
    return true;
}

int ports__run(struct collect_out *out, const char *root)
{
    const struct collect_ports *p = &last.p;
    struct ports_facts f = { .start = p->start, .end = p->end, .total = p->end - p->start + 1, .available = p->available,
                             .reserved = p->reserved, .method = str_of(p->method), .used.text = str_of(last.used) };

    (void)root;
    if (!last.is_told && last.off) {
        out->status = last.off;
        (void)snprintf(out->message, sizeof(out->message), "%s", last.why);
        return 0;
    }
    if (!last.is_told)
        return collect__missing(out, "no port scan is configured on this host, or it has not finished yet");
    return collect_row(out, arena_printf(out->arena, "tcp %u-%u", p->start, p->end), &ports_record, &f);
}
