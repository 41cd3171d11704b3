/* api/view_hosts.h - hosts as REST shows them: the fleet's list, who waits for an operator, the tokens
 * they come with. Record tables (also the schemas of the OpenAPI document), and how they are filled (private
 * to api/). Strings are lent by whatever they are filled from, and written at once. Core loop's thread. */
#ifndef MUSTER_API_VIEW_HOSTS_H
#define MUSTER_API_VIEW_HOSTS_H

#include "api/call.h"

extern const struct record agent_record, agent_list_record, enrollment_list_record, forgotten_record,
    install_token_record, install_token_list_record, install_token_new_record;

/* Each writes one object value. */
void view_agent(struct control *c, const struct host_view *h, struct jw *w);
/* With its roles, which a list of many hosts leaves out. */
void view_agent_whole(struct control *c, const struct host_view *h, struct jw *w);
void view_enrollment(const struct host_view *h, struct jw *w);
void view_install_token(const struct token_view *t, struct jw *w);
/* Host @id's uuid, lent by @c until the host changes; empty when it was forgotten. */
struct str view_host_uuid(struct control *c, uint64_t id);

#endif
