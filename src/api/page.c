/* api/page.c - see page.h. */
#include "api/page.h"

#include "api/reply.h"
#include "base/mem.h"

struct page *page_new(struct call *c, uint32_t limit)
{
    struct page *p = xnew0(struct page);

    *p = (struct page){ .c = call_ref(c), .limit = limit ? limit : PAGE_DEFAULT };
    return p;
}

struct page *page_open(struct call *c, const char *key, uint32_t limit)
{
    (void)page_begin_whole(c, key);
    return page_new(c, limit);
}

void page_free(struct page *p)
{
    if (!p)
        return;
    call_unref(p->c);
    free(p);
}

uint32_t page_want(const struct page *p)
{
    return p->limit + 1;
}

struct jw *page_row(struct page *p, uint64_t id)
{
    if (call_is_gone(p->c) || ++p->n > p->limit)
        return NULL;
    p->last = id;
    return call_json(p->c);
}

bool page_broke(struct page *p, int result)
{
    if (call_is_gone(p->c))
        return true;
    if (result >= 0)
        return false;
    reply_unread(p->c, result);
    return true;
}

void page_done(void *ctx, int result)
{
    AUTO(page_free) struct page *p = ctx;
    struct jw *w;

    if (page_broke(p, result))
        return;
    w = call_json(p->c);
    jw_end_list(w);
    if (p->n > p->limit && !p->has_no_pages) {
        jw_key(w, "next");
        jw_u64(w, p->last);
    }
    jw_end_map(w);
    reply_now(p->c, 200);
}

struct jw *page_begin_whole(struct call *c, const char *key)
{
    struct jw *w = call_json(c);

    jw_map(w);
    jw_key(w, key);
    jw_list(w);
    return w;
}

void page_end_whole(struct call *c)
{
    struct jw *w = call_json(c);

    jw_end_list(w);
    jw_end_map(w);
    reply_parked(c, 200);
}
