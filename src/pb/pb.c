/* pb/pb.c - see pb.h. */
#include "pb/pb.h"

#include <assert.h>
#include <errno.h>

#include "base/arena.h"

static void *pb__alloc(void *ctx, size_t n)
{
    struct pb_arena *pa = ctx;
    void *p = arena_alloc(pa->arena, n);

    if (!p)
        pa->is_full = true;
    return p;
}

/* Everything goes at once with the arena. */
static void pb__free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

void pb_arena_init(struct pb_arena *pa, size_t max_bytes)
{
    assert(pa);

    *pa = (struct pb_arena){ .arena = arena_new(max_bytes) };
    pa->alloc = (ProtobufCAllocator){ .alloc = pb__alloc, .free = pb__free, .allocator_data = pa };
}

void pb_arena_reset(struct pb_arena *pa)
{
    pa->is_full = false;
    arena_reset(pa->arena);
}

void pb_arena_done(struct pb_arena *pa)
{
    if (!pa)
        return;
    arena_free(pa->arena);
    *pa = (struct pb_arena){ 0 };
}

void *pb_unpack(const ProtobufCMessageDescriptor *desc, struct pb_arena *pa, struct str bytes)
{
    assert(desc && pa && pa->arena);

    /* The arena may have moved since init (struct copies): keep the back pointer true. */
    pa->alloc.allocator_data = pa;
    return protobuf_c_message_unpack(desc, &pa->alloc, bytes.len, (const uint8_t *)bytes.ptr);
}

int pb_pack(const void *msg, struct buf *out)
{
    const ProtobufCMessage *m = msg;
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p;
    int r;

    r = buf_reserve(out, n, &p);
    if (r < 0)
        return r;

    buf_commit(out, protobuf_c_message_pack(m, p));
    return 0;
}
