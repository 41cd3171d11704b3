/* api/view_users.h - users and their API tokens as REST shows them. Record tables (also the schemas of
 * the OpenAPI document), and how they are filled (private to api/). Strings are lent by whatever they are
 * filled from, and written at once. Core loop's thread. */
#ifndef MUSTER_API_VIEW_USERS_H
#define MUSTER_API_VIEW_USERS_H

#include "api/call.h"

extern const struct record user_out_record, user_list_record, api_token_record, api_token_list_record;

/* Each writes one object value. */
void view_user(const struct user_row *u, struct jw *w);
/* @user may be {NULL,0}: not said. The token itself is never part of it. */
void view_api_token(const struct api_token_row *t, struct str user, struct jw *w);

#endif
