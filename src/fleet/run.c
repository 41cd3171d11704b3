/* fleet/run.c - see run.h. */
#include "fleet/run.h"

#include <stdio.h>

#include "base/text.h"

const struct name run_state_names[] = {
    { RUN_REQUESTED, "requested" }, { RUN_PENDING, "pending" },     { RUN_RUNNING, "running" },
    { RUN_STALLED, "stalled" },     { RUN_STOPPING, "stopping" },   { RUN_STOPPED, "stopped" },
    { RUN_CANCELLED, "cancelled" }, { RUN_DONE, "done" },           { RUN_FAILED, "failed" },
    NAMES_END,
};
#define SCRIPT_EVENTS                                                                                                            \
    { RUN_EVENT_BATCH_START, "batch_start" }, { RUN_EVENT_BATCH_DONE, "batch_done" },                                           \
        { RUN_EVENT_BATCH_FAILED, "batch_failed" }, { RUN_EVENT_JOB_START, "job_start" },                                       \
        { RUN_EVENT_JOB_EPOCH, "job_epoch" }, { RUN_EVENT_JOB_DONE, "job_done" }, { RUN_EVENT_JOB_FAILED, "job_failed" },       \
        { RUN_EVENT_RESOURCE, "resource_snapshot" }, { RUN_EVENT_LOG, "log_line" }, { RUN_EVENT_SNAPSHOT, "env_snapshot" }
const struct name run_event_names[] = { SCRIPT_EVENTS, NAMES_END };
const struct name run_event_history_names[] = {
    SCRIPT_EVENTS,
    { RUN_EVENT_RERUN, "rerun_requested" },
    { RUN_EVENT_STOP, "batch_stop_requested" },
    { RUN_EVENT_EXIT, "command_exit" },
    NAMES_END,
};
const struct name run_command_kind_names[] = { { RUN_COMMAND_RERUN, "rerun" }, { RUN_COMMAND_STOP, "stop" }, NAMES_END };
const struct name run_command_state_names[] = {
    { RUN_COMMAND_WAITING, "waiting" },     { RUN_COMMAND_PENDING, "pending" }, { RUN_COMMAND_STARTED, "started" },
    { RUN_COMMAND_FAILED, "failed" },       { RUN_COMMAND_CANCELLED, "cancelled" }, { RUN_COMMAND_EXITED, "exited" },
    NAMES_END,
};
const struct name run_agent_badge_names[] = {
    { RUN_AGENT_ONLINE, "online" }, { RUN_AGENT_STALE, "stale" }, { RUN_AGENT_OFFLINE, "offline" }, NAMES_END
};
const struct name run_share_names[] = { { RUN_SHARE_VIEWER, "viewer" }, { RUN_SHARE_EDITOR, "editor" }, NAMES_END };

/* -- the table: 0 is a forbidden move. Short names keep the rows readable. */
enum {
    XX = 0,
    RQ = RUN_REQUESTED,
    PE = RUN_PENDING,
    RU = RUN_RUNNING,
    SL = RUN_STALLED,
    SG = RUN_STOPPING,
    SD = RUN_STOPPED,
    CA = RUN_CANCELLED,
    DO = RUN_DONE,
    FA = RUN_FAILED
};
/* clang-format off */
static const uint8_t table[][RUN_IN_N] = {
    /*                 START NEWS DONE FAIL ACK NACK EX_0 EX_N STOP EARLY NOTHERE UNWANTED SILENCE */
    [RUN_REQUESTED] = { RU,  RU,  DO,  FA,  RU, RQ,  DO,  FA,  SG,  CA,   RQ,     CA,      RQ },
    [RUN_PENDING]   = { RU,  RU,  DO,  FA,  RU, PE,  DO,  FA,  SG,  CA,   PE,     CA,      PE },
    [RUN_RUNNING]   = { RU,  RU,  DO,  FA,  RU, RU,  DO,  FA,  SG,  SG,   RU,     RU,      SL },
    [RUN_STALLED]   = { RU,  RU,  DO,  FA,  RU, SL,  DO,  FA,  SG,  SG,   SL,     SL,      SL },
    [RUN_STOPPING]  = { SG,  SG,  SD,  SD,  SG, SD,  SD,  SD,  SG,  SG,   SD,     SG,      SD },
    [RUN_STOPPED]   = { RU,  SD,  SD,  SD,  SD, SD,  SD,  SD,  XX,  XX,   SD,     SD,      SD },
    [RUN_CANCELLED] = { RU,  CA,  CA,  CA,  CA, CA,  CA,  CA,  XX,  XX,   CA,     CA,      CA },
    [RUN_DONE]      = { DO,  DO,  DO,  DO,  DO, DO,  DO,  DO,  XX,  XX,   DO,     DO,      DO },
    [RUN_FAILED]    = { RU,  FA,  DO,  FA,  FA, FA,  FA,  FA,  XX,  XX,   FA,     FA,      FA },
};
/* clang-format on */

struct run_step run_step(enum run_state from, enum run_input in)
{
    if ((unsigned)from < RUN_REQUESTED || (unsigned)from > RUN_FAILED || (unsigned)in >= RUN_IN_N || !table[from][in])
        return (struct run_step){ .to = from, .is_same = true };
    return (struct run_step){ .to = (enum run_state)table[from][in], .legal = true, .is_same = table[from][in] == from };
}

bool run_is_over(enum run_state s)
{
    return s == RUN_STOPPED || s == RUN_CANCELLED || s == RUN_DONE || s == RUN_FAILED;
}

bool run_may_stop(enum run_state s)
{
    return s == RUN_RUNNING || s == RUN_STALLED || s == RUN_REQUESTED || s == RUN_PENDING;
}

bool run_may_rerun(enum run_state s)
{
    return run_is_over(s);
}

bool run_is_repeat(const struct run_repeat *r)
{
    if (!r->is_same_person)
        return false;
    if (r->state == RUN_RUNNING) /* open: its script was faster than the agent's word */
        return r->is_open || r->is_same_wish;
    return r->state == RUN_REQUESTED && r->is_open;
}

/* -- items */
enum run_item_class run_item_class_of(struct str status)
{
    static const char *const bad[] = { "failed", "error", "failure", "crashed", "killed", "timeout" };
    static const char *const open[] = { "", "pending", "queued", "requested", "running", "started" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (str_is(status, bad[i]))
            return RUN_ITEM_BAD;
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        if (str_is(status, open[i]))
            return RUN_ITEM_OPEN;
    return RUN_ITEM_GOOD;
}

bool run_event_is_of_item(enum run_event_type t)
{
    return t >= RUN_EVENT_JOB_START && t <= RUN_EVENT_JOB_FAILED;
}

/* -- commands */
void run_command_uuid(const uint8_t secret[32], uint64_t task_id, char ret[UUID_TEXT_MAX])
{
    static const char domain[8] = "run.cmd";
    uint8_t text[48], hash[SHA256_LEN];
    struct uuid u;

    memcpy(text, domain, 8);
    memcpy(text + 8, secret, 32);
    for (int i = 0; i < 8; i++)
        text[40 + i] = (uint8_t)(task_id >> (8 * i));
    sha256(str_bytes(text, sizeof(text)), hash);
    memcpy(u.b, hash, sizeof(u.b));
    u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x80); /* version 8: made to a recipe of our own (RFC 9562 section 5.8) */
    u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
    uuid_format(&u, ret);
}

/* -- agents */
enum run_agent_badge run_agent_badge_at(usec_t last_seen, usec_t now)
{
    usec_t age = now > last_seen ? now - last_seen : 0;

    if (!last_seen || age > RUN_STALE_WITHIN)
        return RUN_AGENT_OFFLINE;
    return age <= RUN_ONLINE_WITHIN ? RUN_AGENT_ONLINE : RUN_AGENT_STALE;
}

bool run_agent_serves(const struct run_route *a, const struct run_target *t)
{
    if (!a->can_do || !t->host.len || !str_eq(a->hostname, t->host))
        return false;
    if (a->owner_id != t->owner_id && !a->is_shared)
        return false;
    return !a->label.len || str_eq(a->label, t->os_user);
}

bool run_agent_is_better(const struct run_route *a, const struct run_route *b)
{
    if ((a->label.len > 0) != (b->label.len > 0))
        return a->label.len > 0;
    if (a->is_shared != b->is_shared)
        return !a->is_shared;
    return a->last_seen > b->last_seen;
}

struct str run_label_of(struct str capability)
{
    struct str label = str_sub(capability, 6, capability.len);

    if (!str_starts(capability, STR("label=")) || !label.len || label.len > RUN_LABEL_MAX)
        return STR_NONE;
    for (size_t i = 0; i < label.len; i++) {
        char ch = label.ptr[i];
        bool is_word = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!is_word && ch != '_' && ch != '.' && ch != '@' && ch != '-')
            return STR_NONE;
    }
    return label;
}

/* -- who may */
enum run_right run_right_of(const struct run_standing *s)
{
    enum run_right right = RUN_RIGHT_NONE;

    if (s->is_owner || s->is_admin)
        right = RUN_RIGHT_OWN;
    else if (s->share == RUN_SHARE_EDITOR || (s->is_recipient && s->is_recipient_enabled) || s->is_agents_owner)
        right = RUN_RIGHT_EDIT;
    else if (s->share == RUN_SHARE_VIEWER || s->is_recipient)
        right = RUN_RIGHT_SEE;
    return s->is_read_only && right > RUN_RIGHT_SEE ? RUN_RIGHT_SEE : right;
}

/* -- words */
bool run_text_is_acceptable(struct str s, size_t max)
{
    if (!s.len || s.len > max || !utf8_is_valid(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

bool run_email_is_acceptable(struct str s)
{
    ptrdiff_t at = str_find_char(s, '@');

    if (!run_text_is_acceptable(s, 254) || at < 1 || (size_t)at + 1 >= s.len)
        return false;
    if (str_find_char(s, ' ') >= 0 || str_find_char(str_sub(s, (size_t)at + 1, s.len), '@') >= 0)
        return false;
    return str_find_char(s, ',') < 0 && str_find_char(s, '<') < 0 && str_find_char(s, '>') < 0;
}
