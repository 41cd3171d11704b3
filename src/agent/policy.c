/* agent/policy.c - see policy.h. */
#include "agent/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/yaml.h"

enum { POLICY_LIST_MAX = 256 };

/* Keys that switch one role by themselves: "run: off" says what matters most in one word, where "roles:" has to name every role that may
 * stay. Either is enough to forbid. */
static const struct {
    const char *key, *role;
    size_t offset; /* of the bool in struct policy */
} switches[] = {
    { "run", "command", offsetof(struct policy, run) },
};

/* The switch called @key, or NULL. */
static bool *find_switch(struct policy *p, struct str key)
{
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        if (str_is(key, switches[i].key))
            return (bool *)(void *)((char *)p + switches[i].offset);
    return NULL;
}

static void words_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

void policy_done(struct policy *p)
{
    words_free(p->users);
    words_free(p->roles);
    *p = (struct policy){ 0 };
}

static int bad(struct err *err, const char *path, const struct node *n, const char *what)
{
    return err_set(err, -EINVAL, "policy.bad", "%s line %u: %.*s: %s", path, n->line, STR_FMT(n->key), what);
}

static int read_list(const char *path, const struct node *n, char ***ret, struct err *err)
{
    size_t at = 0;

    if (n->type != NODE_LIST)
        return bad(err, path, n, "must be a list");
    if (n->n > POLICY_LIST_MAX)
        return bad(err, path, n, "has too many entries");
    if (*ret)
        return bad(err, path, n, "is there twice");
    *ret = xcalloc(n->n + 1, sizeof(**ret));
    for (const struct node *c = n->child; c; c = c->next) {
        if (c->type != NODE_STR || c->s.len == 0)
            return bad(err, path, n, "must be a list of names");
        (*ret)[at++] = str_dup(c->s);
    }
    return 0;
}

static int read_switch(const char *path, const struct node *n, bool *ret, struct err *err)
{
    static const char *const yes[] = { "on", "yes", "true" }, *const no[] = { "off", "no", "false" };

    if (n->type == NODE_BOOL) {
        *ret = n->b;
        return 0;
    }
    for (int i = 0; n->type == NODE_STR && i < 3; i++)
        if (str_is(n->s, yes[i]) || str_is(n->s, no[i])) {
            *ret = str_is(n->s, yes[i]);
            return 0;
        }
    return bad(err, path, n, "must be on or off");
}

static int read_text(const char *path, struct str text, struct policy *p, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(LIMIT_YAML_BYTES * 4);
    struct node *root = NULL;
    int r = yaml_parse(a, text, LIMIT_YAML_BYTES, &root, err);

    if (r < 0) {
        err_prefix(err, "%s", path);
        return r;
    }
    if (root->type != NODE_MAP)
        return err_set(err, -EINVAL, "policy.bad", "%s: must be a map (run:, users:, roles:)", path);
    for (const struct node *n = root->child; r == 0 && n; n = n->next) {
        bool *is_on = find_switch(p, n->key);
        if (is_on)
            r = read_switch(path, n, is_on, err);
        else if (str_is(n->key, "users"))
            r = read_list(path, n, &p->users, err);
        else if (str_is(n->key, "roles"))
            r = read_list(path, n, &p->roles, err);
        else /* a misspelt restriction must not become a permission */
            r = bad(err, path, n, "is not known (run, users, roles are)");
    }
    return r;
}

int policy_read(const char *path, bool must_exist, struct policy *ret, struct err *err)
{
    AUTO(policy_done) struct policy p = { .run = true };
    AUTO(buf_done) struct buf text = BUF(LIMIT_YAML_BYTES);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a pipe somebody put there must not hold us */
    int r;

    if (fd < 0 && errno == ENOENT && !must_exist) {
        *ret = p;
        p = (struct policy){ 0 };
        return 0;
    }
    if (fd < 0)
        return err_set(err, -errno, "policy.read", "%s: %m", path);
    r = fd_check_owned(fd, path, "policy.writable", err);
    if (r < 0)
        return r;
    r = fd_read_file(path, &text);
    if (r < 0)
        return err_set(err, r, "policy.read", "%s: %m", path);
    r = read_text(path, buf_as_str(&text), &p, err);
    if (r < 0)
        return r;
    *ret = p;
    p = (struct policy){ 0 };
    return 0;
}

bool policy_allows_role(const struct policy *p, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(switches); i++)
        if (strcmp(switches[i].role, name) == 0 && !*(const bool *)((const char *)p + switches[i].offset))
            return false;
    if (!p->roles)
        return true;
    for (size_t i = 0; p->roles[i]; i++)
        if (strcmp(p->roles[i], name) == 0)
            return true;
    return false;
}
