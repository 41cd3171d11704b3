/* agent/dialects/grapheon_state.c - the state directory, shared with the upstream agent:
 *
 *   agent_uuid, api_key, state.json   upstream's names, forms and keys (spec 2.2); all 0600
 *   .claim         secret that proves a later registration comes from the same host
 *   .muster.json   epoch of the sequence numbers, last full report, servers that refuse wildcard listeners
 *
 * The directory itself is flock()ed: no file more. Files are replaced as a whole; what a kill leaves is the old or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/personality.h"
#include "base/fd.h"
#include "base/rand.h"
#include "base/text.h"
#include "base/uuid.h"

enum { SECRET_MAX = 4096, CLAIM_BYTES = 32, EPOCH_BYTES = 8 };
#define REFUSAL_KEPT (7 * USEC_PER_DAY) /* then it is tried again: servers are upgraded */

static char *path_of(const struct grapheon_state *s, const char *name)
{
    return xasprintf("%s/%s", s->dir, name);
}

/* Trimmed text of a small file; a file the umask left open is closed, as upstream's chmod would have. -ENOENT when missing or
 * empty. */
static int read_secret(const struct grapheon_state *s, const char *name, struct buf *out, struct err *err)
{
    AUTO_FREE char *path = path_of(s, name);
    int r = secret_file_read(path, SECRET_MAX, out, err);

    if (r == -EPERM && err && strcmp(err->slug, "file.mode") == 0 && chmod(path, 0600) == 0) {
        grapheon__say(SAY_WARNING, "%s could be read by others; its mode is 0600 now", path);
        err_reset(err);
        r = secret_file_read(path, SECRET_MAX, out, err);
    }
    return r == 0 && out->len == 0 ? -ENOENT : r;
}

static int write_line(const struct grapheon_state *s, const char *name, struct str text, struct err *err)
{
    AUTO_FREE char *path = path_of(s, name), *line = xasprintf("%.*s\n", STR_FMT(text));
    int r = secret_file_write(path, str_of(line), err);

    secret_wipe(line, strlen(line));
    return r;
}

/* -- identity */

static int read_uuid(struct grapheon_state *s, bool peek, struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(SECRET_MAX);
    int r = read_secret(s, "agent_uuid", &b, err);

    if (r == 0 && str_copy(buf_as_str(&b), s->uuid, sizeof(s->uuid)) < 0)
        return err_set(err, -EINVAL, "grapheon.state", "agent_uuid is longer than 128 characters");
    if (r != -ENOENT || peek)
        return r == -ENOENT ? 0 : r;
    struct uuid u = uuid_v4();

    err_reset(err);
    uuid_format(&u, s->uuid);
    return write_line(s, "agent_uuid", str_of(s->uuid), err);
}

static int read_key(struct grapheon_state *s, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(SECRET_MAX);
    int r = read_secret(s, "api_key", &b, err);

    if (r == -ENOENT) {
        err_reset(err);
        return 0;
    }
    if (r == 0)
        s->api_key = str_dup(buf_as_str(&b));
    return r;
}

static int read_claim(struct grapheon_state *s, bool peek, struct err *err)
{
    AUTO(buf_done_secret) struct buf b = BUF(SECRET_MAX);
    uint8_t raw[CLAIM_BYTES];
    char hex[2 * CLAIM_BYTES + 1];
    int r = read_secret(s, ".claim", &b, err);

    if (r == 0 && b.len >= 16 && b.len <= 128) {
        s->claim = str_dup(buf_as_str(&b));
        return 0;
    }
    err_reset(err);
    if (peek)
        return 0;
    rand_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), hex);
    s->claim = xstrdup(hex);
    r = write_line(s, ".claim", str_of(hex), err);
    secret_wipe(hex, sizeof(hex));
    secret_wipe(raw, sizeof(raw));
    return r;
}

int grapheon__state_set_key(struct grapheon_state *s, struct str key, struct err *err)
{
    int r = write_line(s, "api_key", key, err);

    if (r < 0)
        return r;
    secret_free(s->api_key);
    s->api_key = str_dup(key);
    return 0;
}

/* -- state.json */

static struct str text_at(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);

    return n && n->type == NODE_STR ? n->s : STR_NONE;
}

static void read_snapshot(struct grapheon_state *s, const struct node *snap)
{
    for (size_t i = 0; i < GS_N; i++)
        s->last[i] = (struct rows){ .arena = s->arena };
    if (!snap || snap->type != NODE_MAP || snap->n == 0)
        return;
    s->has_snapshot = true;
    for (size_t i = 0; i < GS_N; i++) {
        const struct node *list = node_get(snap, grapheon_section_names[i]);

        for (const struct node *c = list && list->type == NODE_LIST ? list->child : NULL; c; c = c->next)
            (void)rows_node(&s->last[i], c);
        rows_sort(&s->last[i]);
    }
}

static int read_state(struct grapheon_state *s, struct err *err)
{
    AUTO_FREE char *path = path_of(s, "state.json");
    AUTO(buf_done) struct buf b = BUF(GRAPHEON_STATE_BYTES);
    struct node *root = NULL;
    const struct node *n;
    int r = fd_read_file(path, &b);

    s->policy = BUF(1 << 20);
    read_snapshot(s, NULL);
    if (r == -ENOENT || (r == 0 && str_trim(buf_as_str(&b)).len == 0))
        return 0;
    if (r < 0 && r != -ENOBUFS)
        return err_set(err, r, "grapheon.state", "cannot read %s: %m", path);
    if (r == 0)
        r = json_parse(s->arena, buf_as_str(&b), GRAPHEON_STATE_BYTES, &root, err);
    if (r < 0) {
        grapheon__say(SAY_WARNING, "%s is damaged (%s): starting afresh, the next report is a full one", path,
                      err && err_is(err) ? err->text : "too large");
        err_reset(err);
        s->was_broken = true;
        return 0;
    }
    if (root->type != NODE_MAP)
        return err_set(err, -EINVAL, "grapheon.state", "%s holds something else than an object: remove it", path);
    s->file = root;
    n = node_get(root, "policy");
    if (n && n->type == NODE_MAP)
        (void)json_ascii_canonical(n, &s->policy);
    s->agent_id = node_get(root, "agent_id");
    s->last_summary = node_get(root, "last_checkin_summary");
    s->enrollment_state = text_at(root, "enrollment_state");
    s->last_success = text_at(root, "last_successful_checkin_at");
    n = node_get(root, "sequence_number");
    s->sequence = n && n->type == NODE_INT && n->i > 0 ? (uint64_t)n->i : 0;
    n = node_get(root, "last_jitter_seconds");
    s->has_jitter = n && n->type == NODE_INT && n->i >= 0 && n->i <= 86400;
    s->last_jitter = s->has_jitter ? (uint32_t)n->i : 0;
    read_snapshot(s, node_get(root, "last_snapshot"));
    return 0;
}

static int put_snapshot(const struct grapheon_state *s, struct buf *b)
{
    /* sorted as everything: addresses, connections, neighbors, routes */
    static const enum grapheon_section order[GS_N] = { GS_ADDRESSES, GS_CONNECTIONS, GS_NEIGHBORS, GS_ROUTES };
    int r = buf_cstr(b, "\"last_snapshot\":{");

    for (size_t i = 0; s->has_snapshot && r == 0 && i < GS_N; i++) {
        const struct rows *rows = &s->last[order[i]];

        r = buf_printf(b, "%s\"%s\":[", i ? "," : "", grapheon_section_names[order[i]]);
        for (size_t k = 0; r == 0 && k < rows->n; k++) {
            r = k ? buf_char(b, ',') : 0;
            r = r < 0 ? r : buf_str(b, rows->v[k]);
        }
        r = r < 0 ? r : buf_char(b, ']');
    }
    return r < 0 ? r : buf_char(b, '}');
}

static int put_text(struct buf *b, const char *key, struct str v)
{
    int r = buf_printf(b, ",\"%s\":", key);

    return r < 0 ? r : json_ascii_str(b, v);
}

static int put_node(struct buf *b, const char *before, const char *key, const struct node *n, const char *none)
{
    int r = buf_printf(b, "%s\"%s\":", before, key);

    if (r < 0)
        return r;
    return n ? json_ascii_canonical(n, b) : buf_cstr(b, none);
}

/* Only keys that have a value, as upstream's: after a pending answer there are four. */
static int state_text(const struct grapheon_state *s, struct buf *b)
{
    int r = buf_char(b, '{');

    r = r < 0 ? r : put_node(b, "", "agent_id", s->agent_id, "null");
    if (r == 0 && s->enrollment_state.len > 0)
        r = put_text(b, "enrollment_state", s->enrollment_state);
    if (r == 0 && s->last_summary)
        r = put_node(b, ",", "last_checkin_summary", s->last_summary, "{}");
    if (r == 0 && s->has_jitter)
        r = buf_printf(b, ",\"last_jitter_seconds\":%u", s->last_jitter);
    if (r == 0 && (s->has_snapshot || s->sequence > 0)) {
        r = buf_char(b, ',');
        r = r < 0 ? r : put_snapshot(s, b);
    }
    if (r == 0 && s->last_success.len > 0)
        r = put_text(b, "last_successful_checkin_at", s->last_success);
    if (r == 0 && s->policy.len > 0) {
        r = buf_cstr(b, ",\"policy\":");
        r = r < 0 ? r : buf_str(b, buf_as_str(&s->policy));
    }
    if (r == 0 && s->sequence > 0)
        r = buf_printf(b, ",\"sequence_number\":%llu", (unsigned long long)s->sequence);
    return r < 0 ? r : buf_char(b, '}');
}

/* -- .muster.json */

static void new_epoch(struct grapheon_state *s)
{
    uint8_t raw[EPOCH_BYTES];

    rand_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), s->epoch);
}

static uint64_t number_at(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);

    return n && n->type == NODE_INT && n->i > 0 ? (uint64_t)n->i : 0;
}

static void read_ours(struct grapheon_state *s)
{
    AUTO_FREE char *path = path_of(s, ".muster.json");
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct node *root = NULL;
    const struct node *n;

    if (fd_read_file(path, &b) == 0 && json_parse(s->arena, buf_as_str(&b), 64 << 10, &root, NULL) == 0 &&
        root->type == NODE_MAP) {
        (void)str_copy(text_at(root, "state_epoch"), s->epoch, sizeof(s->epoch));
        s->last_full = number_at(root, "last_full_at") * USEC_PER_SEC;
        s->seen_sequence = number_at(root, "sequence_number");
        n = node_get(root, "refuses_wildcards");
        for (const struct node *c = n && n->type == NODE_MAP ? n->child : NULL; c && s->n_refused < ARRAY_SIZE(s->refused);
             c = c->next)
            if (c->type == NODE_INT && c->i > 0) {
                s->refused[s->n_refused].origin = str_dup(c->key);
                s->refused[s->n_refused++].at = (usec_t)c->i * USEC_PER_SEC;
            }
    }
    /* numbers that begin anew are another run of numbers */
    if (!s->epoch[0] || !s->file || s->sequence < s->seen_sequence)
        new_epoch(s);
}

static int save_ours(struct grapheon_state *s, struct err *err)
{
    AUTO_FREE char *path = path_of(s, ".muster.json");
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    int r = buf_printf(&b, "{\"last_full_at\":%llu,\"refuses_wildcards\":{", (unsigned long long)(s->last_full / USEC_PER_SEC));

    for (size_t i = 0; r == 0 && i < s->n_refused; i++) {
        r = i ? buf_char(&b, ',') : 0;
        r = r < 0 ? r : json_ascii_str(&b, str_of(s->refused[i].origin));
        r = r < 0 ? r : buf_printf(&b, ":%llu", (unsigned long long)(s->refused[i].at / USEC_PER_SEC));
    }
    r = r < 0 ? r
              : buf_printf(&b, "},\"sequence_number\":%llu,\"state_epoch\":\"%s\"}\n", (unsigned long long)s->sequence, s->epoch);
    if (r < 0)
        return r;
    s->seen_sequence = s->sequence;
    return secret_file_write(path, buf_as_str(&b), err);
}

int grapheon__state_save(struct grapheon_state *s, struct err *err)
{
    AUTO_FREE char *path = path_of(s, "state.json");
    AUTO(buf_done) struct buf flat = BUF(2 * GRAPHEON_STATE_BYTES), pretty = BUF(4 * (size_t)GRAPHEON_STATE_BYTES);
    int r = state_text(s, &flat);

    r = r < 0 ? r : json_ascii_pretty(buf_as_str(&flat), &pretty);
    if (r < 0)
        return err_set(err, r, "grapheon.state", "the snapshot is too large to be kept");
    r = secret_file_write(path, buf_as_str(&pretty), err);
    return r < 0 ? r : save_ours(s, err);
}

bool grapheon__state_refuses_wildcards(const struct grapheon_state *s, const char *origin, usec_t now)
{
    for (size_t i = 0; i < s->n_refused; i++)
        if (strcmp(s->refused[i].origin, origin) == 0)
            return s->refused[i].at <= now && now - s->refused[i].at < REFUSAL_KEPT;
    return false;
}

void grapheon__state_note_refusal(struct grapheon_state *s, const char *origin, usec_t now)
{
    size_t i = 0, oldest = 0;

    for (; i < s->n_refused && strcmp(s->refused[i].origin, origin) != 0; i++)
        if (s->refused[i].at < s->refused[oldest].at)
            oldest = i;
    if (i == s->n_refused && i == ARRAY_SIZE(s->refused)) {
        i = oldest;
        free(s->refused[i].origin);
        s->refused[i].origin = xstrdup(origin);
    } else if (i == s->n_refused) {
        s->refused[s->n_refused++].origin = xstrdup(origin);
    }
    s->refused[i].at = now;
}

/* -- the directory */

int grapheon__state_open(const char *dir, bool peek, struct grapheon_state **ret, struct err *err)
{
    AUTO(grapheon__state_free) struct grapheon_state *s = xnew0(struct grapheon_state);
    int r;

    s->dir_fd = -1;
    s->dir = xstrdup(dir);
    s->arena = arena_new(GRAPHEON_ARENA);
    r = peek ? 0 : fd_mkdirs(dir, 0700);
    if (r < 0)
        return err_set(err, r, "grapheon.state", "cannot make the state directory %s: %m", dir);
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0 && !(peek && errno == ENOENT))
        return err_set(err, -errno, "grapheon.state", "cannot open the state directory %s: %m", dir);
    if (!peek && flock(s->dir_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -EBUSY, "grapheon.busy", "another run uses %s", dir);
    r = read_state(s, err);
    r = r < 0 ? r : read_uuid(s, peek, err);
    r = r < 0 ? r : read_key(s, err);
    r = r < 0 ? r : read_claim(s, peek, err);
    if (r < 0)
        return r;
    read_ours(s);
    *ret = TAKE(s);
    return 0;
}

void grapheon__state_free(struct grapheon_state *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < GS_N; i++)
        rows_done(&s->last[i]);
    for (size_t i = 0; i < s->n_refused; i++)
        free(s->refused[i].origin);
    secret_free(s->api_key);
    secret_free(s->claim);
    buf_done(&s->policy);
    arena_free(s->arena);
    fd_close(&s->dir_fd);
    free(s->dir);
    free(s);
}
