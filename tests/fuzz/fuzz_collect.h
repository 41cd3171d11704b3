/* tests/fuzz/fuzz_collect.h - runs one section with one file of its tree being the input; the body must be well formed. */
#ifndef FUZZ_COLLECT_H
#define FUZZ_COLLECT_H

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/collect/collect.h"
#include "base/fd.h"
#include "base/limits.h"
#include "fleet/inventory.h"

static char fuzz_root[64];

static void fuzz_cleanup(void)
{
    fd_remove_tree(fuzz_root);
}

/* ROOT + @path now holds the input. */
static inline void fuzz_put(const char *path, const uint8_t *data, size_t n)
{
    char full[256];
    if (!fuzz_root[0]) {
        snprintf(fuzz_root, sizeof(fuzz_root), "/tmp/muster-fuzz-XXXXXX");
        if (!mkdtemp(fuzz_root))
            abort();
        atexit(fuzz_cleanup);
    }
    snprintf(full, sizeof(full), "%s%s", fuzz_root, path);
    char *slash = strrchr(full, '/');
    *slash = '\0';
    if (fd_mkdirs(full, 0755) < 0)
        abort();
    *slash = '/';
    AUTO_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (fd < 0 || fd_write_all(fd, data, n) < 0)
        abort();
}

static inline void fuzz_run(enum section s)
{
    AUTO(buf_done) struct buf body = BUF(LIMIT_SECTION_BYTES);
    enum section_status status;
    char message[COLLECT_MESSAGE_MAX];
    assert(collect_section(s, fuzz_root, &body, &status, message) == 0);
    assert(body_check(buf_as_str(&body)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define FUZZ_FILE(path, section)                                                                   \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)                                      \
    {                                                                                              \
        fuzz_put(path, data, n);                                                                   \
        fuzz_run(section);                                                                         \
        return 0;                                                                                  \
    }

#endif
