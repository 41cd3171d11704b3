/* wire/ports.c - see ports.h. */
#include "wire/ports.h"

#include "base/limits.h"

static const struct field ports_wish_fields[] = {
    F_U32(struct ports_wish, count, "count", .flags = FIELD_REQUIRED, .help = "How many free ports."),
    F_U32(struct ports_wish, ttl_seconds, "ttl_seconds", .flags = FIELD_OMIT,
          .help = "Keep them for so long; 0 or absent: nothing is reserved."),
    F_STR(struct ports_wish, owner, "owner", LIMIT_NAME, .flags = FIELD_OMIT,
          .help = "Whom they are kept for, for people."),
    F_BOOL(struct ports_wish, hold, "hold", .flags = FIELD_OMIT,
           .help = "With ttl_seconds: the agent keeps them bound, so that nobody else can take them."),
};
const struct record ports_wish_record = RECORD(ports_wish, ports_wish_fields);
