/* control/wish.c - a wish becomes a job: checked, aimed, numbered, recorded with all its tasks in one unit.
 * Loop thread.
 *
 * Idempotency: a key is looked for among the open jobs, then in the store (which has to be read, so an answer
 * can come later). While a read is out the same key may be used again: each bucket of keys counts its
 * changes, and a read that saw none of a changed bucket is done again. */
#include "base/text.h"

#include "control/noun.h"

enum {
    OPEN_JOBS_MAX = 10000,
    OPEN_TASKS_MAX = 200000,
    WISHES_MAX = 1000,
    ENV_MAX = 1024,
    CWD_MAX = 4096,
    IDEM_KEY_MAX = 255,
    JOB_ARENA_MAX = 4 << 20,
    TARGETS_MAX = 4 << 20,
    GRACE_DEFAULT_S = 10,
};

/* -- checks */
static int bad(struct err *err, const char *path, const char *slug, const char *text)
{
    err_set(err, -EINVAL, slug, "%s", text);
    err_path(err, path);
    return -EINVAL;
}

static bool is_text(struct str s)
{
    return utf8_is_valid(s) && !str_has_nul(s);
}

/* A command is argv or shell text; the other kinds are about something a host reported, and argv is only more about it. */
static int check_kind(const struct job_wish *w, struct err *err)
{
    bool is_command = w->kind == JOB_KIND_COMMAND;
    if (w->subject.len > JOB_SUBJECT_MAX || !is_text(w->subject) || is_command == (w->subject.len > 0))
        return bad(err, "subject", "field.invalid", "a job of another kind than command names what it is about (256 bytes at most)");
    if (!is_command && (w->shell.len || w->stdin_open))
        return bad(err, "kind", "field.invalid", "only a command has shell text or open input");
    return 0;
}

static int check_argv(const struct job_wish *w, size_t *bytes, struct err *err)
{
    if (w->kind == JOB_KIND_COMMAND && (w->argv.n > 0) == (w->shell.len > 0))
        return bad(err, "argv", "field.required", "give exactly one of argv and shell");
    if (w->argv.n > LIMIT_ARGV)
        return bad(err, "argv", "field.too_long", "too many arguments");
    if (w->argv.n && w->argv.v[0].len == 0)
        return bad(err, "argv", "field.invalid", "the program's name is empty");
    for (size_t i = 0; i < w->argv.n; i++) {
        if (w->argv.v[i].len > LIMIT_ARG_BYTES)
            return bad(err, "argv", "field.too_long", "an argument is longer than 128 KiB");
        if (!is_text(w->argv.v[i]))
            return bad(err, "argv", "field.invalid", "an argument is not UTF-8 or has a NUL");
        *bytes += w->argv.v[i].len + 1;
    }
    if (w->shell.len > LIMIT_ARG_BYTES)
        return bad(err, "shell", "field.too_long", "the shell text is longer than 128 KiB");
    if (!is_text(w->shell))
        return bad(err, "shell", "field.invalid", "the shell text is not UTF-8 or has a NUL");
    *bytes += w->shell.len;
    return 0;
}

static int check_env(const struct job_wish *w, size_t *bytes, struct err *err)
{
    if (w->env.n > ENV_MAX)
        return bad(err, "env", "field.too_long", "too many variables");
    for (size_t i = 0; i < w->env.n; i++) {
        const struct kv *kv = &w->env.v[i];
        if (kv->key.len == 0 || str_find_char(kv->key, '=') >= 0 || !is_text(kv->key) || !is_text(kv->value))
            return bad(err, "env", "field.invalid",
                       "a variable has a name without '=' and a value of UTF-8 without NUL");
        if (kv->key.len + kv->value.len > LIMIT_ARG_BYTES)
            return bad(err, "env", "field.too_long", "a variable is longer than 128 KiB");
        *bytes += kv->key.len + kv->value.len + 2;
    }
    return 0;
}

static int check_wish(const struct control *c, const struct job_wish *w, struct err *err)
{
    size_t bytes = w->stdin_data.b.len;
    int r = check_kind(w, err);
    if (r == 0)
        r = check_argv(w, &bytes, err);
    if (r == 0)
        r = check_env(w, &bytes, err);
    if (r < 0)
        return r;
    if (bytes > LIMIT_COMMAND_BYTES)
        return err_set(err, -E2BIG, "job.too_large", "argv, env and stdin are %zu bytes together, at most %d",
                       bytes, LIMIT_COMMAND_BYTES);
    if (w->user.len > LIMIT_NAME || !is_text(w->user))
        return bad(err, "user", "field.invalid", "not a user name");
    if (w->cwd.len > CWD_MAX || !is_text(w->cwd) || (w->cwd.len && w->cwd.ptr[0] != '/'))
        return bad(err, "cwd", "field.invalid", "an absolute path of at most 4096 bytes");
    if (w->idem_key.len > IDEM_KEY_MAX || !is_text(w->idem_key))
        return bad(err, "Idempotency-Key", "field.invalid", "at most 255 bytes of UTF-8");
    if (w->grace > USEC_PER_HOUR)
        return bad(err, "grace", "field.range", "at most an hour");
    if (w->deadline > 30 * USEC_PER_DAY)
        return bad(err, "deadline", "field.range", "at most 30 days");
    if (w->timeout > 49 * USEC_PER_DAY)
        return bad(err, "timeout", "field.range", "at most 49 days");
    if (w->output_cap_bytes > c->conf.output_cap_bytes)
        return bad(err, "output_cap", "field.range", "more than the server keeps of a stream");
    if (w->all + (w->hosts.n > 0) + (w->selector.len > 0) != 1)
        return bad(err, "targets", "job.no_targets", "name exactly one of: all, hosts, selector");
    return 0;
}

/* Same wish, same hash: every member, each text with its length in front. */
static void hash_number(struct sha256_state *st, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    sha256_add(st, str_bytes(b, sizeof(b)));
}

static void hash_text(struct sha256_state *st, struct str s)
{
    hash_number(st, s.len);
    sha256_add(st, s);
}

static void hash_wish(const struct job_wish *w, uint8_t ret[SHA256_LEN])
{
    struct sha256_state *st = sha256_new();
    hash_number(st, w->all);
    hash_number(st, w->hosts.n);
    for (size_t i = 0; i < w->hosts.n; i++)
        hash_text(st, w->hosts.v[i]);
    hash_text(st, w->selector);
    hash_number(st, w->argv.n);
    for (size_t i = 0; i < w->argv.n; i++)
        hash_text(st, w->argv.v[i]);
    hash_text(st, w->shell);
    hash_text(st, w->user);
    hash_text(st, w->cwd);
    hash_number(st, w->env.n);
    for (size_t i = 0; i < w->env.n; i++) {
        hash_text(st, w->env.v[i].key);
        hash_text(st, w->env.v[i].value);
    }
    hash_number(st, w->timeout);
    hash_number(st, w->deadline);
    hash_number(st, w->grace);
    hash_number(st, w->max_parallel);
    hash_number(st, w->stdin_open);
    hash_number(st, w->output_cap_bytes);
    hash_text(st, w->stdin_data.b);
    if (w->kind != JOB_KIND_COMMAND) { /* hashes of commands are as they were before there were kinds */
        hash_number(st, (uint64_t)w->kind);
        hash_text(st, w->subject);
    }
    sha256_finish(st, ret);
    sha256_free(st);
}

/* -- the job as an object */
static bool copy_list(struct arena *a, const struct str_list *in, struct str_list *out)
{
    *out = (struct str_list){ in->n ? arena_array(a, in->n, sizeof(*out->v)) : NULL, in->n };
    for (size_t i = 0; i < in->n; i++)
        if (!out->v || !(out->v[i] = arena_str(a, in->v[i])).ptr)
            return false;
    return true;
}

/* In an arena of its own; NULL when it does not fit. */
struct job *job__new(const struct job_spec *spec, struct str principal, struct str idem_key,
                     struct str stdin_data)
{
    struct job *j = xnew0(struct job);
    struct arena *a = j->arena = arena_new(JOB_ARENA_MAX);
    j->spec = *spec;
    bool fits = copy_list(a, &spec->argv, &j->spec.argv);
    j->spec.env.v = spec->env.n ? arena_array(a, spec->env.n, sizeof(struct kv)) : NULL;
    fits = fits && (spec->env.n == 0 || j->spec.env.v);
    for (size_t i = 0; fits && i < spec->env.n; i++) {
        j->spec.env.v[i] =
            (struct kv){ arena_str(a, spec->env.v[i].key), arena_str(a, spec->env.v[i].value) };
        fits = j->spec.env.v[i].value.ptr != NULL;
    }
    j->spec.subject = arena_str(a, spec->subject);
    j->spec.shell = arena_str(a, spec->shell);
    j->spec.user = arena_str(a, spec->user);
    j->spec.cwd = arena_str(a, spec->cwd);
    j->principal = arena_str(a, principal);
    j->idem_key = arena_str(a, idem_key);
    j->stdin_data = arena_str(a, stdin_data);
    if (fits && j->stdin_data.ptr) /* the last and largest: it fits when all fit */
        return j;
    job__discard(j);
    return NULL;
}

static struct job *from_wish(const struct control *c, const struct principal *p, const struct job_wish *w)
{
    struct str words[3] = { STR("/bin/sh"), STR("-c"), w->shell };
    struct job_spec spec = {
        .kind = (int)w->kind,
        .subject = w->subject,
        .argv = w->shell.len ? (struct str_list){ words, 3 } : w->argv,
        .shell = w->shell,
        .user = w->user,
        .cwd = w->cwd,
        .env = w->env,
        .timeout = w->timeout,
        .grace = w->grace ? w->grace : GRACE_DEFAULT_S * USEC_PER_SEC,
        .max_parallel = w->max_parallel,
        .output_cap_bytes = w->output_cap_bytes ? w->output_cap_bytes : c->conf.output_cap_bytes,
        .stdin_open = w->stdin_open,
    };
    struct job *j = job__new(&spec, str_of(p->name), w->idem_key, w->stdin_data.b);
    if (!j)
        return NULL;
    j->created_at = control__wall(c);
    j->deadline = j->created_at + (w->deadline ? w->deadline : c->conf.job_deadline);
    j->cancel_grace = spec.grace;
    j->input_known = true;
    return j;
}

/* -- the creation under way */
struct creation {
    struct control *c;
    struct life *life; /* while a read is out */
    struct principal p;
    struct job *job; /* until it is filed */
    uint64_t job_id;
    bool is_repeat, is_told;
    struct str_list hosts; /* the caller's; in @arena when the answer comes later */
    struct str selector;
    struct arena *arena;
    uint32_t key_epoch;
    job_fn done;
    void *ctx;
    int result;
    struct err err;
};

static void tell(struct control *c, void *arg)
{
    struct creation *x = arg;
    struct job_row row;
    const struct job *j = c && x->result == 0 ? job__find(c, x->job_id) : NULL;
    if (j)
        job__row(j, &row);
    if (c)
        x->done(x->ctx, x->result, &x->err, j ? &row : NULL, x->is_repeat);
    if (x->job)
        job__discard(x->job);
    arena_free(x->arena);
    free(x);
}

static void fail(struct creation *x, int r)
{
    x->result = r;
    audit__refused(x->c, &x->p, VERB_RUN, STR("create"), r, &x->err);
    commit_after(x->c, tell, x);
}

struct targets {
    struct control *c;
    VEC(struct host *) v;
};

static bool add_view(void *ctx, const struct host_view *view)
{
    struct targets *ts = ctx;
    *vec_add(&ts->v) = host__by_id(ts->c, view->id.v);
    return true;
}

#define CANNOT "%s is known through %s: it takes no order of the kind %s"

static bool can_do(const struct host *h, const struct job *j)
{
    return accent__can(h, capability_for((enum job_kind)j->spec.kind));
}

static int named_hosts(struct creation *x, struct targets *ts)
{
    uint32_t mark = ++x->c->target_mark;
    for (size_t i = 0; i < x->hosts.n; i++) {
        char path[48];
        struct host *h = host__find(x->c, x->hosts.v[i], &x->err);
        int r = h ? 0 : -ENOENT;
        if (h && h->state != HOST_APPROVED)
            r = err_set(&x->err, -EINVAL, "host.state", "%s is %s: it runs nothing", h->name,
                        name_of(host_state_names, h->state));
        if (r == 0 && !can_do(h, x->job))
            r = err_set(&x->err, -EINVAL, "host.cannot", CANNOT, h->name, h->dialect, name_of(job_kind_names, x->job->spec.kind));
        if (r < 0) {
            snprintf(path, sizeof(path), "targets.hosts[%zu]", i);
            err_path(&x->err, path);
            return r;
        }
        if (h->mark == mark)
            continue; /* named twice, runs once */
        h->mark = mark;
        *vec_add(&ts->v) = h;
    }
    return 0;
}

static int aim(struct creation *x, struct targets *ts)
{
    AUTO(arena_free) struct arena *a = arena_new(256 << 10);
    struct selector *sel = NULL;
    if (x->hosts.n)
        return named_hosts(x, ts);
    if (x->selector.len) {
        int r = selector_parse(a, x->selector, &sel, &x->err);
        if (r < 0) {
            err_path(&x->err, "targets.selector");
            return -EINVAL;
        }
    }
    host_list(x->c, HOST_APPROVED, sel, add_view, ts);
    if (ts->v.n == 0)
        return err_set(&x->err, -ENOENT, "selector.empty",
                       sel ? "no approved host matches %.*s" : "there are no approved hosts%.*s",
                       STR_FMT(x->selector));
    return 0;
}

/* Hosts that a selector found and that cannot: their share ends with the reason, so that nobody thinks it was done there. */
static void refuse_unable(struct control *c, struct job *j)
{
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        struct task *t = &j->tasks[i];
        char why[512];
        if (t->state == TASK_DONE || can_do(t->host, j))
            continue;
        snprintf(why, sizeof(why), CANNOT, t->host->name, t->host->dialect, name_of(job_kind_names, j->spec.kind));
        task__end(c, t, &(struct task_end){ .task_id = t->id, .outcome = OUTCOME_REFUSED, .message = str_of(why) });
    }
}

static void record(struct creation *x, const struct targets *ts)
{
    struct control *c = x->c;
    struct job *j = TAKE(x->job);
    struct job_row row;
    struct task_row task;
    struct details d = { 0 };

    x->job_id = j->id = c->next.job++;
    j->n_tasks = (uint32_t)ts->v.n;
    j->tasks = xcalloc(ts->v.n, sizeof(*j->tasks));
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        struct task *t = &j->tasks[i];
        *t = (struct task){ .id = c->next.task++, .job = j, .host = ts->v.v[i] };
        DL_APPEND(t->host->tasks, t);
        task__move(c, t, TASK_QUEUED);
    }
    c->n_open_tasks += j->n_tasks;
    job__file(c, j);
    command__mark_new(c, j);
    job__row(j, &row);
    store_put_job(c->store, &row);
    for (uint32_t i = 0; i < j->n_tasks; i++) {
        task__row(&j->tasks[i], &task);
        store_put_task(c->store, &task);
    }

    char target[24];
    snprintf(target, sizeof(target), "%llu", (unsigned long long)j->id);
    details_str(details_u64(&d, "hosts", j->n_tasks), "what", STR("create"));
    if (j->spec.kind != JOB_KIND_COMMAND)
        details_str(details_str(&d, "kind", str_of(name_of(job_kind_names, j->spec.kind))), "subject", j->spec.subject);
    for (size_t i = 0; i < j->spec.argv.n && i < 8; i++) {
        static const char *const names[] = { "argv0", "argv1", "argv2", "argv3",
                                             "argv4", "argv5", "argv6", "argv7" };
        details_str(&d, names[i], str_sub(j->spec.argv.v[i], 0, 512));
    }
    audit__ok(c, &x->p, VERB_RUN, str_of(target), &d);
    d = (struct details){ 0 };
    details_u64(details_u64(&d, "job_id", j->id), "hosts", j->n_tasks);
    event_emit(c, "job.created", NULL, &details_str(&d, "by", str_of(x->p.name))->list);
    commit_after(c, tell,
                 x); /* the answer leaves before the offers: whoever follows the job misses nothing */
    command__send_new(c, j);
    refuse_unable(c, j);
}

static void create_now(struct creation *x)
{
    struct control *c = x->c;
    struct targets ts = { .c = c };
    int r = aim(x, &ts);
    if (r == 0 && (c->jobs.n >= OPEN_JOBS_MAX || c->n_open_tasks + ts.v.n > OPEN_TASKS_MAX))
        r = err_set(&x->err, -EBUSY, "server.overloaded", "too many jobs or tasks are open");
    if (r == 0)
        record(x, &ts);
    else
        fail(x, r);
    vec_done(&ts.v);
}

/* -- idempotency */
static bool is_same_wish(struct creation *x, const uint8_t hash[SHA256_LEN])
{
    if (memcmp(hash, x->job->idem_hash, SHA256_LEN) == 0)
        return true;
    x->result =
        err_set(&x->err, -EEXIST, "job.key_reused", "this Idempotency-Key was used for another request");
    return false;
}

/* True if an open job has the key: answered. */
static bool answered_from_memory(struct creation *x)
{
    char key[sizeof(x->p.name) + IDEM_KEY_MAX + 2] = "";
    const struct job *wish = x->job;
    size_t len = wish->principal.len + 1 + wish->idem_key.len;
    memcpy(key, wish->principal.ptr, wish->principal.len);
    memcpy(key + wish->principal.len + 1, wish->idem_key.ptr, wish->idem_key.len);
    const struct job *j = job__by_key(x->c, key, len);
    if (!j)
        return false;
    if (!is_same_wish(x, j->idem_hash)) {
        fail(x, x->result);
        return true;
    }
    x->job_id = j->id;
    x->is_repeat = true;
    commit_after(x->c, tell, x);
    return true;
}

static void read_row(void *ctx, const struct job_row *row)
{
    struct creation *x = ctx;
    if (!x->life->c || x->is_told || job__find(x->c, row->id))
        return; /* open (again): memory answers */
    x->is_told = true;
    if (is_same_wish(x, row->idem_hash))
        x->done(x->ctx, 0, NULL, row, true);
    else
        x->done(x->ctx, x->result, &x->err, NULL, false);
}

static void look_up(struct creation *x);

static void read_done(void *ctx, int result)
{
    struct creation *x = ctx;
    struct control *c = life_unref(TAKE(x->life));
    if (!c) {
        x->result = err_set(&x->err, -ECANCELED, "server.stopping", "the server is stopping");
        x->done(x->ctx, x->result, &x->err, NULL, false);
        tell(NULL, x);
        return;
    }
    c->n_wishes--;
    if (x->is_told) {
        tell(NULL, x);
    } else if (result < 0) {
        x->result = err_set(&x->err, -EAGAIN, "store.unavailable", "the database could not be read");
        x->done(x->ctx, x->result, &x->err, NULL, false);
        tell(NULL, x);
    } else if (!answered_from_memory(x)) {
        if (job__key_epoch(c, x->job) != x->key_epoch)
            look_up(x);
        else if (control_refuses_writes(c, &x->err))
            fail(x, -EAGAIN);
        else
            create_now(x);
    }
}

/* The caller's lists end with the call: copies of them wait here. */
static bool keep_targets(struct creation *x)
{
    struct str_list hosts = x->hosts;
    x->arena = arena_new(TARGETS_MAX);
    x->selector = arena_str(x->arena, x->selector);
    return copy_list(x->arena, &hosts, &x->hosts) && x->selector.ptr;
}

static void look_up(struct creation *x)
{
    struct control *c = x->c;
    x->key_epoch = job__key_epoch(c, x->job);
    c->n_wishes++;
    x->life = life_ref(c);
    control__flush(c);
    store_read_job_by_key(c->store, x->job->principal, x->job->idem_key, read_row, read_done, x);
}

/* -- the verb */
static int begin(struct control *c, const struct principal *p, const struct job_wish *w, struct err *err)
{
    int r = authz(c, p, VERB_RUN, STR("create"), err);
    if (r < 0)
        return r;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    r = check_wish(c, w, err);
    if (r < 0)
        return audit__refused(c, p, VERB_RUN, STR("create"), r, err);
    if (c->n_wishes >= WISHES_MAX)
        return err_set(err, -EBUSY, "server.overloaded", "too many jobs are being made");
    return 0;
}

void job_create(struct control *c, const struct principal *p, const struct job_wish *w, job_fn done,
                void *ctx)
{
    struct err err = { 0 };
    int r = begin(c, p, w, &err);
    struct job *j = r == 0 ? from_wish(c, p, w) : NULL;
    struct creation *x = xnew0(struct creation);
    *x = (struct creation){
        .c = c, .p = *p, .job = j, .hosts = w->hosts, .selector = w->selector, .done = done, .ctx = ctx
    };
    if (!j || (w->idem_key.len && !keep_targets(x))) {
        if (r == 0)
            r = err_set(&err, -E2BIG, "job.too_large", "this job is too large");
        done(ctx, r, &err, NULL, false);
        tell(NULL, x);
        return;
    }
    if (!w->idem_key.len) {
        create_now(x);
        return;
    }
    hash_wish(w, j->idem_hash);
    if (!answered_from_memory(x))
        look_up(x);
}
