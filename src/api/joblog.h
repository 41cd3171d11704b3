/* api/joblog.h - the output of a job for one reader: stored output first, then live frames, no gap and no
 * repeat (private to api/). Pure logic over a sink and a source: no sockets. Core loop's thread.
 *
 * Everything told live is already on disk. So each task of the job is WAITING (its bytes will be read),
 * READING, or LIVE (every byte up to `sent` was put and frames are passed on). Frames of a waiting task are
 * dropped: the read will find them; frames of the one being read are held. A full sink turns tasks back to
 * WAITING, which is how a slow reader catches up. Output of a task comes before the `task` event that says it
 * is done. */
#ifndef MUSTER_API_JOBLOG_H
#define MUSTER_API_JOBLOG_H

#include "api/stream.h"

struct joblog;

struct joblog_source {
    /* Each starts a read and answers later, never from inside: joblog_task_row() per row, joblog_output_row()
     * per frame, then joblog_read_done(). */
    void (*read_tasks)(void *ctx, struct joblog *jl, uint64_t after, uint32_t limit);
    void (*read_task)(void *ctx, struct joblog *jl, uint64_t task_id);
    void (*read_output)(void *ctx, struct joblog *jl, uint64_t task_id, enum output_stream stream,
                        uint64_t offset, uint64_t max_bytes);
    /* A task as its `task` event, into @out; and "host":"..","host_id":".." (members, no braces) into @host.
     */
    void (*task_json)(void *ctx, const struct task_row *t, struct buf *out, struct buf *host);
    /* Everything was put: put `end` and end the sink. Once. */
    void (*finished)(void *ctx, struct joblog *jl);
    /* The reader is over (leave the topic); @ctx may be freed. Once, last. */
    void (*over)(void *ctx);
    void *ctx;
};

struct joblog_conf {
    uint64_t host_id;          /* 0: all hosts */
    enum output_stream stream; /* 0: both */
    bool is_new;               /* the job was created just now and nothing ran yet: no replay */
    uint32_t
        n_tasks; /* is_new: how many will be done before the end; missing ones are then read from the store */
    bool may_end; /* the job is over, or the reader does not follow: end after the replay */
};

/* The reader owns itself: it ends by its feed_ops' gone(). */
struct joblog *joblog_new(const struct joblog_source *src, const struct joblog_conf *conf);
void joblog_start(struct joblog *jl, const struct sink *sink);
/* Live, in the order control tells: frames, changes of tasks, the end of the job. */
void joblog_live_output(struct joblog *jl, const struct output_frame *f, struct str host_json);
void joblog_live_task(struct joblog *jl, const struct task_row *t);
void joblog_live_end(struct joblog *jl);
/* Answers of the source. */
void joblog_task_row(struct joblog *jl, const struct task_row *t);
void joblog_output_row(struct joblog *jl, const struct output_frame *f);
void joblog_read_done(struct joblog *jl, int result);
extern const struct feed_ops joblog_feed_ops;

#endif
