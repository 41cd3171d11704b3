/* api/page.h - a list answered in pages, {"jobs":[...],"next":17}, from the request's limit to the last
 * bracket (private to api/). Core loop's thread.
 *
 *     struct page *p = page_open(c, "jobs", q->limit);
 *     read_jobs(c->control, q->before, page_want(p), on_job, page_done, p);
 *
 *     on_job:    struct jw *w = page_row(ctx, j->id);
 *                if (w)
 *                    view_job(j, w);
 *
 * One row more than the page holds is asked for: it is not shown, but tells that there is a next page. */
#ifndef MUSTER_API_PAGE_H
#define MUSTER_API_PAGE_H

#include "api/call.h"

enum { PAGE_DEFAULT = 1000, PAGE_MAX = 10000 };

/* The query field "limit" of struct @T: rows a page, 0 when it was not given. */
#define F_PAGE_LIMIT(T) F_U32(T, limit, "limit", .min_value = 1, .max_value = PAGE_MAX)

/* A read that fills a call's answer, page by page or one object. */
struct page {
    struct call *c; /* held */
    uint32_t n, limit;
    uint64_t last;     /* id of the last row shown */
    bool has_no_pages; /* set by who cannot go on from an id: "next" is never said */
};

/* A read for @c of at most @limit rows (0: PAGE_DEFAULT); nothing is written yet. To be ended with
 * page_done(), page_broke() or page_free(). */
struct page *page_new(struct call *c, uint32_t limit);
/* The same with the answer begun: {"@key":[ . */
struct page *page_open(struct call *c, const char *key, uint32_t limit);
/* Lets go of the call; NULL is a no-op. */
void page_free(struct page *p);
DEFINE_AUTO(struct page *, page_free)

/* Rows to ask the store for: the page's and one more. */
uint32_t page_want(const struct page *p);
/* Counts a row. Returns the writer to write it with, or NULL when it is not to be shown: the page is full, or
 * the client has gone. */
struct jw *page_row(struct page *p, uint64_t id);
/* End of a read (control's read_done_fn; @ctx: the page, freed here): closes list and object, says "next" if
 * there is more, and answers; or answers that the read failed. */
void page_done(void *ctx, int result);
/* For reads that end otherwise than page_done(): true when nothing is left to say, because the client has
 * gone or has just been told that the read failed. The page stays the caller's. */
bool page_broke(struct page *p, int result);

/* A list that is at hand whole: the answer begun, {"@key":[ , and its writer. */
struct jw *page_begin_whole(struct call *c, const char *key);
/* Closes list and object, and answers parked. */
void page_end_whole(struct call *c);

#endif
