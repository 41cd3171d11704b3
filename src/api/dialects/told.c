/* api/dialects/told.c - see told.h. Members have the names and the order of the collectors' tables (src/agent/collect/). */
#include "api/dialects/told.h"

#include "base/limits.h"
#include "codec/record.h"
#include "fleet/report.h"

enum { ROW_MAX = 4096 };

struct told_row {
    struct str hostname, mountpoint, address, family;
    uint32_t threads;
    uint64_t total_bytes, size_bytes;
};
static const struct field os_fields[] = { F_STR(struct told_row, hostname, "hostname", LIMIT_HOSTNAME) };
static const struct field cpu_fields[] = { F_U32(struct told_row, threads, "threads") };
static const struct field memory_fields[] = { F_U64(struct told_row, total_bytes, "total_bytes") };
static const struct field filesystem_fields[] = {
    F_STR(struct told_row, mountpoint, "mountpoint", 1024),
    F_U64(struct told_row, size_bytes, "size_bytes"),
};
static const struct field address_fields[] = {
    F_STR(struct told_row, address, "address", 46),
    F_STR(struct told_row, family, "family", 8),
};
static const struct record os_record = RECORD(told_row, os_fields);
static const struct record cpu_record = RECORD(told_row, cpu_fields);
static const struct record memory_record = RECORD(told_row, memory_fields);
static const struct record filesystem_record = RECORD(told_row, filesystem_fields);
static const struct record address_record = RECORD(told_row, address_fields);

/* False: no room. */
static bool make_row(struct arena *a, struct str key, const struct record *rec, const struct told_row *row, struct fact_row *ret)
{
    AUTO(buf_done) struct buf text = BUF(ROW_MAX);
    struct jw w = JW(&text);

    record_write(rec, row, &w);
    if (jw_done(&w) < 0)
        return false;
    *ret = (struct fact_row){ arena_str(a, key), arena_str(a, buf_as_str(&text)) };
    return ret->key.ptr && ret->json.ptr;
}

static void add(struct told_sheet *s, enum section section, struct fact_row *rows, size_t n)
{
    s->v[s->n++] = (struct told_section){ section, rows, n };
}

static void add_one(struct told_sheet *s, enum section section, struct str key, const struct record *rec, const struct told_row *row)
{
    struct fact_row *rows = arena_new0(s->arena, struct fact_row);

    if (rows && make_row(s->arena, key, rec, row, rows))
        add(s, section, rows, 1);
}

void told_os(struct told_sheet *s, struct str hostname)
{
    add_one(s, SECTION_OS, STR("os"), &os_record, &(struct told_row){ .hostname = hostname });
}

void told_cpu(struct told_sheet *s, uint32_t threads)
{
    add_one(s, SECTION_CPU, STR("cpu"), &cpu_record, &(struct told_row){ .threads = threads });
}

void told_memory(struct told_sheet *s, uint64_t total_bytes)
{
    add_one(s, SECTION_MEMORY, STR("memory"), &memory_record, &(struct told_row){ .total_bytes = total_bytes });
}

void told_filesystem(struct told_sheet *s, struct str mountpoint, uint64_t size_bytes)
{
    add_one(s, SECTION_FILESYSTEMS, mountpoint, &filesystem_record,
            &(struct told_row){ .mountpoint = mountpoint, .size_bytes = size_bytes });
}

static bool has_key(const struct fact_row *rows, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(rows[i].key, key))
            return true;
    return false;
}

/* "- 192.0.2.5": which interface has it was not told. One address may come in two spellings. */
void told_addresses(struct told_sheet *s, const struct asset_addresses *list)
{
    struct fact_row *rows = arena_array(s->arena, list->n + 1, sizeof(*rows));
    size_t n = 0;

    for (size_t i = 0; rows && i < list->n; i++) {
        char text[46], key[2 + sizeof(text)];
        bool is_any;

        if (list->v[i].is_manual || !report_ip(list->v[i].ip, text, &is_any))
            continue;
        (void)snprintf(key, sizeof(key), "- %s", text);
        const struct told_row row = { .address = str_of(text), .family = strchr(text, ':') ? STR("inet6") : STR("inet") };
        if (has_key(rows, n, str_of(key)))
            continue;
        if (!make_row(s->arena, str_of(key), &address_record, &row, &rows[n]))
            return;
        n++;
    }
    if (rows)
        add(s, SECTION_ADDRESSES, rows, n);
}
