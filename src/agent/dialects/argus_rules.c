/* agent/dialects/argus_rules.c - what an Argus agent may do and how long it waits: decisions without I/O. See argus.h. */
#include <errno.h>
#include <regex.h>

#include "agent/dialects/argus.h"
#include "base/mem.h"
#include "base/text.h"

enum { BACKOFF_MAX_S = 60, OVERRIDES_BYTES = 256 << 10 };

usec_t argus__backoff(uint32_t n_failures)
{
    uint32_t s = 1;

    for (uint32_t i = 1; i < n_failures && s < BACKOFF_MAX_S; i++)
        s *= 2;
    return (s < BACKOFF_MAX_S ? s : BACKOFF_MAX_S) * USEC_PER_SEC;
}

usec_t argus__jitter(usec_t every, uint64_t random)
{
    usec_t fifth = every / 5;

    return fifth ? every - every / 10 + random % (fifth + 1) : every;
}

bool argus__id_is_safe(struct str id)
{
    if (id.len == 0 || id.len >= ARGUS_ID_MAX || id.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* -- the environment */

static bool env_is_name(struct str key)
{
    if (key.len == 0 || (key.ptr[0] >= '0' && key.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < key.len; i++)
        if ((uint8_t)key.ptr[i] <= ' ' || key.ptr[i] == '=' || key.ptr[i] == 0x7f)
            return false;
    return true;
}

bool argus__env_is_private(struct str key)
{
    /* What a service manager told the agent is not meant for its reruns either. */
    static const char *const names[] = { "ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
                                         "LISTEN_PID",  "LISTEN_FDNAMES",   "INVOCATION_ID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(key, names[i]))
            return true;
    return str_starts(key, STR("ARGUS_AGENT_"));
}

bool argus__env_is_allowed(struct str key, const struct conf_map *allow)
{
    if (!env_is_name(key) || str_starts(key, STR("LD_")) || argus__env_is_private(key))
        return false;
    if (!str_is(key, "PATH"))
        return true;
    for (size_t i = 0; i < allow->n; i++)
        if (strcmp(allow->v[i].value, "PATH") == 0)
            return true;
    return false;
}

static bool has_key(const struct kv_list *l, struct str key)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].key, key))
            return true;
    return false;
}

static void add_unless_there(struct kv_list *l, struct kv kv)
{
    if (!has_key(l, kv.key))
        l->v[l->n++] = kv;
}

int argus__env_build(struct arena *a, const struct argus_env *e, struct kv_list *ret)
{
    struct kv_list l = { 0 };
    size_t n_own = 0;

    while (e->own[n_own])
        n_own++;
    l.v = arena_array(a, n_own + e->payload->n + e->more.n + 1, sizeof(*l.v));
    if (!l.v)
        return -ENOBUFS;
    for (size_t i = 0; i < e->more.n; i++)
        add_unless_there(&l, e->more.v[i]);
    for (size_t i = e->payload->n; i-- > 0;)
        if (argus__env_is_allowed(e->payload->v[i].key, e->allow) && !str_has_nul(e->payload->v[i].value))
            add_unless_there(&l, e->payload->v[i]);
    for (size_t i = 0; i < n_own; i++) {
        struct str value = str_of(e->own[i]), key;

        (void)str_cut(&value, '=', &key);
        if (key.len > 0 && value.ptr && !argus__env_is_private(key))
            add_unless_there(&l, (struct kv){ key, value });
    }
    *ret = l;
    return 0;
}

/* -- overrides */

static bool is_override_key(struct str key)
{
    if (key.len == 0 || key.len > ARGUS_KEY_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_.+~-", c)) || c == '\0')
            return false;
    }
    return true;
}

/* In single quotes nothing is special but the quote itself. */
static int quote(struct str s, struct buf *out)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s.len; i++)
        r = s.ptr[i] == '\'' ? buf_cstr(out, "'\\''") : buf_char(out, s.ptr[i]);
    return r;
}

static int append_override(const struct node *n, struct buf *out)
{
    AUTO(buf_done) struct buf value = BUF(OVERRIDES_BYTES);
    int r = n->type == NODE_STR ? buf_str(&value, n->s) : node_write(n, &value);

    if (r == 0)
        r = buf_cstr(out, " '");
    if (r == 0)
        r = buf_str(out, n->key);
    if (r == 0)
        r = buf_char(out, '=');
    if (r == 0)
        r = quote(buf_as_str(&value), out);
    return r == 0 ? buf_char(out, '\'') : r;
}

int argus__append_overrides(struct str overrides_json, struct buf *command, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct node *map;
    int r;

    if (overrides_json.len == 0 || str_is(overrides_json, "null"))
        return 0;
    if (json_parse(a, overrides_json, OVERRIDES_BYTES, &map, NULL) < 0 || map->type != NODE_MAP)
        return err_set(err, -EINVAL, "argus.override", "the overrides are not an object");
    for (const struct node *n = map->child; n; n = n->next) {
        if (!is_override_key(n->key))
            return err_set(err, -EINVAL, "argus.override", "\"%.*s\" cannot be an override's key", (int)(n->key.len > 64 ? 64 : n->key.len),
                           n->key.ptr);
        r = append_override(n, command);
        if (r < 0)
            return err_set(err, r, "argus.override", "the overrides are too large");
    }
    return 0;
}

/* -- the policy */

/* What ends a command, begins another one, or lets the shell put in more than is written. A line break too. */
static bool is_plain(struct str rest)
{
    for (size_t i = 0; i < rest.len; i++)
        if (rest.ptr[i] == '\0' || strchr(";&|<>()$`\n\r", rest.ptr[i]))
            return false;
    return true;
}

static bool prefix_allows(struct str prefix, struct str command)
{
    struct str rest;

    if (prefix.len == 0 || !str_starts(command, prefix))
        return false;
    rest = str_sub(command, prefix.len, SIZE_MAX);
    return (rest.len == 0 || rest.ptr[0] == ' ' || rest.ptr[0] == '\t') && is_plain(rest);
}

/* POSIX leaves "a++" open, and libc doubles its memory for every sign. */
static bool repeats_a_repeat(struct str pattern)
{
    static const char signs[] = "*+?{";

    for (size_t i = 1; i < pattern.len; i++) {
        char c = pattern.ptr[i], before = pattern.ptr[i - 1];

        if (before == '\\') {
            i++; /* what follows is itself, and so is what follows that */
            continue;
        }
        if (c && strchr(signs, c) && before && (strchr(signs, before) || before == '}'))
            return true;
    }
    return false;
}

static int compile(struct str pattern, regex_t *ret)
{
    AUTO_FREE char *text = xasprintf("^(%.*s)$", STR_FMT(pattern));

    return pattern.len == 0 || repeats_a_repeat(pattern) || regcomp(ret, text, REG_EXTENDED | REG_NOSUB) != 0 ? -EINVAL : 0;
}

static bool regex_allows(struct str pattern, struct str command)
{
    AUTO_FREE char *text = str_dup(command);
    regex_t re;
    bool is_match;

    if (str_has_nul(command) || compile(pattern, &re) < 0)
        return false;
    is_match = regexec(&re, text ? text : "", 0, NULL, 0) == 0;
    regfree(&re);
    return is_match;
}

/* 0 blank; 'p' or 'r' and the text; -1 neither. */
static int policy_line(struct str line, struct str *ret)
{
    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return 0;
    for (int i = 0; i < 2; i++) {
        struct str word = i == 0 ? STR("prefix:") : STR("regex:");

        if (str_starts(line, word)) {
            *ret = str_trim(str_sub(line, word.len, SIZE_MAX));
            return i == 0 ? 'p' : 'r';
        }
    }
    return -1;
}

int argus__policy_check(struct str text, struct err *err)
{
    struct str line, what = STR_NONE;
    int n = 0;

    while (str_cut(&text, '\n', &line)) {
        int kind = policy_line(line, &what);
        regex_t re;

        n++;
        if (kind < 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d is neither \"prefix: TEXT\" nor \"regex: PATTERN\"", n);
        if (kind != 0 && what.len == 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d names nothing", n);
        if (kind == 'r' && compile(what, &re) < 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d is not a regular expression", n);
        if (kind == 'r')
            regfree(&re);
    }
    return 0;
}

bool argus__policy_allows(struct str text, struct str command)
{
    struct str line, what = STR_NONE;

    if (argus__policy_check(text, NULL) < 0)
        return false;
    while (str_cut(&text, '\n', &line)) {
        int kind = policy_line(line, &what);

        if ((kind == 'p' && prefix_allows(what, command)) || (kind == 'r' && regex_allows(what, command)))
            return true;
    }
    return false;
}
