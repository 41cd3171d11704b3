/* api/view_jobs.h - jobs and tasks as REST shows them. Record tables (also the schemas of the OpenAPI
 * document), and how they are filled (private to api/). Strings are lent by whatever they are filled from,
 * and written at once. Core loop's thread. */
#ifndef MUSTER_API_VIEW_JOBS_H
#define MUSTER_API_VIEW_JOBS_H

#include "api/call.h"

extern const struct record job_record, job_list_record, task_record, task_list_record;

/* Each writes one object value. */
void view_job(const struct job_row *j, struct jw *w);
/* @host_uuid may be empty: the host was forgotten. */
void view_task(const struct task_row *t, struct str host_uuid, struct jw *w);

#endif
