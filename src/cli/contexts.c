/* cli/contexts.c - the configuration file: named servers with pin, CA and token (target.h).
 *
 *   current: prod
 *   contexts:
 *     prod:
 *       server: "https://muster.example:8122"
 *       pin: "sha256:..."
 *       token: "em_live_..."
 *
 * Written as YAML whose values are JSON strings: every YAML reader takes those, whatever they hold. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/contexts_text.h"
#include "codec/json.h"
#include "codec/yaml.h"

enum { CONFIG_ARENA = 8 << 20, MAX_CONTEXTS = 1000 };

static void context_done(struct context *x)
{
    free(x->name);
    free(x->server);
    free(x->pin);
    free(x->ca);
    free(x->fleet);
    free(x->user);
    secret_free(x->token);
    *x = (struct context){ 0 };
}

void contexts_done(struct contexts *c)
{
    for (size_t i = 0; i < c->n; i++)
        context_done(&c->v[i]);
    free(c->v);
    free(c->current);
    free(c->path);
    free(c->stray);
    *c = (struct contexts){ 0 };
}

char *contexts_path(const char *path)
{
    if (path && *path)
        return xstrdup(path);
    const char *dir = getenv("XDG_CONFIG_HOME");
    if (dir && dir[0] == '/')
        return xasprintf("%s/muster/config.yaml", dir);
    const char *home = getenv("HOME");
    return xasprintf("%s/.config/muster/config.yaml", home && *home ? home : "/root");
}

struct context *contexts_find(struct contexts *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->v[i].name, name) == 0)
            return &c->v[i];
    return NULL;
}

struct context *contexts_add(struct contexts *c, const char *name)
{
    struct context *x = contexts_find(c, name);
    if (x)
        return x;
    c->v = xreallocarray(c->v, c->n + 1, sizeof(*c->v));
    x = &c->v[c->n++];
    *x = (struct context){ .name = xstrdup(name) };
    return x;
}

void contexts_remove(struct contexts *c, struct context *x)
{
    size_t i = (size_t)(x - c->v);
    if (c->current && strcmp(c->current, x->name) == 0) {
        free(c->current);
        c->current = NULL;
    }
    context_done(x);
    memmove(&c->v[i], &c->v[i + 1], (c->n - i - 1) * sizeof(*c->v));
    c->n--;
}

/* -- text */

/* A YAML scalar is text whether quoted or bare. */
static char *text_of(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);
    if (!n || n->type != NODE_STR || n->s.len == 0 || str_has_nul(n->s))
        return NULL;
    return str_dup(n->s);
}

static int read_context(struct contexts *c, const struct node *n, const char *path, struct err *err)
{
    if (n->type != NODE_MAP || n->key.len == 0 || c->n >= MAX_CONTEXTS)
        return err_set(err, -EINVAL, "config.bad", "%s:%u: a context is a name and its server, pin, token",
                       path, n->line);
    AUTO_FREE char *name = str_dup(n->key);
    struct context *x = contexts_add(c, name);
    x->server = text_of(n, "server");
    x->pin = text_of(n, "pin");
    x->ca = text_of(n, "ca");
    x->fleet = text_of(n, "fleet");
    x->user = text_of(n, "user");
    x->token = text_of(n, "token");
    AUTO_FREE char *id = text_of(n, "token_id");
    if (id)
        (void)str_to_u64(str_of(id), &x->token_id);
    return 0;
}

int contexts_parse(struct contexts *c, struct str text, const char *path, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(CONFIG_ARENA);
    struct node *root;
    struct err inner = { 0 };
    if (yaml_parse(a, text, LIMIT_YAML_BYTES, &root, &inner) < 0)
        return err_set(err, -EINVAL, "config.bad", "%s: %s", path, inner.text);
    if (root->type != NODE_MAP)
        return err_set(err, -EINVAL, "config.bad", "%s: not a mapping", path);
    for (const struct node *n = root->child; n && !c->stray; n = n->next)
        if (!str_is(n->key, "contexts") && !str_is(n->key, "current"))
            c->stray = str_dup(n->key);
    const struct node *all = node_get(root, "contexts");
    if (all && all->type != NODE_MAP && all->type != NODE_NULL)
        return err_set(err, -EINVAL, "config.bad", "%s: contexts is not a mapping", path);
    for (const struct node *n = all && all->type == NODE_MAP ? all->child : NULL; n; n = n->next) {
        int r = read_context(c, n, path, err);
        if (r < 0)
            return r;
    }
    c->current = text_of(root, "current");
    return 0;
}

static void put_text(struct buf *out, const char *indent, const char *key, const char *value, int *r)
{
    if (!value || *r < 0)
        return;
    struct jw w = JW(out);
    buf_printf(out, "%s%s: ", indent, key);
    jw_cstr(&w, value);
    *r = jw_done(&w);
    if (*r == 0)
        *r = buf_char(out, '\n');
}

int contexts_write(const struct contexts *c, struct buf *out)
{
    int r = buf_cstr(
        out, "# Servers muster knows; written by `muster login`. Holds tokens: keep it to yourself.\n");
    put_text(out, "", "current", c->current, &r);
    if (r == 0)
        r = buf_cstr(out, c->n ? "contexts:\n" : "contexts: {}\n");
    for (size_t i = 0; i < c->n && r == 0; i++) {
        const struct context *x = &c->v[i];
        struct jw w = JW(out);
        buf_cstr(out, "  ");
        jw_cstr(&w, x->name);
        r = buf_cstr(out, ":\n");
        put_text(out, "    ", "server", x->server, &r);
        put_text(out, "    ", "pin", x->pin, &r);
        put_text(out, "    ", "fleet", x->fleet, &r);
        put_text(out, "    ", "user", x->user, &r);
        put_text(out, "    ", "token", x->token, &r);
        if (r == 0 && x->token_id)
            r = buf_printf(out, "    token_id: \"%llu\"\n", (unsigned long long)x->token_id);
        put_text(out, "    ", "ca", x->ca, &r);
    }
    return r;
}

/* -- file */

static bool holds_token(const struct contexts *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].token)
            return true;
    return false;
}

int contexts_load(struct contexts *c, const char *path, struct err *err)
{
    c->path = xstrdup(path);
    AUTO(buf_done_secret) struct buf b = BUF(LIMIT_YAML_BYTES);
    int r = fd_read_file(path, &b);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return err_set(err, r, "config.read", "cannot read %s: %m", path);
    r = contexts_parse(c, buf_as_str(&b), path, err);
    if (r < 0)
        return r;
    struct stat st;
    if (holds_token(c) && stat(path, &st) == 0 && (st.st_mode & 077))
        return err_set(err, -EPERM, "config.permissions",
                       "%s holds a token and others may read it: chmod 600 %s", path, path);
    return 0;
}

int contexts_are_ours(const struct contexts *c, struct err *err)
{
    /* MUSTER_CONFIG is musterd's variable too: its file is read past (nothing in it is ours), but never overwritten. */
    if (!c->stray)
        return 0;
    return err_set(err, -EINVAL, "config.foreign", "%s is not muster's own file (%s in it is not; is it musterd's?) and is left as it is; name another with --config",
                   c->path, c->stray);
}

int contexts_save(const struct contexts *c, struct err *err)
{
    if (contexts_are_ours(c, err) < 0)
        return -EINVAL;
    AUTO(buf_done_secret) struct buf b = BUF(LIMIT_YAML_BYTES);
    if (contexts_write(c, &b) < 0)
        return err_set(err, -ENOBUFS, "config.write", "%s would be too large", c->path);
    AUTO_FREE char *dir = xstrdup(c->path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir) {
        *slash = '\0';
        int r = fd_mkdirs(dir, 0700);
        if (r < 0)
            return err_set(err, r, "config.write", "cannot make %s: %m", dir);
    }
    int r = fd_replace_file(c->path, buf_as_str(&b), 0600, err);
    if (r < 0)
        return err_set(err, r, "config.write", "cannot write %s: %m", c->path);
    return 0;
}
