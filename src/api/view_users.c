/* api/view_users.c - see view_users.h. */
#include "api/view_users.h"

#include "base/limits.h"

struct user_out {
    struct str name;
    int role;
    bool disabled;
    usec_t created_at;
};
static const struct field user_fields[] = {
    F_STR(struct user_out, name, "name", LIMIT_NAME, .flags = FIELD_ID),
    F_ENUM(struct user_out, role, "role", role_level_names),
    F_BOOL(struct user_out, disabled, "disabled"),
    F_TIME(struct user_out, created_at, "created_at"),
};
const struct record user_out_record = RECORD(user_out, user_fields);
struct user_list_out {
    LIST(struct user_out) users;
};
static const struct field user_list_fields[] = { F_LIST(struct user_list_out, users, "users", 10000,
                                                        &user_out_record) };
const struct record user_list_record = RECORD(user_list_out, user_list_fields);

void view_user(const struct user_row *u, struct jw *w)
{
    struct user_out o = {
        .name = u->name, .role = (int)u->role, .disabled = u->is_disabled, .created_at = u->created_at
    };

    record_write(&user_out_record, &o, w);
}

struct api_token_out {
    uint64_t id;
    struct str name, user, role, hint, created_by, token;
    usec_t created_at, expires_at, last_used;
    bool revoked;
};
static const struct field api_token_fields[] = {
    F_U64(struct api_token_out, id, "id", .flags = FIELD_ID),
    F_STR(struct api_token_out, name, "name", LIMIT_NAME),
    F_STR(struct api_token_out, user, "user", LIMIT_NAME, .flags = FIELD_NULLABLE),
    F_STR(struct api_token_out, role, "role", 32),
    F_TIME(struct api_token_out, created_at, "created_at"),
    F_TIME(struct api_token_out, expires_at, "expires_at"),
    F_TIME(struct api_token_out, last_used, "last_used"),
    F_BOOL(struct api_token_out, revoked, "revoked"),
    F_STR(struct api_token_out, created_by, "created_by", LIMIT_NAME),
    F_STR(struct api_token_out, hint, "hint", 8, .help = "The token's last characters."),
    F_STR(struct api_token_out, token, "token", 64, .flags = FIELD_OMIT,
          .help = "The token itself, in the answer that makes it only."),
};
const struct record api_token_record = RECORD(api_token_out, api_token_fields);
struct api_token_list_out {
    LIST(struct api_token_out) tokens;
};
static const struct field api_token_list_fields[] = {
    F_LIST(struct api_token_list_out, tokens, "tokens", 10000, &api_token_record),
};
const struct record api_token_list_record = RECORD(api_token_list_out, api_token_list_fields);

static struct api_token_out api_token_of(const struct api_token_row *t, struct str user)
{
    return (struct api_token_out){ .id = t->id,
                                   .name = t->name,
                                   .user = user,
                                   .role = t->scope,
                                   .hint = t->hint,
                                   .created_by = t->created_by,
                                   .created_at = t->created_at,
                                   .expires_at = t->expires_at,
                                   .last_used = t->last_used,
                                   .revoked = t->is_revoked };
}

void view_api_token(const struct api_token_row *t, struct str user, struct jw *w)
{
    struct api_token_out o = api_token_of(t, user);

    record_write(&api_token_record, &o, w);
}
