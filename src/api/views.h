/* api/views.h - what the REST surface shows: output structs with their record tables, and how they are filled
 * (private to api/). Strings are lent by whatever they were filled from. */
#ifndef MUSTER_API_VIEWS_H
#define MUSTER_API_VIEWS_H

#include "api/call.h"

extern const struct record agent_record, agent_list_record, enrollment_list_record, install_token_record,
    install_token_list_record, install_token_new_record, job_record, job_list_record, task_record,
    task_list_record, user_out_record, user_list_record, api_token_record, api_token_list_record,
    audit_record, audit_list_record, event_list_record, section_head_record, inventory_record,
    change_list_record, status_record, whoami_record, login_record, health_record, ready_record,
    forgotten_record, accepted_record, audit_verify_record, log_list_record, section_rows_record;

/* Each writes one object value. */
void view_agent(const struct host_view *h, struct jw *w);
void view_enrollment(const struct host_view *h, struct jw *w);
void view_install_token(const struct token_view *t, struct jw *w);
void view_job(const struct job_row *j, struct jw *w);
/* @host_uuid may be empty: the host was forgotten. */
void view_task(const struct task_row *t, struct str host_uuid, struct jw *w);
void view_user(const struct user_row *u, struct jw *w);
void view_api_token(const struct api_token_row *t, struct str user, struct jw *w);
void view_audit(const struct audit_row *r, struct jw *w);
void view_section_members(const struct fact_head *h, struct jw *w);
void view_change(const struct fact_change *ch, struct jw *w);
/* @id's uuid, or empty when the host was forgotten. */
struct str view_host_uuid(struct control *c, uint64_t id);

#endif
