/* fleet/select.h - which hosts: names, ids, label expressions. Pure.
 *
 * Grammar: term (',' term)*, all must hold. term = key '=' value | key '!=' value | key | '!' key | key '~' glob |
 * 'name' '=' glob | 'id' '=' uuid | 'status' '=' word. A value may be a|b|c. Keys: [A-Za-z0-9._/-]{1,128}. Only operator labels
 * match; labels a host claims never do. */
#ifndef MUSTER_FLEET_SELECT_H
#define MUSTER_FLEET_SELECT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/field.h"

struct selector;
/* Parses into @a. 0, or -EINVAL ("selector.bad": says where), -E2BIG (more than 32 terms), -ENOBUFS. */
int selector_parse(struct arena *a, struct str text, struct selector **ret, struct err *err);

struct selectable {
    struct str uuid, name, status;
    const struct kv_list *labels;
};
bool selector_match(const struct selector *s, const struct selectable *h);

/* '*' and '?' only, whole string. Linear. */
bool glob_match(struct str pattern, struct str s);
/* May an operator set it? What passes can be selected: "key=value" matches it. Keys above less name, id and status; values up to
 * LIMIT_LABEL_VALUE, valid UTF-8 without control characters, ',' and '|', not ending with a space.
 * 0 or -EINVAL ("label.bad", of the path @key). */
int label_check(struct str key, struct str value, struct err *err);

#endif
