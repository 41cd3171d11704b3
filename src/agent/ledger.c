/* agent/ledger.c - see ledger.h. Slot: u64 id, u32 state, u32 crc32c of the twelve bytes before; host byte order (the file never
 * leaves the host). The file is mapped for reading: 64 KiB that belong to the page cache, not to us. */
#include "agent/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/mem.h"

struct slot {
    uint64_t id;
    uint32_t state, crc;
};
enum { LEDGER_BYTES = LEDGER_SLOTS * LEDGER_SLOT_BYTES };

struct ledger {
    int fd;
    const struct slot *slots; /* the mapping */
    uint32_t next;            /* where the search for a free slot begins */
};

static uint32_t slot_crc(const struct slot *s)
{
    return crc32c(str_bytes(s, offsetof(struct slot, crc)));
}

static bool slot_is_valid(const struct slot *s)
{
    return s->state >= LEDGER_QUEUED && s->state <= LEDGER_FORGOTTEN && s->crc == slot_crc(s);
}

/* Zeros, not holes: a later write must not need the disk to have room. */
static int ledger_make_whole(int fd, int dir_fd, off_t have)
{
    static const char zeros[4096];

    for (off_t at = have & ~(off_t)4095; at < LEDGER_BYTES; at += (off_t)sizeof(zeros)) {
        size_t skip = at < have ? (size_t)(have - at) : 0;
        ssize_t n = pwrite(fd, zeros + skip, sizeof(zeros) - skip, at + (off_t)skip);

        if (n < 0)
            return -errno;
        if ((size_t)n < sizeof(zeros) - skip)
            return -ENOSPC;
    }
    return fsync(fd) < 0 || fsync(dir_fd) < 0 ? -errno : 0;
}

int ledger_open(int dir_fd, const char *name, struct ledger **ret, struct err *err)
{
    AUTO(ledger_free) struct ledger *g = xnew0(struct ledger);
    struct stat st;
    void *map;
    int r;

    g->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (g->fd < 0 || fstat(g->fd, &st) < 0)
        return err_set(err, -errno, "ledger.open", "%s: %m", name);
    if (st.st_size < LEDGER_BYTES) {
        r = ledger_make_whole(g->fd, dir_fd, st.st_size);
        if (r < 0)
            return err_set(err, r, "ledger.make", "%s: %m", name);
    }
    map = mmap(NULL, LEDGER_BYTES, PROT_READ, MAP_SHARED, g->fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, -errno, "ledger.map", "%s: %m", name);
    g->slots = map;

    /* Go on behind the newest id, so that the oldest are overwritten first. */
    uint64_t newest = 0;
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++)
        if (slot_is_valid(&g->slots[i]) && g->slots[i].id >= newest) {
            newest = g->slots[i].id;
            g->next = (i + 1) % LEDGER_SLOTS;
        }
    *ret = TAKE(g);
    return 0;
}

void ledger_free(struct ledger *g)
{
    if (!g)
        return;
    if (g->slots)
        (void)munmap((void *)(uintptr_t)g->slots, LEDGER_BYTES);
    fd_close(&g->fd);
    free(g);
}

/* Newest first: a question is mostly about a recent task. */
static const struct slot *ledger_find(const struct ledger *g, uint64_t id)
{
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++) {
        const struct slot *s = &g->slots[(g->next + LEDGER_SLOTS - 1 - i) % LEDGER_SLOTS];

        if (s->id == id && slot_is_valid(s))
            return s;
    }
    return NULL;
}

enum ledger_state ledger_get(const struct ledger *g, uint64_t task_id)
{
    const struct slot *s = ledger_find(g, task_id);

    return s ? (enum ledger_state)s->state : LEDGER_NEVER;
}

static const struct slot *ledger_room(struct ledger *g)
{
    for (uint32_t i = 0; i < LEDGER_SLOTS; i++) {
        uint32_t at = (g->next + i) % LEDGER_SLOTS;
        const struct slot *s = &g->slots[at];

        if (!slot_is_valid(s) || s->state == LEDGER_FORGOTTEN) {
            g->next = (at + 1) % LEDGER_SLOTS;
            return s;
        }
    }
    return NULL;
}

int ledger_set(struct ledger *g, uint64_t task_id, enum ledger_state state)
{
    struct slot v = { .id = task_id, .state = state };
    const struct slot *s = ledger_find(g, task_id);
    ssize_t n;

    assert(state != LEDGER_NEVER);
    if (!s && state == LEDGER_FORGOTTEN)
        return 0;
    if (!s)
        s = ledger_room(g);
    if (!s)
        return -ENOSPC;
    v.crc = slot_crc(&v);
    n = pwrite(g->fd, &v, sizeof(v), (off_t)((s - g->slots) * LEDGER_SLOT_BYTES));
    if (n != (ssize_t)sizeof(v))
        return n < 0 ? -errno : -EIO;
    if (state != LEDGER_FORGOTTEN && fdatasync(g->fd) < 0)
        return -errno;
    return 0;
}

bool ledger_next(const struct ledger *g, uint32_t *iter, uint64_t *ret_id, enum ledger_state *ret_state)
{
    for (; *iter < LEDGER_SLOTS; (*iter)++) {
        const struct slot *s = &g->slots[*iter];

        if (!slot_is_valid(s) || s->state == LEDGER_FORGOTTEN)
            continue;
        *ret_id = s->id;
        *ret_state = (enum ledger_state)s->state;
        (*iter)++;
        return true;
    }
    return false;
}
