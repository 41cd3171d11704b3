/* control/run_actions.c - what people do with runs: start one again, stop one. Loop thread. */
#include "base/rand.h"
#include "base/text.h"

#include "control/run_priv.h"

void run__view(struct control *c, enum run_right right, const struct run *r, struct run_view *ret)
{
    *ret = (struct run_view){
        .id = r->id,
        .row = &r->row,
        .snapshot = r->snapshot ? &r->snapshot->row : NULL,
        .owner = run_person(c, r->row.owner_id),
        .right = right,
    };
    run__serving(c, r, &ret->has_agents, &ret->is_agent_online);
    ret->is_rerun_allowed = ret->is_agent_online && ret->right >= RUN_RIGHT_EDIT && run_may_rerun((enum run_state)r->row.state) &&
                            run__command_text(r).len > 0;
}

static void tell(struct control *c, const char *type, const struct run *r, const struct principal *p)
{
    struct details d = { 0 };
    details_str(details_str(&d, "run", r->row.batch_id), "project", r->row.project);
    details_str(details_str(&d, "source", r->row.source_batch_id), "by", str_of(p->name));
    event_emit(c, type, NULL, &d.list);
}

/* -- rerun */
/* The child's name: what the wish says, or made from the source's. @room: RUN_NAME_MAX + 16 bytes. */
static struct str name_of_child(const struct run *source, const struct run_rerun *w, char *room)
{
    struct str old = source->row.name.len ? source->row.name : source->row.batch_id;
    if (w->name.len)
        return w->name;
    int n = snprintf(room, RUN_NAME_MAX + 16, "%.*s (rerun)", STR_FMT(str_sub(old, 0, RUN_NAME_MAX - 8)));
    return str_bytes(room, (size_t)n);
}

static struct str overrides_of(struct str text)
{
    return str_is(text, "{}") ? STR_NONE : text;
}

/* The rerun that this person's wish asks for once more; the newest. */
static struct run *repeated(struct control *c, const struct principal *p, const struct run *source, const struct run_rerun *w)
{
    struct run *r, *found = NULL;
    char room[RUN_NAME_MAX + 16];
    arena_reset(c->scratch);
    struct str name = text__clean(c->scratch, name_of_child(source, w, room), RUN_NAME_MAX); /* as it is kept */
    DL_FOREACH(run__book(c)->all, r)
    {
        if (run_is_over((enum run_state)r->row.state) || !str_eq(r->row.source_batch_id, source->row.batch_id))
            continue;
        const struct run_repeat again = {
            .state = (enum run_state)r->row.state,
            .is_open = run__command_open(r, RUN_COMMAND_RERUN) != NULL,
            .is_same_person = run__is_owner(p, r->row.owner_id),
            .is_same_wish = str_eq(r->row.name, name) && str_eq(overrides_of(r->row.overrides.text), overrides_of(w->overrides)),
        };
        if (run_is_repeat(&again))
            found = r;
    }
    return found;
}

/* A run that somebody else's agents serve may be started again by whoever may start the one it came from: a share that was taken back
 * must not live on in its copies. */
static bool may_use_agents(struct control *c, const struct principal *p, const struct run *source)
{
    const struct run *root = source->row.root_id ? run__by_id(c, source->row.root_id) : source;
    if (source->row.route_owner_id == source->row.owner_id)
        return true;
    return root && run__right(c, p, root) >= RUN_RIGHT_EDIT;
}

static int may_rerun(struct control *c, const struct principal *p, const struct run *s, const struct run_rerun *w, struct err *err)
{
    bool any, online;
    if (!run_may_rerun((enum run_state)s->row.state))
        return err_set(err, -EEXIST, "run.state", "a batch that is %s is not started again",
                       name_of(run_state_names, (int)s->row.state));
    if (!may_use_agents(c, p, s))
        return err_set(err, -EACCES, "run.denied", "the batch this one repeats is not yours to start any more");
    if (!run__command_text(s).len)
        return err_set(err, -EEXIST, "run.no_command", "no command is recorded for this batch");
    run__serving(c, s, &any, &online);
    if (w->require_agent && !online)
        return err_set(err, -EEXIST, "run.no_agent", "no agent is online for the host of this batch");
    return 0;
}

static struct run *make_child(struct control *c, const struct principal *p, struct run *s, const struct run_rerun *w,
                              struct err *err)
{
    uint8_t random[6];
    char id[32] = "rerun-", room[RUN_NAME_MAX + 16];
    rand_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), id + 6);
    if (!run__make_room(c, p->user_id, s->row.command.len + w->overrides.len + RUN_ROOM_LEAST, s, err))
        return NULL;
    struct run *r = run__new(c, str_of(id), p->user_id, s, err);
    if (!r)
        return NULL;
    run__set(c, &r->row.name, name_of_child(s, w, room), RUN_NAME_MAX);
    run__set_raw(&r->row.project, s->row.project);
    run__set_raw(&r->row.host, s->row.host);
    run__set_raw(&r->row.os_user, s->row.os_user);
    run__set_raw(&r->row.experiment_type, s->row.experiment_type);
    run__set_raw(&r->row.command, s->row.command);
    run__set_raw(&r->row.commit, s->row.commit);
    run__set_raw(&r->row.source_batch_id, s->row.batch_id);
    run__set_raw(&r->row.overrides.text, w->overrides);
    run__set_raw(&r->row.requested_by, str_of(p->name));
    r->row.route_owner_id = s->row.route_owner_id;
    r->row.root_id = s->row.root_id ? s->row.root_id : s->id;
    r->row.n_total = s->row.n_total;
    r->row.requested_at = control__wall(c);
    r->row.state = RUN_REQUESTED;
    run__snapshot_set(c, r, s->snapshot);
    return r;
}

int run_rerun(struct control *c, const struct principal *p, struct str batch_id, const struct run_rerun *w, struct run_view *ret,
              struct err *err)
{
    struct details d = { 0 };
    struct run *s = run__for(c, p, batch_id, RUN_RIGHT_EDIT, "run.rerun", err);
    if (!s)
        return err->code;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    struct run *r = may_use_agents(c, p, s) ? repeated(c, p, s, w) : NULL;
    if (r) {
        run__view(c, run__right(c, p, r), r, ret);
        return 0;
    }
    if (may_rerun(c, p, s, w, err) < 0 || !(r = make_child(c, p, s, w, err)))
        return run__refused(c, p, "run.rerun", batch_id, err);
    run__put(c, r);
    struct run_command *cmd = run__command_new(c, r, RUN_COMMAND_RERUN, p->name);
    struct run_agent *a = run__route(c, r, RUN_COMMAND_RERUN);
    if (!a || run__command_send(c, cmd, a, p, err) < 0)
        run__command_put(c, cmd); /* waits for an agent; the tick gives up after a day */
    run__history(c, r, RUN_EVENT_RERUN, p->name, r->row.overrides.text);
    details_str(details_str(&d, "child", r->row.batch_id), "agent", a ? a->row.agent_id : STR_NONE);
    run__audit(c, p, "run.rerun", batch_id, &d);
    tell(c, "run.rerun_requested", r, p);
    err_reset(err);
    run__view(c, run__right(c, p, r), r, ret);
    return 0;
}

/* -- stop */
static void queue_stop(struct control *c, struct run *r, const struct principal *p)
{
    struct err err = { 0 };
    const struct run_command *started = run__command_newest(r, RUN_COMMAND_RERUN);
    struct run_agent *a = started && started->row.agent_id ? run__agent(c, started->row.agent_id) : NULL;
    if (!a || !run__agent_lives(c, a))
        a = run__route(c, r, RUN_COMMAND_STOP);
    if (!a || run__command_open(r, RUN_COMMAND_STOP))
        return; /* nobody to tell but the script itself, which asks */
    struct run_command *cmd = run__command_new(c, r, RUN_COMMAND_STOP, p->name);
    if (run__command_send(c, cmd, a, p, &err) < 0)
        run__command_cancel(c, cmd, err.text);
}

void run__stop_now(struct control *c, struct run *r, const struct principal *p)
{
    struct run_command *cmd = run__command_open(r, RUN_COMMAND_RERUN);
    const struct run_command *newest = run__command_newest(r, RUN_COMMAND_RERUN);
    bool was_started = newest && (newest->row.state == RUN_COMMAND_STARTED || newest->row.state == RUN_COMMAND_EXITED);
    /* Nothing can be running: its command never left, or its agent refused it. */
    bool is_early = r->row.state == RUN_REQUESTED && newest && !was_started && !(cmd && cmd->is_delivered);
    if (run_may_stop((enum run_state)r->row.state)) {
        r->row.stop_at = control__wall(c);
        run__set(c, &r->row.stop_by, str_of(p->name), 192);
        run__history(c, r, RUN_EVENT_STOP, p->name, STR_NONE);
        tell(c, "run.stop_requested", r, p);
    }
    if (cmd)
        run__command_cancel(c, cmd, "stopped before it began");
    if (run_may_stop((enum run_state)r->row.state))
        run__input(c, r, is_early ? RUN_IN_STOP_EARLY : RUN_IN_STOP, NULL);
    queue_stop(c, r, p);
}

int run_stop(struct control *c, const struct principal *p, struct str batch_id, struct run_view *ret, struct err *err)
{
    struct details d = { 0 };
    struct run *r = run__for(c, p, batch_id, RUN_RIGHT_EDIT, "run.stop", err);
    if (!r)
        return err->code;
    if (control_refuses_writes(c, err))
        return -EAGAIN;
    if (run_may_stop((enum run_state)r->row.state)) {
        run__stop_now(c, r, p);
        run__audit(c, p, "run.stop", batch_id, details_str(&d, "state", str_of(name_of(run_state_names, (int)r->row.state))));
    }
    run__view(c, run__right(c, p, r), r, ret);
    return 0;
}
