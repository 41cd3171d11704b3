/* agent/dialects/grapheon_report.c - the bodies of a registration and of a check-in; a report cut into pieces that fit. Pure.
 *
 * Keys a real Graphēon does not know (removed, section_status, collector_status, raw, truncated, digest, state_epoch, claim) are ignored by it:
 * docs/wire/grapheon.md. */
#include <assert.h>
#include <errno.h>

#include "agent/dialects/grapheon.h"
#include "base/crypto.h"
#include "base/text.h"
#include "codec/gzip.h"

enum {
    FRAME_BYTES = 2400, /* all of a check-in but rows and names */
    NAME_BYTES = 255    /* of a name, at every server */
};

static int put_cstr(struct buf *b, const char *before, const char *s)
{
    int r = buf_cstr(b, before);

    if (r < 0)
        return r;
    return s && *s ? json_ascii_str(b, str_sub(str_of(s), 0, NAME_BYTES)) : buf_cstr(b, "null");
}

static int put_rows(struct buf *b, const struct str *v, size_t n)
{
    int r = buf_char(b, '[');

    for (size_t i = 0; r == 0 && i < n; i++) {
        r = i ? buf_char(b, ',') : 0;
        r = r < 0 ? r : buf_str(b, v[i]);
    }
    return r < 0 ? r : buf_char(b, ']');
}

/* -- how far one report goes */

static size_t frame_of(const struct report_head *h)
{
    size_t names = strlen(h->uuid) + (h->hostname ? strlen(h->hostname) : 0) + strlen(h->platform_release);
    size_t collectors = h->policy ? h->policy->n_unknown * (REPORT_COLLECTOR_NAME_MAX + 16) : 0;

    return FRAME_BYTES + 6 * names + collectors;
}

/* Takes rows from @at on while they fit. */
static size_t take(const struct rows *rows, size_t at, size_t *left, bool *ret_full)
{
    size_t n = 0;

    for (; !*ret_full && at + n < rows->n; n++) {
        if (rows->v[at + n].len + 1 > *left) {
            *ret_full = true;
            break;
        }
        *left -= rows->v[at + n].len + 1;
    }
    return n;
}

/* Removals first: a row that changed is gone and new, and the server applies them in this order. */
static void measure(const struct report_plan *p, const struct report_head *h, size_t max, struct report_step *ret)
{
    size_t frame = frame_of(h), left = max > frame ? max - frame : 0;
    bool full = false;

    for (size_t s = 0; s < GS_N; s++)
        ret->gone[s] = take(&p->gone[s], p->at_gone[s], &left, &full);
    for (size_t s = 0; s < GS_N; s++)
        ret->added[s] = take(&p->added[s], p->at_added[s], &left, &full);
    ret->is_last = !full;
}

static void sum(const struct report_plan *p, struct report_step *ret)
{
    for (enum grapheon_section s = 0; s < GS_N; s++) {
        ret->told[s] = p->told[s];
        for (size_t i = p->at_gone[s]; i < p->at_gone[s] + ret->gone[s]; i++)
            told__sub(&ret->told[s], s, p->gone[s].v[i]);
        for (size_t i = p->at_added[s]; i < p->at_added[s] + ret->added[s]; i++)
            if (i == 0 || !str_eq(p->added[s].v[i], p->added[s].v[i - 1])) /* a double counts once */
                told__add(&ret->told[s], s, p->added[s].v[i]);
    }
}

/* -- writing it */

static int put_removed(const struct report_plan *p, const struct report_step *st, struct buf *b)
{
    size_t n = 0;
    int r = 0;

    for (size_t s = 0; r == 0 && s < GS_N; s++) {
        if (st->gone[s] == 0)
            continue;
        r = buf_printf(b, "%s\"%s\":", n++ ? "," : ",\"removed\":{", grapheon_section_names[s]);
        r = r < 0 ? r : put_rows(b, p->gone[s].v + p->at_gone[s], st->gone[s]);
    }
    return r == 0 && n ? buf_char(b, '}') : r;
}

static int put_sections(const struct report_plan *p, const struct report_step *st, struct buf *b)
{
    int r = buf_cstr(b, ",\"section_status\":{");
    size_t n = 0;

    for (size_t s = 0; r == 0 && s < GS_N; s++)
        r = buf_printf(b, "%s\"%s\":\"%s\"", s ? "," : "", grapheon_section_names[s],
                       name_of(section_status_names, (int)p->sample->status[s]));
    if (p->raw)
        return r < 0 ? r : buf_char(b, '}'); /* who reads the texts has what was told */
    r = r < 0 ? r : buf_cstr(b, "},\"digest\":{");
    for (size_t s = 0; r == 0 && s < GS_N; s++) {
        char hex[2 * SHA256_LEN + 1];

        if (p->sample->status[s] != SECTION_OK)
            continue; /* what the server keeps of it is not ours to say */
        hex_encode(st->told[s].digest.b, SHA256_LEN, hex);
        r = buf_printf(b, "%s\"%s\":{\"count\":%zu,\"sha256\":\"%s\"}", n++ ? "," : "", grapheon_section_names[s], st->told[s].n,
                       hex);
    }
    r = r < 0 ? r : buf_char(b, '}');
    n = 0;
    for (size_t s = 0; r == 0 && s < GS_N; s++)
        if (p->sample->rows[s].n_truncated)
            r = buf_printf(b, "%s\"%s\":%zu", n++ ? "," : ",\"truncated\":{", grapheon_section_names[s],
                           p->sample->rows[s].n_truncated);
    return r == 0 && n ? buf_char(b, '}') : r;
}

/* A section without a text is not in it: its status says why. */
static int put_raw(const struct grapheon_sample *sample, struct buf *b)
{
    int r = buf_cstr(b, ",\"raw\":{");
    size_t n = 0;

    for (size_t s = 0; r == 0 && s < GS_N; s++) {
        if (sample->status[s] != SECTION_OK)
            continue;
        r = buf_printf(b, "%s\"%s\":", n++ ? "," : "", sample->command[s]);
        r = r < 0 ? r : json_ascii_str(b, buf_as_str(&sample->text[s]));
    }
    return r < 0 ? r : buf_char(b, '}');
}

/* Where the policy lists collectors: which of those that are asked for ran, and which are none of ours. */
static int put_collectors(const struct report_plan *p, const struct grapheon_policy *policy, struct buf *b)
{
    int r;

    if (!policy || !policy->has_collectors)
        return 0;
    r = buf_cstr(b, ",\"collector_status\":{");
    for (size_t s = 0; r == 0 && s < GS_N; s++)
        r = buf_printf(b, "%s\"%s\":\"%s\"", s ? "," : "", grapheon_command_names[s],
                       name_of(section_status_names, (int)p->sample->status[s]));
    for (size_t i = 0; r == 0 && i < policy->n_unknown; i++)
        r = buf_printf(b, ",\"%s\":\"missing\"", policy->unknown[i]);
    return r < 0 ? r : buf_char(b, '}');
}

static int write_body(const struct report_plan *p, const struct report_head *h, uint64_t sequence, const struct report_step *st,
                      struct buf *b)
{
    int r = put_cstr(b, "{\"agent_uuid\":", h->uuid);

    r = r < 0 ? r : put_cstr(b, ",\"observed_at\":", h->observed_at);
    r = r < 0 ? r : buf_printf(b, ",\"sequence_number\":%llu", (unsigned long long)sequence);
    if (r == 0 && !p->raw) /* texts are whole without it; who does not read them would take the empty lists for all there is */
        r = buf_printf(b, ",\"full_snapshot\":%s", p->full ? "true" : "false");
    r = r < 0 ? r : put_cstr(b, ",\"hostname\":", h->hostname);
    r = r < 0 ? r : put_cstr(b, ",\"agent_version\":", MUSTER_VERSION);
    r = r < 0 ? r : put_cstr(b, ",\"platform\":\"linux\",\"platform_release\":", h->platform_release);
    r = r < 0 ? r : buf_cstr(b, ",\"metadata\":{\"runtime\":\"muster\",\"delta_mode\":\"set-diff\"}");
    for (size_t s = 0; r == 0 && s < GS_N; s++) {
        r = buf_printf(b, ",\"%s\":", grapheon_section_names[s]);
        r = r < 0 ? r : put_rows(b, st->added[s] ? p->added[s].v + p->at_added[s] : NULL, st->added[s]);
    }
    r = r < 0 ? r : put_removed(p, st, b);
    r = r < 0 ? r : put_sections(p, st, b);
    r = r < 0 ? r : put_collectors(p, h->policy, b);
    if (r == 0 && p->raw)
        r = put_raw(p->sample, b);
    r = r < 0 ? r : put_cstr(b, ",\"state_epoch\":", h->epoch);
    return r < 0 ? r : buf_char(b, '}');
}

/* As the server reads it, NUL and what is no character are three bytes each. */
static bool is_too_long(struct str text)
{
    AUTO(buf_done) struct buf clean = BUF(3 * text.len + 1);
    size_t n;

    if (!utf8_is_valid(text))
        text = utf8_lossy(&clean, text) == 0 ? buf_as_str(&clean) : text;
    n = text.len;
    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\0' ? 2 : 0;
    return n > GRAPHEON_TEXT_MAX;
}

static int raw_step(const struct report_plan *p, const struct report_head *h, uint64_t sequence, size_t max_decoded,
                    struct buf *json, struct buf *gz, struct report_step *ret)
{
    *ret = (struct report_step){ .is_last = true };
    buf_reset(json);
    buf_reset(gz);
    for (size_t s = 0; s < GS_N; s++)
        if (p->sample->status[s] == SECTION_OK && is_too_long(buf_as_str(&p->sample->text[s])))
            return -EMSGSIZE;
    if (write_body(p, h, sequence, ret, json) < 0 || json->len > max_decoded)
        return -EMSGSIZE;
    return gzip_deflate(buf_as_str(json), gz) == 0 && gz->len <= GRAPHEON_RAW_BYTES ? 0 : -EMSGSIZE;
}

int grapheon__report_step(const struct report_plan *p, const struct report_head *h, uint64_t sequence, size_t max_decoded,
                          struct buf *json, struct buf *gz, struct report_step *ret)
{
    if (p->raw)
        return raw_step(p, h, sequence, max_decoded, json, gz, ret);
    for (size_t budget = max_decoded;; budget /= 2) {
        int r;

        *ret = (struct report_step){ 0 };
        measure(p, h, budget, ret);
        size_t n = 0;
        for (size_t s = 0; s < GS_N; s++)
            n += ret->added[s] + ret->gone[s];
        if (n == 0 && !ret->is_last)
            return -EMSGSIZE;
        sum(p, ret);
        buf_reset(json);
        buf_reset(gz);
        r = write_body(p, h, sequence, ret, json);
        if (r < 0)
            return r;
        assert(json->len <= budget || budget < frame_of(h));
        /* rows that do not compress: fewer of them */
        if (gzip_deflate(buf_as_str(json), gz) == 0 && gz->len <= GRAPHEON_RAW_BYTES)
            return 0;
    }
}

int grapheon__register_body(const struct grapheon_options *o, const struct report_head *h, const char *claim,
                            struct str enrollment_key, const struct rows *addresses, struct buf *b)
{
    char hash[SHA256_HEX_MAX];
    size_t left = GRAPHEON_REGISTER_BYTES;
    bool full = false;
    int r = buf_cstr(b, "{\"enrollment_key\":");

    sha256_hex(str_of(claim), hash);
    r = r < 0 ? r : json_ascii_str(b, enrollment_key);
    r = r < 0 ? r : put_cstr(b, ",\"agent_uuid\":", h->uuid);
    r = r < 0 ? r : put_cstr(b, ",\"display_name\":", o->display_name);
    r = r < 0 ? r : put_cstr(b, ",\"hostname\":", h->hostname);
    r = r < 0 ? r : put_cstr(b, ",\"site_name\":", o->site_name);
    r = r < 0 ? r : put_cstr(b, ",\"agent_version\":", MUSTER_VERSION);
    r = r < 0 ? r : put_cstr(b, ",\"platform\":\"linux\",\"platform_release\":", h->platform_release);
    r = r < 0 ? r : buf_cstr(b, ",\"metadata\":{\"runtime\":\"muster\",\"timer_model\":\"systemd-oneshot\"}");
    r = r < 0 ? r : buf_printf(b, ",\"claim_sha256\":\"%s\"", hash);
    r = r < 0 ? r : put_cstr(b, ",\"claim\":", claim);
    if (r < 0)
        return r;
    left = left > b->len + 20 ? left - b->len - 20 : 0;
    size_t n = take(addresses, 0, &left, &full);

    r = buf_cstr(b, ",\"addresses\":");
    r = r < 0 ? r : put_rows(b, addresses->v, n);
    return r < 0 ? r : buf_char(b, '}');
}
