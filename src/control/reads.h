/* control/reads.h - typed reads of what is not held in memory, for api (which never names the store).
 *
 * The same promises as the store's reads (store/store.h): rows, then @done once, later on the loop; after every unit open at the
 * time of the call was committed. The caller has checked the role with authz(). */
#ifndef MUSTER_CONTROL_READS_H
#define MUSTER_CONTROL_READS_H

#include "control/control.h"

void read_job(struct control *c, uint64_t id, store_job_fn row, store_done_fn done, void *ctx);
/* Newest first; @before 0 = from the newest. */
void read_jobs(struct control *c, uint64_t before, uint32_t limit, store_job_fn row, store_done_fn done, void *ctx);
void read_tasks(struct control *c, uint64_t job_id, uint64_t after, uint32_t limit, store_task_fn row,
                      store_done_fn done, void *ctx);
void read_task(struct control *c, uint64_t task_id, store_task_fn row, store_done_fn done, void *ctx);
/* Chunks of one stream from @offset, at most @max_bytes of them. */
void read_output(struct control *c, uint64_t task_id, enum output_stream stream, uint64_t offset, uint64_t max_bytes,
                       store_output_fn row, store_done_fn done, void *ctx);
/* @section {NULL,0}: all. */
void read_facts(struct control *c, uint64_t host_id, struct str section, store_section_fn row, store_done_fn done,
                      void *ctx);
/* Newest first; @before 0 = newest. */
void read_changes(struct control *c, uint64_t host_id, struct str section, uint64_t before, uint32_t limit,
                        store_change_fn row, store_done_fn done, void *ctx);
/* @after_id ascending, or (@after_id 0 and @newest_first) the newest @limit, newest first. Type and host filters may be empty. */
void read_events(struct control *c, uint64_t after_id, bool newest_first, uint32_t limit, struct str type,
                       struct str host_uuid, store_event_fn row, store_done_fn done, void *ctx);
void read_audit(struct control *c, uint64_t after_id, bool newest_first, uint32_t limit, store_audit_fn row,
                      store_done_fn done, void *ctx);
/* The database as a file, online: see store_backup(). Audited. */
void read_backup(struct control *c, const struct principal *p, const char *path,
                 void (*progress)(void *ctx, uint64_t done, uint64_t total), store_done_fn done, void *ctx);
/* 0 or -errno and @err while the database does not take writes; and the numbers of store_stats(). */
int read_health(const struct control *c, struct err *err);
void read_store_stats(const struct control *c, struct store_stats *ret);

#endif
