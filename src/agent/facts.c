/* agent/facts.c - the files STATE/facts/SECTION. Loop thread of the agent. */
#include "agent/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/mem.h"

enum { FACTS_VERSION = 1 };
static const char facts_magic[4] = { 'M', 'I', 'F', FACTS_VERSION };

static char *facts_path(const char *state_dir, enum section s)
{
    return xasprintf("%s/facts/%s", state_dir, name_of(section_names, (int)s));
}

int facts_read(const char *state_dir, enum section s, struct buf *b, uint32_t *ret_status, struct fact_digest *ret_digest)
{
    AUTO_FREE char *path = facts_path(state_dir, s);
    uint32_t crc;
    int r = fd_read_file(path, b);

    if (r < 0)
        return r;
    if (b->len < FACTS_HEAD_BYTES || memcmp(b->ptr, facts_magic, 4) != 0)
        return -EBADMSG;
    memcpy(&crc, b->ptr + 4, 4);
    if (crc != crc32c(str_bytes(b->ptr + 8, b->len - 8)))
        return -EBADMSG;
    memcpy(ret_status, b->ptr + 8, 4);
    memcpy(ret_digest->b, b->ptr + 12, SHA256_LEN);
    buf_consume(b, FACTS_HEAD_BYTES);
    return body_check(buf_as_str(b));
}

int facts_write(const char *state_dir, enum section s, uint32_t status, const struct fact_digest *digest, struct str body)
{
    AUTO_FREE char *path = facts_path(state_dir, s);
    AUTO_FREE char *tmp = xasprintf("%s.tmp~", path);
    AUTO_FD int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint8_t head[FACTS_HEAD_BYTES];
    uint32_t crc;
    int r;

    if (fd < 0)
        return -errno;
    memcpy(head, facts_magic, 4);
    memcpy(head + 8, &status, 4);
    memcpy(head + 12, digest->b, SHA256_LEN);
    crc = crc32c_more(crc32c(str_bytes(head + 8, sizeof(head) - 8)), body);
    memcpy(head + 4, &crc, 4);

    struct iovec iov[] = { iov_of(head, sizeof(head)), iov_of(body.ptr, body.len) };

    r = fd_writev_all(fd, iov, body.len ? 2 : 1);
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(tmp);
    return r;
}
