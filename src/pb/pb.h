/* pb/pb.h - protobuf messages with a capped allocator. The generated types are in "muster.pb-c.h".
 *
 *   struct pb_arena pa = pb_arena(LIMIT_PB_ARENA);
 *   Muster__V1__AgentMessage *m = pb_unpack(&muster__v1__agent_message__descriptor, &pa, bytes);
 *   ... pb_arena_done(&pa) frees every node at once.
 *
 * Any thread (the arena is the caller's). */
#ifndef MUSTER_PB_H
#define MUSTER_PB_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/str.h"

/* A reusable bump allocator behind ProtobufCAllocator; keeps one 64 KiB chunk across resets. */
struct pb_arena {
    struct arena *arena;
    ProtobufCAllocator alloc;
    bool is_full;          /* the cap was met */
};
void pb_arena_init(struct pb_arena *pa, size_t max_bytes);
void pb_arena_reset(struct pb_arena *pa); /* forgets all messages unpacked with it */
void pb_arena_done(struct pb_arena *pa);

/* The message, valid until reset; NULL when malformed or over the cap. */
void *pb_unpack(const ProtobufCMessageDescriptor *desc, struct pb_arena *pa, struct str bytes);
/* Appends the packed message. 0 or -ENOBUFS. */
int pb_pack(const void *msg, struct buf *out);

static inline struct str pb_str(const char *s)
{
    return str_of(s);
}
static inline struct str pb_bytes(ProtobufCBinaryData b)
{
    return str_bytes(b.data, b.len);
}

#endif
