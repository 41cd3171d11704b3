/* api/follow.c - see follow.h. */
#include "api/follow.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/vec.h"

enum { PAGE = 200, HELD_MAX_BYTES = 1 << 20 };

struct held {
    uint64_t id;
    struct blob *json;
};
struct follow {
    struct follow_source src;
    struct sink sink;
    enum { IDLE, LIVE, READING, WAITING } state; /* WAITING: for room, then reads */
    bool is_dense, is_gone, held_overflowed;
    uint32_t busy;
    uint64_t cursor; /* everything up to here was sent or is not wanted; 0 with LIVE: not known */
    uint32_t n_page;
    VEC(struct held) held;
    size_t held_bytes;
};

struct follow *follow_new(const struct follow_source *src, bool is_dense)
{
    struct follow *f = xnew0(struct follow);

    *f = (struct follow){ .src = *src, .is_dense = is_dense };
    return f;
}

static void held_reset(struct follow *f)
{
    for (size_t i = 0; i < f->held.n; i++)
        blob_unref(f->held.v[i].json);
    f->held.n = 0;
    f->held_bytes = 0;
    f->held_overflowed = false;
}

static void maybe_free(struct follow *f)
{
    if (!f->is_gone || f->busy > 0 || f->state == READING)
        return; /* a read under way comes back to us */
    held_reset(f);
    vec_done(&f->held);
    free(f);
}

static void follow_gone(void *feed)
{
    struct follow *f = feed;

    if (f->is_gone)
        return;
    f->is_gone = true;
    f->src.over(f->src.ctx);
    maybe_free(f);
}

static void read_on(struct follow *f)
{
    held_reset(f); /* what is held now, the read will find */
    f->n_page = 0;
    f->state = READING;
    f->src.read(f->src.ctx, f, f->cursor, PAGE);
}

static void wait_for_room(struct follow *f)
{
    f->state = WAITING;
    f->sink.want_room(f->sink.ctx);
}

static void put(struct follow *f, uint64_t id, struct str json)
{
    if (id <= f->cursor)
        return;
    if (f->is_dense && f->cursor > 0 && id > f->cursor + 1) {
        char gap[80];
        int n =
            snprintf(gap, sizeof(gap), "{\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}", f->cursor + 1, id - 1);

        f->sink.put(f->sink.ctx, "gap", 0, str_bytes(gap, (size_t)n));
    }
    f->cursor = id;
    f->sink.put(f->sink.ctx, NULL, id, json);
}

void follow_start_after(struct follow *f, const struct sink *sink, uint64_t after)
{
    assert(f->state == IDLE);
    f->sink = *sink;
    f->cursor = after;
    read_on(f);
}

void follow_start_new(struct follow *f, const struct sink *sink)
{
    assert(f->state == IDLE);
    f->sink = *sink;
    f->state = LIVE;
}

static void hold(struct follow *f, uint64_t id, struct str json)
{
    struct held *h;

    if (f->held_overflowed || f->held_bytes + json.len > HELD_MAX_BYTES) {
        f->held_overflowed = true;
        return;
    }
    h = vec_add(&f->held);
    *h = (struct held){ .id = id, .json = blob_new(json) };
    f->held_bytes += json.len;
}

void follow_live(struct follow *f, uint64_t id, struct str json)
{
    if (f->is_gone)
        return;
    f->busy++;
    switch (f->state) {
    case LIVE:
        if (f->sink.has_room(f->sink.ctx)) {
            put(f, id, json);
        } else {
            if (f->cursor == 0) /* nothing sent yet: start before this one */
                f->cursor = id - 1;
            wait_for_room(f);
        }
        break;
    case READING:
        hold(f, id, json);
        break;
    case IDLE:
    case WAITING:
        break; /* the next read finds it */
    }
    f->busy--;
    maybe_free(f);
}

void follow_row(struct follow *f, uint64_t id, struct str json)
{
    if (f->is_gone)
        return;
    f->busy++;
    f->n_page++;
    put(f, id, json);
    f->busy--;
}

static void read_came_back(struct follow *f, int result)
{
    if (result < 0) {
        f->sink.end(f->sink.ctx); /* the client comes again with Last-Event-ID */
        follow_gone(f);
        return;
    }
    if (!f->sink.has_room(f->sink.ctx)) {
        wait_for_room(f);
        return;
    }
    if (f->n_page >= PAGE || f->held_overflowed) {
        read_on(f);
        return;
    }
    f->state = LIVE;
    for (size_t i = 0; i < f->held.n && !f->is_gone; i++)
        put(f, f->held.v[i].id, blob_str(f->held.v[i].json));
    held_reset(f);
}

void follow_read_done(struct follow *f, int result)
{
    assert(f->state == READING);
    f->state = IDLE;
    f->busy++;
    if (!f->is_gone)
        read_came_back(f, result);
    f->busy--;
    maybe_free(f);
}

static void follow_room(void *feed)
{
    struct follow *f = feed;

    if (!f->is_gone && f->state == WAITING)
        read_on(f);
}

const struct feed_ops follow_feed_ops = { .room = follow_room, .gone = follow_gone };
