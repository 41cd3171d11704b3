/* tests/unit/agent/collect/tree.c - see tree.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "fleet/inventory.h"
#include "tree.h"

int tree_setup(void **state)
{
    struct tree *t = xnew0(struct tree);
    snprintf(t->root, sizeof(t->root), "/tmp/muster-tree-XXXXXX");
    assert_non_null(mkdtemp(t->root));
    t->body = BUF(LIMIT_SECTION_BYTES);
    *state = t;
    return 0;
}

int tree_teardown(void **state)
{
    struct tree *t = *state;
    fd_remove_tree(t->root);
    buf_done(&t->body);
    free(t);
    return 0;
}

static void full_path(const struct tree *t, const char *path, char *dst, size_t size)
{
    snprintf(dst, size, "%s%s", t->root, path);
    char *slash = strrchr(dst, '/');
    *slash = '\0';
    assert_int_equal(fd_mkdirs(dst, 0755), 0);
    *slash = '/';
}

void tree_bytes(struct tree *t, const char *path, const void *p, size_t n)
{
    char full[1024];
    full_path(t, path, full, sizeof(full));
    AUTO_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, p, n), 0);
}

void tree_file(struct tree *t, const char *path, const char *text)
{
    tree_bytes(t, path, text, strlen(text));
}

void tree_link(struct tree *t, const char *path, const char *target)
{
    char full[1024];
    full_path(t, path, full, sizeof(full));
    assert_int_equal(symlink(target, full), 0);
}

void tree_dir(struct tree *t, const char *path)
{
    char full[1024];
    snprintf(full, sizeof(full), "%s%s", t->root, path);
    assert_int_equal(fd_mkdirs(full, 0755), 0);
}

void tree_remove(struct tree *t, const char *path)
{
    char full[1024];
    snprintf(full, sizeof(full), "%s%s", t->root, path);
    assert_int_equal(fd_remove_tree(full), 0);
}

size_t tree_run(struct tree *t, enum section s)
{
    buf_reset(&t->body);
    assert_int_equal(collect_section(s, t->root, &t->body, &t->status, t->message), 0);
    assert_int_equal(body_check(buf_as_str(&t->body)), 0);
    return body_count(buf_as_str(&t->body));
}

const char *tree_row(const struct tree *t, const char *key)
{
    static char json[LIMIT_ROW_BYTES + 1];
    struct fact_row row;
    for (size_t pos = 0; body_next(buf_as_str(&t->body), &pos, &row) == 1;)
        if (str_is(row.key, key)) {
            assert_int_equal(str_copy(row.json, json, sizeof(json)), 0);
            return json;
        }
    return NULL;
}
