/* fleet/asset.c - see asset.h: rows, their life, what a list shows. Addresses are in asset_address.c. */
#include "fleet/asset.h"

#include <assert.h>
#include <errno.h>

#include "base/mem.h"

void asset_defaults(struct asset *ret, enum asset_status status, const char *source)
{
    *ret = (struct asset){ .ssh_port = 22,
                           .node_exporter_port = 9100,
                           .currency = STR("USD"),
                           .status = (int)status,
                           .source = str_of(source),
                           .monitoring_enabled = true };
}

int asset_check_hostname(struct str hostname, struct err *err)
{
    if (str_trim(hostname).len == 0)
        return err_set(err, -EINVAL, "request.bad", "the hostname is blank");
    return 0;
}

/* -- dates and decimals */

static bool two_digits(struct str s, size_t at, unsigned *ret)
{
    if (s.ptr[at] < '0' || s.ptr[at] > '9' || s.ptr[at + 1] < '0' || s.ptr[at + 1] > '9')
        return false;
    *ret = (unsigned)(s.ptr[at] - '0') * 10 + (unsigned)(s.ptr[at + 1] - '0');
    return true;
}

bool asset_date_days(struct str date, int64_t *ret_days)
{
    char text[24];
    usec_t at;
    unsigned century, year, month, day;

    if (date.len != 10 || date.ptr[4] != '-' || date.ptr[7] != '-')
        return false;
    if (!two_digits(date, 0, &century) || !two_digits(date, 2, &year) || !two_digits(date, 5, &month) || !two_digits(date, 8, &day))
        return false;
    year += century * 100;
    if (year < 1970 || month < 1 || month > 12 || day < 1)
        return false;
    /* The clock knows its calendar, leap years included. */
    memcpy(text, date.ptr, 10);
    memcpy(text + 10, "T00:00:00Z", 11);
    if (clock_parse(str_of(text), &at) < 0)
        return false;
    *ret_days = (int64_t)(at / USEC_PER_DAY);
    return true;
}

struct str asset_decimal(struct str json)
{
    struct str s = json;
    size_t digits = 0, points = 0;

    if (s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"')
        s = str_sub(s, 1, s.len - 2);
    if (s.len == 0 || s.len > ASSET_DECIMAL_BYTES)
        return STR_NONE;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '-' && i == 0)
            continue;
        if (s.ptr[i] == '.' && digits > 0 && points++ == 0)
            continue;
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return STR_NONE;
        digits++;
    }
    return digits > 0 && s.ptr[s.len - 1] != '.' ? s : STR_NONE;
}

/* -- laying a wish over a row */

static const char *const purposes[] = { "", "vpn-exit", "vpn-relay", "vpn-entry", "monitor", "management", "other" };

static int check_purpose(struct str purpose, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(purposes); i++)
        if (str_is(purpose, purposes[i]))
            return 0;
    return err_set(err, -EINVAL, "field.enum",
                   "purpose: must be empty, vpn-exit, vpn-relay, vpn-entry, monitor, management or other");
}

static int check_date(const char *name, struct str date, struct err *err)
{
    int64_t days;

    if (date.len == 0 || asset_date_days(date, &days))
        return 0;
    return err_set(err, -EINVAL, "field.format", "%s: must be a date such as 2026-11-22", name);
}

static const struct field *field_named(const struct record *rec, const char *name)
{
    for (size_t i = 0; i < rec->n_fields; i++)
        if (strcmp(rec->fields[i].name, name) == 0)
            return &rec->fields[i];
    return NULL;
}

static size_t member_size(enum field_type t)
{
    switch (t) {
    case FT_STR:
    case FT_JSON:
    case FT_BYTES:
        return sizeof(struct str);
    case FT_STR_LIST:
    case FT_MAP:
    case FT_LIST:
        return sizeof(struct any_list);
    case FT_BOOL:
        return sizeof(bool);
    case FT_I32:
    case FT_U32:
    case FT_ENUM:
        return sizeof(uint32_t);
    case FT_I64:
    case FT_U64:
    case FT_F64:
    case FT_TIME:
    case FT_TIME_MS:
    case FT_DURATION:
        return sizeof(uint64_t);
    case FT_SUB:
        break;
    }
    assert(!"a wish has no such field");
    return 0;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* Takes every field of @w that is there into the field of @obj with its name and type. @nullable: those null empties. */
static void take_fields(const struct record *rec, void *obj, const struct record *wish_rec, const void *wish,
                        const char *const *nullable)
{
    for (size_t i = 0; i < wish_rec->n_fields; i++) {
        const struct field *from = &wish_rec->fields[i], *to = field_named(rec, from->name);

        if (!to || to->type != from->type)
            continue;
        if (field_is_present(wish_rec, wish, from->name))
            memcpy((char *)obj + to->offset, (const char *)wish + from->offset, member_size(to->type));
        else if (field_is_null(wish_rec, wish, from->name) && is_one_of(from->name, nullable))
            memset((char *)obj + to->offset, 0, member_size(to->type));
    }
}

static int take_decimal(const struct asset_wish *w, const char *name, struct str json, struct str *member, struct err *err)
{
    struct str text;

    if (field_is_null(&asset_wish_record, w, name)) {
        *member = STR_NONE;
        return 0;
    }
    if (!field_is_present(&asset_wish_record, w, name))
        return 0;
    text = asset_decimal(json);
    if (!text.ptr)
        return err_set(err, -EINVAL, "field.format", "%s: must be a decimal number of at most %d characters", name,
                       ASSET_DECIMAL_BYTES);
    *member = text;
    return 0;
}

int asset_apply(struct asset *a, const struct asset_wish *w, struct err *err)
{
    static const char *const nullable[] = { "provider_id", "cpu_cores", "ram_mb", "disk_gb", "purchase_date", "expire_date", NULL };
    struct asset_addresses addresses = a->addresses;
    struct json_text extra = a->extra;
    enum asset_status was = (enum asset_status)a->status;
    int r;

    take_fields(&asset_record, a, &asset_wish_record, w, nullable);
    a->addresses = addresses;
    a->extra = extra;
    r = asset_check_hostname(a->hostname, err);
    if (r == 0)
        r = take_decimal(w, "bandwidth_tb", w->bandwidth_tb.text, &a->bandwidth_tb, err);
    if (r == 0)
        r = take_decimal(w, "cost_monthly", w->cost_monthly.text, &a->cost_monthly, err);
    if (r == 0)
        r = check_purpose(a->purpose, err);
    if (r == 0)
        r = check_date("purchase_date", a->purchase_date, err);
    if (r == 0)
        r = check_date("expire_date", a->expire_date, err);
    if (r == 0 && a->status == ASSET_DELETED && was != ASSET_DELETED)
        r = err_set(err, -EINVAL, "field.enum", "status: rows are deleted with DELETE");
    return r;
}

void asset_wish_set_provider(struct asset_wish *w, struct str uuid)
{
    const struct field *f = field_named(&asset_wish_record, "provider_id");
    uint64_t bit = (uint64_t)1 << (f - asset_wish_record.fields);

    w->provider_id = uuid;
    w->seen.present |= bit;
    w->seen.null &= ~bit;
}

int provider_apply(struct provider *p, const struct provider_wish *w, struct err *err)
{
    static const char *const nullable[] = { "rating", NULL };

    take_fields(&provider_record, p, &provider_wish_record, w, nullable);
    if (str_trim(p->name).len == 0)
        return err_set(err, -EINVAL, "field.required", "name: must be there and not blank");
    return 0;
}

/* -- life */

enum asset_status asset_status_when_seen(enum asset_status from)
{
    return from == ASSET_PROVISIONING ? ASSET_ACTIVE : from;
}

bool asset_is_unexpected(enum asset_status s)
{
    return s == ASSET_RETIRED || s == ASSET_SUSPENDED;
}

bool asset_is_online(usec_t last_heartbeat, usec_t now)
{
    return last_heartbeat > 0 && now < last_heartbeat + ASSET_ONLINE_S * USEC_PER_SEC;
}

bool asset_is_expiring(const struct asset *a, usec_t now, int64_t days)
{
    int64_t due;

    return (a->status == ASSET_ACTIVE || a->status == ASSET_PROVISIONING) && asset_date_days(a->expire_date, &due) &&
           due - (int64_t)(now / USEC_PER_DAY) <= days;
}

int asset_compare_names(const struct asset *a, const struct asset *b)
{
    int d = str_cmp(a->hostname, b->hostname);

    return d ? d : str_cmp(a->uuid, b->uuid);
}

int asset_compare(const struct asset *a, const struct asset *b)
{
    int d = strcmp(name_of(asset_status_names, a->status), name_of(asset_status_names, b->status));

    if (d == 0 && (a->expire_date.len == 0) != (b->expire_date.len == 0))
        d = a->expire_date.len == 0 ? 1 : -1;
    if (d == 0)
        d = str_cmp(a->expire_date, b->expire_date);
    return d ? d : asset_compare_names(a, b);
}

/* -- lists */

static bool has_tag(const struct asset *a, struct str tag)
{
    for (size_t i = 0; i < a->tags.n; i++)
        if (str_eq(a->tags.v[i], tag))
            return true;
    return false;
}

/* An empty filter lets everything pass. */
static bool fits(struct str wanted, struct str have)
{
    return wanted.len == 0 || str_eq(wanted, have);
}

bool asset_matches(const struct asset_filter *f, const struct asset *a, const struct asset_state *st, usec_t now)
{
    if (f->status ? a->status != f->status : a->status == ASSET_DELETED)
        return false;
    if (!fits(f->country, a->country) || !fits(f->purpose, a->purpose) || !fits(f->source, a->source) ||
        !fits(f->hostname, a->hostname))
        return false;
    if (f->provider_id.len && !str_eq_nocase(f->provider_id, a->provider_id))
        return false;
    if (f->tag.len && !has_tag(a, f->tag))
        return false;
    if (f->has_expiring && !asset_is_expiring(a, now, f->expiring_days))
        return false;
    return !f->has_online || asset_is_online(st->last_heartbeat, now) == f->is_online;
}
