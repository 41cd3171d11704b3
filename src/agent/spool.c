/* agent/spool.c - see spool.h.
 *
 *   head    u8 magic[4] "MSP" version, u32 crc32c of the rest of it, u64 epoch, u64 base
 *   record  u32 length, u32 crc32c, payload; little-endian
 *
 * The sequence number of a record is base + the file offset of its end: numbers need no index, and the record behind a number
 * begins where that number points. When acknowledged records are thrown away, base grows by what they took. */
#include "agent/spool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"

enum {
    SPOOL_VERSION = 1,
    SPOOL_MIN_BYTES = 4096,
    HEAD_BYTES = 24,
    RECORD_HEADER_BYTES = 8,
    COMPACT_BYTES = 64 << 10, /* acknowledged bytes that are worth a new file */
    KEEP_BYTES = 4096,        /* of the reading buffer, between messages */
};
static const char head_magic[4] = { 'M', 'S', 'P', SPOOL_VERSION };

struct spool {
    int fd;
    char *path;
    size_t max_bytes;
    uint64_t epoch, base;
    uint64_t used_bytes;  /* of the file, head included: where the next record goes */
    uint64_t acked_bytes; /* offset of the oldest record not acknowledged */
    bool torn;            /* bytes beyond used_bytes that could not be cut off yet */
    struct buf lent;
};

static void put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void head_write(uint64_t epoch, uint64_t base, uint8_t head[HEAD_BYTES])
{
    memcpy(head, head_magic, 4);
    for (int i = 0; i < 8; i++) {
        head[8 + i] = (uint8_t)(epoch >> (8 * i));
        head[16 + i] = (uint8_t)(base >> (8 * i));
    }
    put_le32(head + 4, crc32c(str_bytes(head + 8, HEAD_BYTES - 8)));
}

static bool head_read(const uint8_t head[HEAD_BYTES], uint64_t *ret_epoch, uint64_t *ret_base)
{
    if (memcmp(head, head_magic, 4) != 0 || get_le32(head + 4) != crc32c(str_bytes(head + 8, HEAD_BYTES - 8)))
        return false;
    *ret_epoch = (uint64_t)get_le32(head + 8) | (uint64_t)get_le32(head + 12) << 32;
    *ret_base = (uint64_t)get_le32(head + 16) | (uint64_t)get_le32(head + 20) << 32;
    return true;
}

/* Reads exactly @n bytes at @at: 0, -EIO when the file is shorter, -errno. */
static int read_at(int fd, void *p, size_t n, uint64_t at)
{
    for (size_t have = 0; have < n;) {
        ssize_t r = pread(fd, (uint8_t *)p + have, n - have, (off_t)(at + have));

        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return r < 0 ? -errno : -EIO;
        have += (size_t)r;
    }
    return 0;
}

/* Half a record would hide every later one from recovery, so nothing may be appended until the tail is cut. */
static int spool_cut_tail(struct spool *s)
{
    s->torn = ftruncate(s->fd, (off_t)s->used_bytes) < 0;
    return s->torn ? -errno : 0;
}

/* Makes a new file with the records from @from on, in place of the old one, which stands if anything fails. */
static int spool_rewrite(struct spool *s, uint64_t epoch, uint64_t base, uint64_t from)
{
    AUTO_FREE char *tmp = xasprintf("%s.tmp~", s->path);
    AUTO_FD int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    uint8_t bytes[HEAD_BYTES > 4096 ? HEAD_BYTES : 4096];
    int r;

    if (fd < 0)
        return -errno;
    head_write(epoch, base, bytes);
    r = fd_write_all(fd, bytes, HEAD_BYTES);
    for (uint64_t at = from; r == 0 && at < s->used_bytes;) {
        size_t n = s->used_bytes - at < sizeof(bytes) ? (size_t)(s->used_bytes - at) : sizeof(bytes);

        r = read_at(s->fd, bytes, n, at);
        if (r == 0)
            r = fd_write_all(fd, bytes, n);
        at += n;
    }
    if (r == 0 && (fsync(fd) < 0 || rename(tmp, s->path) < 0))
        r = -errno;
    if (r < 0) {
        (void)unlink(tmp);
        return r;
    }
    (void)fd_sync_parent(s->path); /* if this is lost, the old file is there, and is as true */
    s->used_bytes = HEAD_BYTES + (s->used_bytes > from ? s->used_bytes - from : 0);
    s->acked_bytes = HEAD_BYTES;
    s->epoch = epoch;
    s->base = base;
    s->torn = false;
    fd_close(&s->fd);
    s->fd = fd;
    fd = -1;
    return 0;
}

int spool_renew(struct spool *s)
{
    uint64_t used = s->used_bytes;
    int r = spool_rewrite(s, rand_u64() | 1, 0, used);

    return r;
}

/* Walks the records; what does not check is the torn end. */
static int spool_recover(struct spool *s, const char *path, struct err *err)
{
    uint8_t head[HEAD_BYTES];
    struct stat st;
    int r;

    if (fstat(s->fd, &st) < 0)
        return err_set(err, -errno, "spool.stat", "%s: %m", path);
    if (st.st_size < HEAD_BYTES || read_at(s->fd, head, sizeof(head), 0) < 0 || !head_read(head, &s->epoch, &s->base)) {
        r = spool_renew(s);
        return r < 0 ? err_set(err, r, "spool.make", "%s: %m", path) : 0;
    }

    s->used_bytes = s->acked_bytes = HEAD_BYTES;
    while ((uint64_t)st.st_size - s->used_bytes > RECORD_HEADER_BYTES) {
        uint64_t room = (uint64_t)st.st_size - s->used_bytes - RECORD_HEADER_BYTES;
        uint8_t record[RECORD_HEADER_BYTES], *p;
        uint32_t n;

        if (read_at(s->fd, record, sizeof(record), s->used_bytes) < 0)
            break;
        n = get_le32(record);
        if (n == 0 || n > room || n > s->max_bytes)
            break;
        buf_reset(&s->lent);
        if (buf_reserve(&s->lent, n, &p) < 0 || read_at(s->fd, p, n, s->used_bytes + RECORD_HEADER_BYTES) < 0 ||
            crc32c(str_bytes(p, n)) != get_le32(record + 4))
            break;
        s->used_bytes += RECORD_HEADER_BYTES + n;
    }
    buf_reset(&s->lent);
    buf_trim(&s->lent, KEEP_BYTES);
    if ((uint64_t)st.st_size > s->used_bytes) {
        r = spool_cut_tail(s);
        if (r < 0)
            return err_set(err, r, "spool.cut", "%s: %m", path);
    }
    return 0;
}

int spool_open(const char *path, size_t max_bytes, struct spool **ret, struct err *err)
{
    AUTO(spool_free) struct spool *s = NULL;
    int r;

    assert(path && ret);

    if (max_bytes < SPOOL_MIN_BYTES)
        return err_set(err, -EINVAL, "spool.too_small", "max_bytes %zu", max_bytes);

    s = xnew0(struct spool);
    *s = (struct spool){ .fd = -1, .max_bytes = max_bytes, .path = xstrdup(path), .lent = BUF(max_bytes) };

    s->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return err_set(err, -errno, "spool.open", "%s: %m", path);

    r = spool_recover(s, path, err);
    if (r < 0)
        return r;

    *ret = TAKE(s);
    return 0;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    fd_close(&s->fd);
    buf_done(&s->lent);
    free(s->path);
    free(s);
}

static int spool_compact(struct spool *s)
{
    return spool_rewrite(s, s->epoch, s->base + (s->acked_bytes - HEAD_BYTES), s->acked_bytes);
}

static bool spool_has_room(const struct spool *s, size_t n)
{
    uint64_t room = s->max_bytes > s->used_bytes ? s->max_bytes - s->used_bytes : 0;

    return room >= RECORD_HEADER_BYTES && n <= room - RECORD_HEADER_BYTES;
}

int spool_append(struct spool *s, struct str msg, uint64_t *ret_seq)
{
    uint8_t header[RECORD_HEADER_BYTES];
    int r;

    assert(s && ret_seq && msg.len > 0);

    if (msg.len > UINT32_MAX || (!spool_has_room(s, msg.len) && (s->acked_bytes == HEAD_BYTES || spool_compact(s) < 0 ||
                                                                !spool_has_room(s, msg.len))))
        return SPOOL_FULL;

    r = s->torn ? spool_cut_tail(s) : 0;
    if (r < 0)
        return r;

    put_le32(header, (uint32_t)msg.len);
    put_le32(header + 4, crc32c(msg));

    struct iovec iov[] = { iov_of(header, sizeof(header)), iov_of(msg.ptr, msg.len) };

    r = fd_writev_all(s->fd, iov, 2);
    if (r == 0 && fdatasync(s->fd) < 0)
        r = -errno;
    if (r < 0) {
        (void)spool_cut_tail(s); /* if this fails too, s->torn makes the next append retry */
        return r;
    }

    s->used_bytes += sizeof(header) + msg.len;
    *ret_seq = s->base + s->used_bytes;
    return SPOOL_OK;
}

int spool_next(struct spool *s, uint64_t seq, struct str *ret_msg, uint64_t *ret_seq)
{
    uint64_t at = seq > s->base + s->acked_bytes ? seq - s->base : s->acked_bytes;
    uint8_t record[RECORD_HEADER_BYTES], *p;
    uint32_t n;
    int r;

    buf_reset(&s->lent);
    buf_trim(&s->lent, KEEP_BYTES);
    if (at >= s->used_bytes)
        return 0;
    r = read_at(s->fd, record, sizeof(record), at);
    if (r < 0)
        return r;
    n = get_le32(record);
    if (n == 0 || n > s->used_bytes - at - RECORD_HEADER_BYTES || buf_reserve(&s->lent, n, &p) < 0)
        return -EBADMSG;
    r = read_at(s->fd, p, n, at + RECORD_HEADER_BYTES);
    if (r < 0)
        return r;
    buf_commit(&s->lent, n);
    if (crc32c(buf_as_str(&s->lent)) != get_le32(record + 4))
        return -EBADMSG;
    *ret_msg = buf_as_str(&s->lent);
    *ret_seq = s->base + at + RECORD_HEADER_BYTES + n;
    return 1;
}

int spool_peek(struct spool *s, struct str *ret_msg, uint64_t *ret_seq)
{
    return spool_next(s, 0, ret_msg, ret_seq);
}

void spool_ack(struct spool *s, uint64_t seq)
{
    uint64_t at = seq > s->base ? seq - s->base : 0;

    if (at > s->used_bytes)
        at = s->used_bytes;
    if (at <= s->acked_bytes)
        return;
    s->acked_bytes = at;
    buf_reset(&s->lent);
    buf_trim(&s->lent, 0);
    if (s->acked_bytes - HEAD_BYTES >= COMPACT_BYTES || s->acked_bytes > s->max_bytes / 2)
        (void)spool_compact(s); /* a full disk: later */
}

void spool_settle(struct spool *s)
{
    if (s->acked_bytes > HEAD_BYTES)
        (void)spool_compact(s); /* a full disk: the old file is as true, and says less */
}

uint64_t spool_epoch(const struct spool *s)
{
    return s->epoch;
}

uint64_t spool_first_seq(struct spool *s)
{
    struct str msg;
    uint64_t seq;

    return spool_peek(s, &msg, &seq) == 1 ? seq : 0;
}

uint64_t spool_last_seq(const struct spool *s)
{
    uint64_t last = s->base + s->used_bytes;

    return last > HEAD_BYTES ? last : 0;
}

bool spool_is_empty(const struct spool *s)
{
    return s->acked_bytes >= s->used_bytes;
}
