/* base/blob.h - immutable refcounted bytes for many readers. The count is atomic: blobs may cross threads. */
#ifndef MUSTER_BLOB_H
#define MUSTER_BLOB_H

#include "base/auto.h"
#include "base/buf.h"
#include "base/str.h"

struct blob; /* opaque: count, length, bytes in one allocation */

/* A copy of @s with one reference, owned by the caller. */
struct blob *blob_new(struct str s);
/* Takes another reference; returns @b. */
struct blob *blob_ref(struct blob *b);
/* Drops one; the last one frees. NULL is a no-op. */
void blob_unref(struct blob *b);
DEFINE_AUTO(struct blob *, blob_unref)
/* The bytes: valid as long as the caller's reference. */
struct str blob_str(const struct blob *b);

#endif
