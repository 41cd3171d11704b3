/* tests/unit/agent/collect/tree.h - a fake root directory for collectors, and their rows as text. */
#ifndef TEST_COLLECT_TREE_H
#define TEST_COLLECT_TREE_H

#include "agent/collect/collect.h"
#include "base/buf.h"

struct nlmsghdr;
struct tree {
    char root[64];
    struct buf body; /* of the last tree_run() */
    enum section_status status;
    char message[COLLECT_MESSAGE_MAX];
};
/* cmocka set-up and tear-down: *state is a struct tree. */
int tree_setup(void **state);
int tree_teardown(void **state);

void tree_file(struct tree *t, const char *path, const char *text);
void tree_bytes(struct tree *t, const char *path, const void *p, size_t n);
void tree_link(struct tree *t, const char *path, const char *target);
void tree_dir(struct tree *t, const char *path);
void tree_remove(struct tree *t, const char *path);

/* Runs a section; asserts that its body is well formed. Returns the number of rows. */
size_t tree_run(struct tree *t, enum section s);
/* The row's JSON, or NULL; valid until the next call of it. */
const char *tree_row(const struct tree *t, const char *key);

#endif
