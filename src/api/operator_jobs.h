/* api/operator_jobs.h - the joint of operator_jobs.c and operator_output.c (private to api/). */
#ifndef MUSTER_API_OPERATOR_JOBS_H
#define MUSTER_API_OPERATOR_JOBS_H

#include "api/call.h"

extern const struct record output_query_record;
/* GET /jobs/{id}/output. */
void output_get(struct call *c);
/* The answer to POST /jobs?follow=true: 201, `job`, then everything as it happens. Called in the turn the job
 * became durable, before any agent could have answered. */
void output_follow_new(struct call *c, const struct job_row *job, bool is_repeat);

#endif
