/* control/run_access.c - who may look at a run and who may touch it: owners, shares, recipients of a project. Loop thread.
 *
 * fleet/run.h has the rule; here is what it asks: is this person the owner, an admin, in a share, on a list under a verified
 * address? A project is a name: whoever owns a run in it owns it, and lists and shares of a project are an owner's own. */
#include "base/text.h"

#include "control/run_priv.h"

enum { RECIPIENTS_OF_PROJECT = 200 };

/* -- rows */
static void load_share(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct run_book *b = run__book(ctx);
    struct run_share_entry *s = xnew0(struct run_share_entry);
    (void)parent;
    s->id = id;
    s->row = *(const struct run_share_row *)obj;
    run__own(&run_share_record, &s->row);
    DL_APPEND(b->shares, s);
    b->n_shares++;
}

static void load_recipient(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct run_book *b = run__book(ctx);
    struct run_recipient *r = xnew0(struct run_recipient);
    (void)parent;
    r->id = id;
    r->row = *(const struct run_recipient_row *)obj;
    run__own(&run_recipient_record, &r->row);
    DL_APPEND(b->recipients, r);
    b->n_recipients++;
}

static struct person_email *email_of(const struct control *c, uint64_t user_id)
{
    struct person_email *e = NULL;
    HASH_FIND(hh, run__book(c)->emails, &user_id, sizeof(user_id), e);
    return e;
}

static void load_email(void *ctx, uint64_t id, uint64_t parent, const void *obj)
{
    struct control *c = ctx;
    struct person_email *e = xnew0(struct person_email);
    (void)parent;
    e->user_id = id;
    e->row = *(const struct person_email_row *)obj;
    run__own(&person_email_record, &e->row);
    HASH_ADD(hh, run__book(c)->emails, user_id, sizeof(e->user_id), e);
}

int run__load_access(struct control *c, struct err *err)
{
    int r = store_load_objects(c->store, OBJECT_RUN_SHARE, &run_share_record, load_share, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_RUN_RECIPIENT, &run_recipient_record, load_recipient, c, err);
    if (r == 0)
        r = store_load_objects(c->store, OBJECT_PERSON_EMAIL, &person_email_record, load_email, c, err);
    return r;
}

static void share_drop(struct control *c, struct run_share_entry *s)
{
    DL_DELETE(run__book(c)->shares, s);
    run__book(c)->n_shares--;
    run__drop(&run_share_record, &s->row);
    free(s);
}

static void recipient_drop(struct control *c, struct run_recipient *r)
{
    DL_DELETE(run__book(c)->recipients, r);
    run__book(c)->n_recipients--;
    run__drop(&run_recipient_record, &r->row);
    free(r);
}

static void email_drop(struct control *c, struct person_email *e)
{
    HASH_DEL(run__book(c)->emails, e);
    run__drop(&person_email_record, &e->row);
    free(e);
}

void run__free_access(struct control *c)
{
    struct run_book *b = run__book(c);
    while (b->shares)
        share_drop(c, b->shares);
    while (b->recipients)
        recipient_drop(c, b->recipients);
    while (b->emails)
        email_drop(c, b->emails);
}

/* -- the rule's questions */
struct str run_person(struct control *c, uint64_t user_id)
{
    const struct user *u = user_id ? user__by_id(c, user_id) : NULL;
    return !user_id ? STR("local") : u ? str_of(u->name) : STR("(gone)");
}

/* What has no owner belongs to the local admin: over the socket, in development, or by a token made there. */
bool run__is_owner(const struct principal *p, uint64_t owner_id)
{
    if (p->user_id || owner_id)
        return p->user_id == owner_id;
    return p->kind == PRINCIPAL_KEY || p->kind == PRINCIPAL_LOCAL || p->kind == PRINCIPAL_DEV;
}

void run__reach_done(struct run_reach *reach)
{
    vec_done(&reach->shares);
    vec_done(&reach->lists);
}

void run__reach(const struct control *c, const struct principal *p, struct run_reach *ret)
{
    const struct person_email *e = email_of(c, p->user_id);
    const struct run_share_entry *s;
    const struct run_recipient *x;
    *ret = (struct run_reach){ 0 };
    if (!p->user_id || p->role == ROLE_ADMIN)
        return;
    DL_FOREACH(run__book(c)->shares, s)
    if (s->row.grantee_id == p->user_id)
        *vec_add(&ret->shares) = s;
    DL_FOREACH(e ? run__book(c)->recipients : NULL, x)
    if (str_eq_nocase(x->row.email, e->row.email))
        *vec_add(&ret->lists) = x;
}

static bool is_in(const struct run *r, uint64_t owner_id, struct str project)
{
    return owner_id == r->row.owner_id && str_eq(project, r->row.project);
}

enum run_right run__right_in(struct control *c, const struct principal *p, const struct run_reach *reach, const struct run *r)
{
    struct run_standing st = {
        .is_owner = run__is_owner(p, r->row.owner_id),
        .is_admin = p->role == ROLE_ADMIN,
        .is_agents_owner = run__is_owner(p, r->row.route_owner_id),
        .is_read_only = !run_may_write(c, p),
    };
    for (size_t i = 0; i < reach->shares.n; i++) {
        const struct run_share_row *s = &reach->shares.v[i]->row;
        bool is_about = s->run_id ? s->run_id == r->id : is_in(r, s->owner_id, s->project);
        if (is_about && s->permission > st.share)
            st.share = (enum run_share)s->permission;
    }
    for (size_t i = 0; i < reach->lists.n; i++) {
        const struct run_recipient_row *x = &reach->lists.v[i]->row;
        if (!is_in(r, x->owner_id, x->project))
            continue;
        st.is_recipient = true;
        st.is_recipient_enabled |= !x->is_disabled;
    }
    return run_right_of(&st);
}

enum run_right run__right(struct control *c, const struct principal *p, const struct run *r)
{
    AUTO(run__reach_done) struct run_reach reach = { 0 };
    if (!run__is_owner(p, r->row.owner_id))
        run__reach(c, p, &reach);
    return run__right_in(c, p, &reach, r);
}

struct run *run__for(struct control *c, const struct principal *p, struct str batch_id, enum run_right least, const char *verb,
                     struct err *err)
{
    struct run *r = run__by_batch(c, batch_id);
    enum run_right right = r ? run__right(c, p, r) : RUN_RIGHT_NONE;
    if (right >= least)
        return r;
    if (right == RUN_RIGHT_NONE)
        err_set(err, -ENOENT, "run.unknown", "there is no batch %.*s", STR_FMT(str_sub(batch_id, 0, RUN_ID_MAX)));
    else
        err_set(err, -EACCES, "run.denied",
                least == RUN_RIGHT_OWN ? "only its owner or an admin may do that" : "you may look at this batch, no more");
    if (verb)
        run__refused(c, p, verb, batch_id, err);
    return NULL;
}

/* -- shares */
/* Who is called so, and nobody else. */
static const struct user *called(struct control *c, struct str name, struct err *err)
{
    const struct user *u = user__by_name(c, name);
    if (!u)
        err_set(err, -ENOENT, "user.unknown", "there is no user %.*s", STR_FMT(str_sub(name, 0, 64)));
    return u;
}

/* To be given something: not who is called as an older user's address. */
static const struct user *grantee(struct control *c, struct str name, struct err *err)
{
    const struct user *u = called(c, name, err);
    if (!u || user__meant_by(c, name) == u)
        return u;
    err_set(err, -ENOENT, "user.unknown", "there is no user %s", u->name); /* whose address it is, is not the caller's to know */
    return NULL;
}

/* Is there a run of @p's in @project? Then *@ret_owner is the caller; for an admin without one, the owner of the oldest. */
static int project_of(struct control *c, const struct principal *p, struct str project, const char *verb, uint64_t *ret_owner,
                      struct err *err)
{
    const struct run *r, *first = NULL;
    DL_FOREACH(run__book(c)->all, r)
    {
        if (!str_eq(r->row.project, project))
            continue;
        if (run__is_owner(p, r->row.owner_id)) {
            first = r;
            break;
        }
        if (!first && p->role == ROLE_ADMIN)
            first = r;
    }
    if (first) {
        *ret_owner = first->row.owner_id;
        if (run_may_write(c, p) || !verb)
            return 0;
        err_set(err, -EACCES, "run.denied", "a viewer's token changes nothing");
        return run__refused(c, p, verb, project, err);
    }
    err_set(err, -ENOENT, "project.unknown", "you own no batch in a project %.*s", STR_FMT(str_sub(project, 0, RUN_PROJECT_MAX)));
    return verb ? run__refused(c, p, verb, project, err) : -ENOENT;
}

static struct run_share_entry *find_share(const struct control *c, uint64_t run_id, uint64_t owner_id, struct str project,
                                          uint64_t grantee_id)
{
    struct run_share_entry *s;
    DL_FOREACH(run__book(c)->shares, s)
    if (s->row.grantee_id == grantee_id && s->row.run_id == run_id &&
        (run_id || (s->row.owner_id == owner_id && str_eq(s->row.project, project))))
        return s;
    return NULL;
}

static uint32_t shares_of(const struct control *c, uint64_t owner_id)
{
    const struct run_share_entry *s;
    uint32_t n = 0;
    DL_FOREACH(run__book(c)->shares, s)
    n += s->row.owner_id == owner_id;
    return n;
}

static int share(struct control *c, const struct principal *p, struct str target, struct run_share_row *row,
                 struct str grantee_name, struct err *err)
{
    struct run_book *b = run__book(c);
    struct details d = { 0 };
    const struct user *u = grantee(c, grantee_name, err);
    if (!u)
        return run__refused(c, p, "run.share", target, err);
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    row->grantee_id = u->id;
    struct run_share_entry *s = find_share(c, row->run_id, row->owner_id, row->project, u->id);
    if (!s) {
        if (b->n_shares >= RUN_SHARES_MAX || shares_of(c, row->owner_id) >= RUN_SHARES_PER_OWNER)
            return err_set(err, -EBUSY, "run.too_many", "too many shares");
        row->created_at = control__wall(c);
        row->created_by = str_of(p->name);
        uint64_t id = object__next(c, OBJECT_RUN_SHARE);
        load_share(c, id, 0, row);
        s = b->shares->prev; /* the list's last */
    }
    s->row.permission = row->permission;
    store_put_object(c->store, OBJECT_RUN_SHARE, s->id, s->row.run_id, &run_share_record, &s->row);
    details_str(details_str(&d, "grantee", str_of(u->name)), "permission", str_of(name_of(run_share_names, (int)row->permission)));
    run__audit(c, p, "run.share", target, &d);
    return 0;
}

int run_share_run(struct control *c, const struct principal *p, struct str batch_id, struct str to, enum run_share permission,
                  struct err *err)
{
    const struct run *r = run__for(c, p, batch_id, RUN_RIGHT_OWN, "run.share", err);
    if (!r)
        return err->code;
    struct run_share_row row = { .run_id = r->id, .owner_id = r->row.owner_id, .permission = (uint32_t)permission };
    return share(c, p, batch_id, &row, to, err);
}

int run_share_project(struct control *c, const struct principal *p, struct str project, struct str to, enum run_share permission,
                      struct err *err)
{
    uint64_t owner;
    int r = project_of(c, p, project, "run.share", &owner, err);
    if (r < 0)
        return r;
    struct run_share_row row = { .owner_id = owner, .project = project, .permission = (uint32_t)permission };
    return share(c, p, project, &row, to, err);
}

static int unshare(struct control *c, const struct principal *p, struct str target, uint64_t run_id, uint64_t owner,
                   struct str project, struct str grantee_name, struct err *err)
{
    struct details d = { 0 };
    const struct user *u = called(c, grantee_name, err);
    struct run_share_entry *s = u ? find_share(c, run_id, owner, project, u->id) : NULL;
    if (!s) {
        if (u)
            err_set(err, -ENOENT, "share.unknown", "this is not shared with %s", u->name);
        return run__refused(c, p, "run.unshare", target, err);
    }
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    store_del_object(c->store, OBJECT_RUN_SHARE, s->id);
    share_drop(c, s);
    run__audit(c, p, "run.unshare", target, details_str(&d, "grantee", str_of(u->name)));
    return 0;
}

int run_unshare_run(struct control *c, const struct principal *p, struct str batch_id, struct str from, struct err *err)
{
    const struct run *r = run__for(c, p, batch_id, RUN_RIGHT_OWN, "run.unshare", err);
    return r ? unshare(c, p, batch_id, r->id, 0, STR_NONE, from, err) : err->code;
}

int run_unshare_project(struct control *c, const struct principal *p, struct str project, struct str from, struct err *err)
{
    uint64_t owner;
    int r = project_of(c, p, project, "run.unshare", &owner, err);
    return r < 0 ? r : unshare(c, p, project, 0, owner, project, from, err);
}

int run_share_list(struct control *c, const struct principal *p, struct str batch_id,
                   void (*fn)(void *ctx, uint64_t id, const struct run_share_row *s, struct str grantee), void *ctx,
                   struct err *err)
{
    const struct run *r = batch_id.len ? run__for(c, p, batch_id, RUN_RIGHT_OWN, NULL, err) : NULL;
    const struct run_share_entry *s;
    if (batch_id.len && !r)
        return err->code;
    DL_FOREACH(run__book(c)->shares, s)
    {
        bool is_meant = r ? s->row.run_id == r->id : !s->row.run_id && (p->role == ROLE_ADMIN || run__is_owner(p, s->row.owner_id));
        if (is_meant)
            fn(ctx, s->id, &s->row, run_person(c, s->row.grantee_id));
    }
    return 0;
}

void run__unshare_all(struct control *c, const struct run *r)
{
    struct run_share_entry *s, *next;
    DL_FOREACH_SAFE(run__book(c)->shares, s, next)
    if (s->row.run_id == r->id) {
        store_del_object(c->store, OBJECT_RUN_SHARE, s->id);
        share_drop(c, s);
    }
}

/* -- recipients */
static int check_recipient(struct str email, const struct str_list *kinds, struct err *err)
{
    if (!run_email_is_acceptable(email)) {
        err_set(err, -EINVAL, "field.invalid", "not an e-mail address");
        err_path(err, "email");
        return -EINVAL;
    }
    for (size_t i = 0; kinds && i < kinds->n; i++)
        if (!run_text_is_acceptable(kinds->v[i], 64)) {
            err_set(err, -EINVAL, "field.invalid", "an event kind is a word");
            err_path(err, "event_kinds");
            return -EINVAL;
        }
    return 0;
}

static void put_recipient(struct control *c, const struct run_recipient *r)
{
    store_put_object(c->store, OBJECT_RUN_RECIPIENT, r->id, 0, &run_recipient_record, &r->row);
}

int run_recipient_add(struct control *c, const struct principal *p, struct str project, struct str email,
                      const struct str_list *kinds, bool enabled, uint64_t *ret_id, struct err *err)
{
    struct run_book *b = run__book(c);
    struct run_recipient *x;
    struct details d = { 0 };
    uint64_t owner;
    uint32_t n = 0, n_own = 0;
    int r = project_of(c, p, project, "recipient.add", &owner, err);
    if (r == 0)
        r = check_recipient(email, kinds, err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    DL_FOREACH(b->recipients, x)
    {
        n_own += x->row.owner_id == owner;
        if (x->row.owner_id != owner || !str_eq(x->row.project, project))
            continue;
        n++;
        if (str_eq_nocase(x->row.email, email))
            return err_set(err, -EEXIST, "recipient.exists", "this address is on the list already");
    }
    if (n >= RECIPIENTS_OF_PROJECT || n_own >= RUN_RECIPIENTS_PER_OWNER || b->n_recipients >= RUN_RECIPIENTS_MAX)
        return err_set(err, -EBUSY, "run.too_many", "too many recipients");
    const struct run_recipient_row row = { .owner_id = owner,
                                           .project = project,
                                           .email = email,
                                           .event_kinds = *kinds,
                                           .is_disabled = !enabled,
                                           .created_at = control__wall(c) };
    *ret_id = object__next(c, OBJECT_RUN_RECIPIENT);
    load_recipient(c, *ret_id, 0, &row);
    put_recipient(c, b->recipients->prev);
    run__audit(c, p, "recipient.add", project, details_str(&d, "email", email));
    return 0;
}

static int find_recipient(struct control *c, const struct principal *p, struct str project, uint64_t id, const char *verb,
                          struct run_recipient **ret, struct err *err)
{
    struct run_recipient *x;
    uint64_t owner;
    int r = project_of(c, p, project, verb, &owner, err);
    if (r < 0)
        return r;
    *ret = NULL;
    DL_FOREACH(run__book(c)->recipients, x)
    if (x->id == id && x->row.owner_id == owner && str_eq(x->row.project, project))
        *ret = x;
    if (!*ret) {
        err_set(err, -ENOENT, "recipient.unknown", "there is no recipient %llu here", (unsigned long long)id);
        return run__refused(c, p, verb, project, err);
    }
    return control_refuses_writes(c, err) ? -EAGAIN : 0;
}

int run_recipient_change(struct control *c, const struct principal *p, struct str project, uint64_t id,
                         const struct run_recipient_change *ch, struct err *err)
{
    struct run_recipient *x;
    struct details d = { 0 };
    int r = find_recipient(c, p, project, id, "recipient.change", &x, err);
    if (r == 0)
        r = check_recipient(x->row.email, ch->has_kinds ? &ch->kinds : NULL, err);
    if (r < 0)
        return r;
    if (ch->has_enabled)
        x->row.is_disabled = !ch->enabled;
    if (ch->has_kinds) {
        struct run_recipient_row copy = x->row;
        copy.event_kinds = ch->kinds;
        run__own(&run_recipient_record, &copy);
        run__drop(&run_recipient_record, &x->row);
        x->row = copy;
    }
    put_recipient(c, x);
    run__audit(c, p, "recipient.change", project,
               details_str(details_str(&d, "email", x->row.email), "enabled", x->row.is_disabled ? STR("false") : STR("true")));
    return 0;
}

int run_recipient_remove(struct control *c, const struct principal *p, struct str project, uint64_t id, struct err *err)
{
    struct run_recipient *x;
    struct details d = { 0 };
    int r = find_recipient(c, p, project, id, "recipient.remove", &x, err);
    if (r < 0)
        return r;
    run__audit(c, p, "recipient.remove", project, details_str(&d, "email", x->row.email));
    store_del_object(c->store, OBJECT_RUN_RECIPIENT, x->id);
    recipient_drop(c, x);
    return 0;
}

int run_recipient_list(struct control *c, const struct principal *p, struct str project, uint64_t id,
                       void (*fn)(void *ctx, uint64_t id, const struct run_recipient_row *r), void *ctx, struct err *err)
{
    const struct run_recipient *x;
    uint64_t owner;
    int r = project_of(c, p, project, NULL, &owner, err);
    if (r < 0)
        return r;
    DL_FOREACH(run__book(c)->recipients, x)
    if (x->row.owner_id == owner && str_eq(x->row.project, project) && (!id || x->id == id))
        fn(ctx, x->id, &x->row);
    return 0;
}

/* -- addresses of people */
struct str person_email_of(struct control *c, uint64_t user_id)
{
    const struct person_email *e = email_of(c, user_id);
    return e ? e->row.email : STR_NONE;
}

static const struct person_email *by_email(const struct control *c, struct str email)
{
    for (const struct person_email *e = run__book(c)->emails; e; e = e->hh.next)
        if (str_eq_nocase(e->row.email, email))
            return e;
    return NULL;
}

struct user *user__by_email(const struct control *c, struct str email)
{
    const struct person_email *e = email.len && c->noun[NOUN_RUNS] ? by_email(c, email) : NULL;
    return e ? user__by_id(c, e->user_id) : NULL;
}

void run_person_name(struct control *c, struct str who, char ret[LIMIT_NAME + 1])
{
    const struct user *u = user__meant_by(c, who);
    (void)str_copy(u ? str_of(u->name) : str_sub(who, 0, LIMIT_NAME), ret, LIMIT_NAME + 1);
}

int person_email_set(struct control *c, const struct principal *p, struct str user, struct str email, struct err *err)
{
    struct details d = { 0 };
    int r = authz(c, p, VERB_USER_ADMIN, user, err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    const struct user *u = called(c, user, err); /* whoever it is: an admin mends what was before the rule */
    if (!u)
        return audit__refused(c, p, VERB_USER_ADMIN, user, -ENOENT, err);
    if (email.len && !run_email_is_acceptable(email)) {
        err_set(err, -EINVAL, "field.invalid", "not an e-mail address");
        err_path(err, "email");
        return audit__refused(c, p, VERB_USER_ADMIN, user, -EINVAL, err);
    }
    const struct person_email *other = email.len ? by_email(c, email) : NULL;
    const struct user *namesake = email.len ? user__by_name_nocase(c, email) : NULL;
    if ((other && other->user_id != u->id) || (namesake && namesake != u)) {
        err_set(err, -EEXIST, "email.taken", namesake && namesake != u ? "another user is called so" : "this address is another user's");
        return audit__refused(c, p, VERB_USER_ADMIN, user, -EEXIST, err);
    }
    struct person_email *e = email_of(c, u->id);
    if (e)
        email_drop(c, e);
    if (email.len) {
        const struct person_email_row row = { email };
        load_email(c, u->id, 0, &row);
        store_put_object(c->store, OBJECT_PERSON_EMAIL, u->id, 0, &person_email_record, &row);
    } else {
        store_del_object(c->store, OBJECT_PERSON_EMAIL, u->id);
    }
    details_str(details_str(&d, "what", STR("email")), "email", email);
    audit__ok(c, p, VERB_USER_ADMIN, str_of(u->name), &d);
    return 0;
}
