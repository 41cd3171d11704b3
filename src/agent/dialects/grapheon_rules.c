/* agent/dialects/grapheon_rules.c - when to run, what the policy says, what an answer means. Pure. */
#include <errno.h>

#include "agent/dialects/grapheon.h"
#include "base/crypto.h"
#include "fleet/report.h"

/* The upstream agent's defaults, canonical. */
static const struct {
    const char *key;
    uint32_t value, min, max;
} numbers[] = {
    { "checkin_interval_seconds", 3600, 60, 86400 },
    { "command_timeout_seconds", 15, 1, 300 },
    { "jitter_seconds", 300, 0, 3600 },
    { "max_report_bytes", 262144, GRAPHEON_REPORT_MIN, 10485760 },
};
enum { N_INTERVAL, N_TIMEOUT, N_JITTER, N_MAX };

static const char default_commands[] = "{\"ip_addr\":true,\"ip_neigh\":true,\"ip_route\":true,\"ss_tunap\":true}";

static int put(struct buf *out, struct str key, const struct node *value, const char *text)
{
    int r = out->len > 1 ? buf_char(out, ',') : 0;

    r = r < 0 ? r : json_ascii_str(out, key);
    r = r < 0 ? r : buf_char(out, ':');
    if (r < 0)
        return r;
    return value ? json_ascii_canonical(value, out) : buf_cstr(out, text);
}

static bool is_default_key(struct str key)
{
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (str_is(key, numbers[i].key))
            return true;
    return str_is(key, "enabled_commands");
}

/* Not upstream's: a server leaves them out to take them back. */
static bool is_ours(struct str key)
{
    return str_is(key, "target_version") || str_is(key, "collectors");
}

int grapheon__policy_merge(const struct node *cached, const struct node *fresh, struct buf *out)
{
    const struct node *from[2] = { cached && cached->type == NODE_MAP ? cached : NULL,
                                   fresh && fresh->type == NODE_MAP ? fresh : NULL };
    AUTO(buf_done) struct buf unsorted = BUF(out->max);
    AUTO(arena_free) struct arena *a = arena_new(4 << 20);
    struct node *tree;
    int r = buf_char(&unsorted, '{');

    for (size_t i = 0; r == 0 && i <= ARRAY_SIZE(numbers); i++) {
        const char *key = i < ARRAY_SIZE(numbers) ? numbers[i].key : "enabled_commands";
        const struct node *v = from[1] ? node_get(from[1], key) : NULL;
        char text[24];

        if (!v && from[0])
            v = node_get(from[0], key);
        if (i < ARRAY_SIZE(numbers))
            (void)snprintf(text, sizeof(text), "%u", numbers[i].value);
        r = put(&unsorted, str_of(key), v, i < ARRAY_SIZE(numbers) ? text : default_commands);
    }
    for (size_t k = 0; k < 2; k++)
        for (const struct node *c = from[k] ? from[k]->child : NULL; r == 0 && c; c = c->next) {
            char name[256];

            if (is_default_key(c->key) || str_copy(c->key, name, sizeof(name)) < 0 ||
                (k == 0 && from[1] && (node_get(from[1], name) || is_ours(c->key))))
                continue;
            r = put(&unsorted, c->key, c, NULL);
        }
    if (r == 0)
        r = buf_char(&unsorted, '}');
    if (r == 0)
        r = json_parse(a, buf_as_str(&unsorted), unsorted.max, &tree, NULL);
    return r < 0 ? r : json_ascii_canonical(tree, out);
}

static uint32_t number_of(const struct node *map, size_t i)
{
    const struct node *v = map ? node_get(map, numbers[i].key) : NULL;

    if (!v || v->type != NODE_INT || v->i < numbers[i].min || v->i > numbers[i].max)
        return numbers[i].value;
    return (uint32_t)v->i;
}

/* A list of names: only those run. What is no list says nothing; what is no name is passed over. */
static void read_collectors(const struct node *list, struct grapheon_policy *ret)
{
    bool is_listed[GS_N] = { false };

    if (!list || list->type != NODE_LIST)
        return;
    ret->has_collectors = true;
    for (const struct node *c = list->child; c; c = c->next) {
        size_t s = 0;

        if (c->type != NODE_STR || !report_collector_fits(c->s))
            continue;
        while (s < GS_N && !str_is(c->s, grapheon_command_names[s]))
            s++;
        if (s < GS_N)
            is_listed[s] = true;
        else if (ret->n_unknown < REPORT_COLLECTORS_MAX)
            (void)str_copy(c->s, ret->unknown[ret->n_unknown++], sizeof(ret->unknown[0]));
    }
    for (size_t s = 0; s < GS_N; s++)
        ret->enabled[s] = ret->enabled[s] && is_listed[s];
}

void grapheon__policy_read(const struct node *merged, struct grapheon_policy *ret)
{
    const struct node *map = merged && merged->type == NODE_MAP ? merged : NULL;
    const struct node *commands = map ? node_get(map, "enabled_commands") : NULL;
    const struct node *target = map ? node_get(map, "target_version") : NULL;

    *ret = (struct grapheon_policy){ .interval_s = number_of(map, N_INTERVAL),
                                     .jitter_s = number_of(map, N_JITTER),
                                     .command_timeout_s = number_of(map, N_TIMEOUT),
                                     .max_report_bytes = number_of(map, N_MAX) };
    if (target && target->type == NODE_STR && report_version_fits(target->s))
        (void)str_copy(target->s, ret->target_version, sizeof(ret->target_version));
    for (size_t s = 0; s < GS_N; s++) {
        const struct node *on = commands && commands->type == NODE_MAP ? node_get(commands, grapheon_command_names[s]) : NULL;

        ret->enabled[s] = !on || on->type != NODE_BOOL || on->b;
    }
    read_collectors(map ? node_get(map, "collectors") : NULL, ret);
}

int grapheon__time(struct str s, usec_t *ret)
{
    AUTO(buf_done) struct buf b = BUF(64);
    ptrdiff_t t;

    s = str_trim(s);
    if (s.len < 11 || s.len > 60)
        return -EINVAL;
    t = str_find_char(s, 'T');
    if (t < 0)
        t = str_find_char(s, ' ');
    if (t < 0)
        return -EINVAL;
    struct str clock = str_sub(s, (size_t)t + 1, SIZE_MAX);
    bool has_zone = str_find_char(clock, 'Z') >= 0 || str_find_char(clock, '+') >= 0 || str_find_char(clock, '-') >= 0;

    if (buf_printf(&b, "%.*sT%.*s%s", (int)t, s.ptr, STR_FMT(clock), has_zone ? "" : "Z") < 0)
        return -EINVAL;
    return clock_parse(buf_as_str(&b), ret);
}

bool grapheon__gate(const struct grapheon_policy *p, uint32_t timer_s, usec_t last, usec_t now, usec_t *ret_wait)
{
    usec_t interval = p->interval_s * USEC_PER_SEC;

    *ret_wait = 0;
    if (last == 0 || p->interval_s <= timer_s || last > now + interval)
        return true;
    if (last + interval <= now)
        return true;
    *ret_wait = last + interval - now;
    return false;
}

uint32_t grapheon__jitter(struct str uuid, uint32_t jitter_s)
{
    uint8_t h[SHA256_LEN];
    uint64_t x = 0;

    sha256(uuid, h);
    for (size_t i = 0; i < 8; i++)
        x = x << 8 | h[i];
    return (uint32_t)(x % ((uint64_t)jitter_s + 1));
}

bool grapheon__is_wildcard_refusal(int status, const struct node *body)
{
    return status == 422 && body && body->type == NODE_MAP && node_get(body, "detail") && !node_get(body, "errors");
}

usec_t grapheon__backoff(unsigned n, usec_t retry_after, uint64_t random)
{
    usec_t base = USEC_PER_SEC << (n > 5 ? 4 : n - 1), wait = base / 2 + random % (base / 2 + 1);

    return retry_after > wait ? retry_after : wait;
}

bool grapheon__is_retryable(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

int grapheon__exit_code(bool fine, int status, bool is_network)
{
    if (!fine)
        return GRAPHEON_EXIT_FAILED;
    if (is_network)
        return GRAPHEON_EXIT_NETWORK;
    if (status == 401 || status == 403)
        return GRAPHEON_EXIT_AUTH;
    if (status == 429 || status >= 500)
        return GRAPHEON_EXIT_SERVER;
    return status >= 300 ? GRAPHEON_EXIT_REFUSED : GRAPHEON_EXIT_FAILED;
}
