/* net/grpc_frame.h - gRPC's own layer without HTTP/2: length-prefixed messages, timeouts, percent-encoded texts.
 * No I/O. Loop thread.
 *
 *     1 byte compressed flag | 4 bytes length, big endian | message          (gRPC over HTTP/2, "Length-Prefixed-Message") */
#ifndef MUSTER_NET_GRPC_FRAME_H
#define MUSTER_NET_GRPC_FRAME_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"

enum { GRPC_PREFIX_LEN = 5, GRPC_TIMEOUT_MAX = 16 };

/* All-zero is ready; holds memory only while a message is half there. */
struct grpc_reader {
    uint8_t prefix[GRPC_PREFIX_LEN];
    uint8_t n_prefix;
    uint8_t *ptr;
    uint32_t len, cap, want;
};
/* One whole message, lent; false stops the reading (the call is over). */
typedef bool (*grpc_frame_fn)(void *ctx, struct str msg);
enum { GRPC_FRAME_OK = 0, GRPC_FRAME_TOO_BIG, GRPC_FRAME_COMPRESSED, GRPC_FRAME_STOPPED };
/* Eats @piece; @fn for each message that is complete. A message longer than @max ends it with GRPC_FRAME_TOO_BIG as soon
 * as its prefix is read. After anything but GRPC_FRAME_OK only grpc_reader_done() is allowed. */
int grpc_reader_feed(struct grpc_reader *r, size_t max, struct str piece, grpc_frame_fn fn, void *ctx);
void grpc_reader_done(struct grpc_reader *r);
/* True between messages: the stream may end here. */
static inline bool grpc_reader_is_empty(const struct grpc_reader *r)
{
    return r->n_prefix == 0;
}
void grpc_prefix(uint8_t dst[GRPC_PREFIX_LEN], size_t len);

/* "100m" -> 100,000 us; at most 8 digits and one of H M S m u n (gRPC "Timeout"). 0 or -EINVAL. */
int grpc_timeout_parse(struct str s, usec_t *ret);
void grpc_timeout_format(usec_t t, char dst[GRPC_TIMEOUT_MAX]);
/* Status-Message: printable ASCII but '%' as it is, the rest %XX. 0 or -ENOBUFS. Decoding never fails: what is no
 * valid escape stays as it is. */
int grpc_percent_encode(struct buf *dst, struct str s);
int grpc_percent_decode(struct buf *dst, struct str s);

#endif
