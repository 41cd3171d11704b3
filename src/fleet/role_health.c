/* fleet/role_health.c - see role_health.h. */
#include "fleet/role_health.h"

#include <errno.h>

enum { MARK = 0x1f };

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20)
            return false;
    return true;
}

static bool is_status(int status)
{
    return status >= SECTION_OK && status <= SECTION_MISSING;
}

int role_health_add(struct buf *out, const struct role_health *r)
{
    size_t start = out->len;
    int e;

    if (r->name.len == 0 || !is_plain(r->name) || !is_plain(r->message) || !is_status((int)r->status))
        return -EINVAL;
    e = buf_printf(out, "%.*s%c%d%c%.*s\n", STR_FMT(r->name), MARK, (int)r->status, MARK, STR_FMT(r->message));
    if (e < 0)
        out->len = start;
    return e < 0 ? -ENOBUFS : 0;
}

int role_health_next(struct str *rest, struct role_health *ret)
{
    struct str line, name, status;

    if (rest->len == 0 || !str_cut(rest, '\n', &line) || !str_cut(&line, MARK, &name) || !str_cut(&line, MARK, &status))
        return 0;
    if (name.len == 0 || status.len != 1 || !is_status(status.ptr[0] - '0'))
        return 0;
    *ret = (struct role_health){ name, (enum section_status)(status.ptr[0] - '0'), line };
    return 1;
}
