/* base/uuid.h - RFC 9562 identifiers as 16 bytes and as 36-character lower-case text. Any thread. */
#ifndef MUSTER_UUID_H
#define MUSTER_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

enum { UUID_TEXT_LEN = 36, UUID_TEXT_MAX = 37 };

struct uuid {
    uint8_t b[16];
};

struct uuid uuid_v4(void);
/* Version 7 from @wall and random bits; ids made in one process with the same millisecond still sort. */
struct uuid uuid_v7(usec_t wall);
/* Writes 36 characters and a NUL. */
void uuid_format(const struct uuid *u, char dst[UUID_TEXT_MAX]);
/* Either case, with hyphens. 0 or -EINVAL. */
int uuid_parse(struct str s, struct uuid *ret);
bool uuid_eq(const struct uuid *a, const struct uuid *b);
bool uuid_is_nil(const struct uuid *a);

#endif
