/* api/dialects/argus_shares.c - who else may look at batches or touch them: shares and recipients of a project. */
#include <errno.h>

#include "api/dialects/argus.h"
#include "api/state.h"
#include "base/mem.h"

enum { BODY_MAX = 16 << 10 };

/* -- shares */
struct argus_share_body {
    struct str project, grantee;
    int permission;
};
static const struct field share_fields[] = {
    F_STR(struct argus_share_body, grantee, "grantee_username", 128, .flags = FIELD_REQUIRED),
    F_ENUM(struct argus_share_body, permission, "permission", run_share_names, .flags = FIELD_REQUIRED,
           .help = "viewer or editor."),
};
static const struct record share_record = RECORD(argus_share_body, share_fields);
static const struct field project_share_fields[] = {
    F_STR(struct argus_share_body, project, "project", RUN_PROJECT_MAX, .flags = FIELD_REQUIRED),
    F_STR(struct argus_share_body, grantee, "grantee_username", 128, .flags = FIELD_REQUIRED),
    F_ENUM(struct argus_share_body, permission, "permission", run_share_names, .flags = FIELD_REQUIRED,
           .help = "viewer or editor."),
};
/* The same struct under another name: the description lists records by their names. */
static const struct record project_share_record = { "argus_project_share_body", sizeof(struct argus_share_body),
                                                    project_share_fields, ARRAY_SIZE(project_share_fields), SIZE_MAX };

static void write_share(struct jw *w, struct str grantee, int permission, struct str project)
{
    jw_map(w);
    argus_text(w, "grantee_username", grantee);
    argus_word(w, "permission", name_of(run_share_names, permission));
    argus_text(w, "project", project);
    jw_end_map(w);
}

static void reply_share(struct call *c, int result, const struct err *err)
{
    const struct argus_share_body *b = c->body;

    if (result < 0) {
        reply_error_parked(c, err);
        return;
    }
    write_share(call_json(c), b->grantee, b->permission, b->project);
    reply_parked(c, 201);
}

static void on_share(struct call *c)
{
    const struct argus_share_body *b = c->body;
    struct err err = { 0 };

    reply_share(c, run_share_run(c->control, &c->who, call_param(c, 0), b->grantee, (enum run_share)b->permission, &err), &err);
}

static void on_project_share(struct call *c)
{
    const struct argus_share_body *b = c->body;
    struct err err = { 0 };

    reply_share(c, run_share_project(c->control, &c->who, b->project, b->grantee, (enum run_share)b->permission, &err), &err);
}

static void on_share_row(void *ctx, uint64_t id, const struct run_share_row *s, struct str grantee)
{
    (void)id;
    write_share(ctx, grantee, (int)s->permission, s->project);
}

static void reply_shares(struct call *c, struct str batch_id)
{
    struct jw *w = call_json(c);
    struct err err = { 0 };

    jw_list(w);
    if (run_share_list(c->control, &c->who, batch_id, on_share_row, w, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_end_list(w);
    reply_parked(c, 200);
}

static void on_shares(struct call *c)
{
    reply_shares(c, call_param(c, 0));
}

static void on_project_shares(struct call *c)
{
    reply_shares(c, STR_NONE);
}

static void reply_gone(struct call *c, int result, const struct err *err)
{
    if (result < 0)
        reply_error_parked(c, err);
    else
        reply_parked(c, 204);
}

static void on_unshare(struct call *c)
{
    struct err err = { 0 };

    reply_gone(c, run_unshare_run(c->control, &c->who, call_param(c, 0), call_param(c, 1), &err), &err);
}

static void on_project_unshare(struct call *c)
{
    struct err err = { 0 };

    reply_gone(c, run_unshare_project(c->control, &c->who, call_param(c, 0), call_param(c, 1), &err), &err);
}

/* -- recipients */
struct argus_recipient_body {
    struct seen seen;
    struct str email;
    struct str_list event_kinds;
    bool enabled;
};
static const struct field recipient_fields[] = {
    F_STR(struct argus_recipient_body, email, "email", 254, .flags = FIELD_REQUIRED),
    F_STR_LIST(struct argus_recipient_body, event_kinds, "event_kinds", 32, 64),
    F_BOOL(struct argus_recipient_body, enabled, "enabled", .help = "Default true."),
};
static const struct record recipient_record = RECORD_SEEN(argus_recipient_body, recipient_fields);
static const struct field recipient_patch_fields[] = {
    F_STR_LIST(struct argus_recipient_body, event_kinds, "event_kinds", 32, 64),
    F_BOOL(struct argus_recipient_body, enabled, "enabled"),
};
static const struct record recipient_patch_record = { "argus_recipient_patch", sizeof(struct argus_recipient_body),
                                                      recipient_patch_fields, ARRAY_SIZE(recipient_patch_fields),
                                                      offsetof(struct argus_recipient_body, seen) };

static void on_recipient_row(void *ctx, uint64_t id, const struct run_recipient_row *r)
{
    struct jw *w = ctx;

    jw_map(w);
    argus_number(w, "id", id);
    argus_text(w, "project", r->project);
    argus_text(w, "email", r->email);
    jw_key(w, "event_kinds");
    jw_list(w);
    for (size_t i = 0; i < r->event_kinds.n; i++)
        jw_str(w, r->event_kinds.v[i]);
    jw_end_list(w);
    argus_flag(w, "enabled", !r->is_disabled);
    argus_time(w, "created_at", r->created_at);
    jw_end_map(w);
}

static void on_recipients(struct call *c)
{
    struct jw *w = call_json(c);
    struct err err = { 0 };

    jw_list(w);
    if (run_recipient_list(c->control, &c->who, call_param(c, 0), 0, on_recipient_row, w, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    jw_end_list(w);
    reply_parked(c, 200);
}

static void reply_recipient(struct call *c, int status, uint64_t id)
{
    struct err err = { 0 };

    if (run_recipient_list(c->control, &c->who, call_param(c, 0), id, on_recipient_row, call_json(c), &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_parked(c, status);
}

static void on_recipient_add(struct call *c)
{
    const struct argus_recipient_body *b = c->body;
    bool enabled = !field_is_present(&recipient_record, b, "enabled") || b->enabled;
    struct err err = { 0 };
    uint64_t id;

    if (run_recipient_add(c->control, &c->who, call_param(c, 0), b->email, &b->event_kinds, enabled, &id, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_recipient(c, 201, id);
}

static void on_recipient_patch(struct call *c)
{
    const struct argus_recipient_body *b = c->body;
    const struct run_recipient_change ch = {
        .has_kinds = field_is_present(&recipient_patch_record, b, "event_kinds"),
        .has_enabled = field_is_present(&recipient_patch_record, b, "enabled"),
        .enabled = b->enabled,
        .kinds = b->event_kinds,
    };
    struct err err = { 0 };
    uint64_t id;

    if (call_param_id(c, 1, "recipient.unknown", &id, &err) < 0 ||
        run_recipient_change(c->control, &c->who, call_param(c, 0), id, &ch, &err) < 0)
        reply_error_parked(c, &err);
    else
        reply_recipient(c, 200, id);
}

static void on_recipient_delete(struct call *c)
{
    struct err err = { 0 };
    uint64_t id = 0;
    int r = call_param_id(c, 1, "recipient.unknown", &id, &err);

    if (r == 0)
        r = run_recipient_remove(c->control, &c->who, call_param(c, 0), id, &err);
    reply_gone(c, r, &err);
}

#define MAY AUTH_OPERATOR, VERB_SHARE
#define ARGUS .dialect = &dialect_argus
static const struct route rows[] = {
    { HTTP_GET, "/api/batches/{id}/shares", MAY, .handler = on_shares, ARGUS, .summary = "Who else may see a batch." },
    { HTTP_POST, "/api/batches/{id}/shares", MAY, &share_record, BODY_MAX, on_share, .status = 201, .flags = ROUTE_MUTATES, ARGUS,
      .summary = "Share a batch." },
    { HTTP_DELETE, "/api/batches/{id}/shares/{user}", MAY, .handler = on_unshare, .status = 204, .flags = ROUTE_MUTATES, ARGUS,
      .summary = "Share it no longer." },
    { HTTP_GET, "/api/projects/shares", MAY, .handler = on_project_shares, ARGUS, .summary = "Your projects' shares." },
    { HTTP_POST, "/api/projects/shares", MAY, &project_share_record, BODY_MAX, on_project_share, .status = 201,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Share all your batches of a project." },
    { HTTP_DELETE, "/api/projects/{project}/shares/{user}", MAY, .handler = on_project_unshare, .status = 204,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Share them no longer." },
    { HTTP_GET, "/api/projects/{project}/recipients", MAY, .handler = on_recipients, ARGUS,
      .summary = "Addresses on a project's list." },
    { HTTP_POST, "/api/projects/{project}/recipients", MAY, &recipient_record, BODY_MAX, on_recipient_add, .status = 201,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Put an address on the list." },
    { HTTP_PATCH, "/api/projects/{project}/recipients/{id}", MAY, &recipient_patch_record, BODY_MAX, on_recipient_patch,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Change an entry." },
    { HTTP_DELETE, "/api/projects/{project}/recipients/{id}", MAY, .handler = on_recipient_delete, .status = 204,
      .flags = ROUTE_MUTATES, ARGUS, .summary = "Take an address off the list." },
};
const struct route_table argus_share_table = { rows, ARRAY_SIZE(rows) };
