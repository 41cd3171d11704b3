/* agent/collect/owners.c - see owners.h. Cost: a readlink per open descriptor of every process until all inodes are found,
 * about 0.6 us each; at most OWNERS_LINKS_MAX. */
#include "agent/collect/owners.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/vec.h"

enum { OWNERS_LINKS_MAX = 200000, OWNERS_MAX = 200000 };

void owners__want(struct owners *o, uint64_t inode)
{
    if (inode == 0 || o->n == OWNERS_MAX)
        return;
    struct owner *w = vec_add(o);
    w->inode = inode;
}

static int by_inode(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

const struct owner *owners__of(const struct owners *o, uint64_t inode)
{
    struct owner key = { .inode = inode };
    return o->n ? bsearch(&key, o->v, o->n, sizeof(*o->v), by_inode) : NULL;
}

void owners__done(struct owners *o)
{
    vec_done(o);
}

struct walk {
    struct owners *o;
    struct arena *a;
    const char *root;
    size_t n_left, n_links;
};

static void found(struct walk *w, uint64_t inode, uint32_t pid)
{
    struct owner *own = (struct owner *)(uintptr_t)owners__of(w->o, inode);
    if (!own || own->pid)
        return;
    own->pid = pid;
    w->n_left--;
    own->process = src__word(w->a, w->root, "/proc/%u/comm", pid);
    own->exe = src__link(w->a, w->root, "/proc/%u/exe", pid);
}

static int on_process(void *ctx, const char *name)
{
    struct walk *w = ctx;
    uint64_t pid;
    char path[SRC_PATH_MAX];
    if (str_to_u64(str_of(name), &pid) < 0 || pid > UINT32_MAX || src__path(path, w->root, "/proc/%s/fd", name) < 0)
        return 0;
    DIR *d = opendir(path);
    if (!d)
        return 0; /* gone, or not ours to see */

    for (struct dirent *e; w->n_left && w->n_links < OWNERS_LINKS_MAX && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char target[64];
        ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof(target));
        struct str t = str_bytes(target, n > 0 ? (size_t)n : 0);
        uint64_t inode;
        w->n_links++;
        if (str_starts(t, STR("socket:[")) && str_ends(t, STR("]")) && str_to_u64(str_sub(t, 8, t.len - 9), &inode) == 0)
            found(w, inode, (uint32_t)pid);
    }
    closedir(d);
    return w->n_left == 0 || w->n_links >= OWNERS_LINKS_MAX;
}

void owners__find(struct owners *o, struct arena *a, const char *root)
{
    if (o->n == 0)
        return;
    qsort(o->v, o->n, sizeof(*o->v), by_inode);
    size_t n = 1;
    for (size_t i = 1; i < o->n; i++)
        if (o->v[i].inode != o->v[n - 1].inode)
            o->v[n++] = o->v[i];
    o->n = n;

    struct walk w = { .o = o, .a = a, .root = root, .n_left = o->n };
    (void)src__dir(root, "/proc", on_process, &w); /* rising pids, as the kernel lists them; without /proc all stay unknown */
    o->is_cut = w.n_left > 0 && w.n_links >= OWNERS_LINKS_MAX;
}
