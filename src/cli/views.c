/* cli/views.c - see views.h. Maximums are generous on purpose: the server is ours and has its own limits;
 * here they only bound what one strange answer can do. */
#include "cli/views.h"

#include <ctype.h>

#include "base/text.h"
#include "cli/outcome.h"
#include "codec/record.h"

#define TEXT 4096
#define BIG (1 << 20)
#define NONE .flags = FIELD_NULLABLE, .column = ""
#define SHOW(heading) .flags = FIELD_NULLABLE, .column = (heading)
#define STATE(heading) .flags = FIELD_NULLABLE | FIELD_STATE, .column = (heading)
#define WIDE(heading) .flags = FIELD_NULLABLE | FIELD_WIDE, .column = (heading)
#define KEY(heading) .flags = FIELD_NULLABLE | FIELD_ID, .column = (heading)
#define MADE(heading) .flags = FIELD_OUT_ONLY, .column = (heading)

static const struct field system_fields[] = {
    F_STR(struct system_view, os, "os", TEXT, SHOW("OS")),
    F_STR(struct system_view, kernel, "kernel", TEXT, WIDE("KERNEL")),
    F_U64(struct system_view, cpu_cores, "cpu_cores", WIDE("CPUS")),
    F_U64(struct system_view, memory_bytes, "memory_bytes", NONE),
    F_U64(struct system_view, disk_bytes, "disk_bytes", NONE),
};
static const struct record system_view_record = RECORD(system_view, system_fields);

static const struct field metrics_fields[] = {
    F_F64(struct metrics_view, cpu_percent, "cpu_percent", NONE),
    F_JSON(struct metrics_view, load_avg, "load_avg", TEXT, NONE),
    F_U64(struct metrics_view, memory_used_bytes, "memory_used_bytes", NONE),
    F_U64(struct metrics_view, memory_total_bytes, "memory_total_bytes", NONE),
    F_U64(struct metrics_view, disk_used_bytes, "disk_used_bytes", NONE),
    F_U64(struct metrics_view, disk_total_bytes, "disk_total_bytes", NONE),
    F_U64(struct metrics_view, uptime_seconds, "uptime_seconds", NONE),
};
static const struct record metrics_view_record = RECORD(metrics_view, metrics_fields);

static const struct field role_fields[] = {
    F_STR(struct role_view, name, "name", TEXT, .flags = FIELD_NULLABLE | FIELD_ID, .column = ""),
    F_STR(struct role_view, status, "status", TEXT, NONE),
    F_STR(struct role_view, message, "message", TEXT, NONE),
};
static const struct record role_view_record = RECORD(role_view, role_fields);

static const struct field host_fields[] = {
    F_STR(struct host_view, name, "name", TEXT, KEY("NAME")),
    F_STR(struct host_view, status, "status", TEXT, STATE("STATUS")),
    F_STR(struct host_view, state, "state", TEXT, STATE("STATE"), .usual = "approved"),
    F_STR(struct host_view, ip_address, "ip_address", TEXT, SHOW("ADDRESS")),
    F_SUB(struct host_view, system, "system_info", &system_view_record, SHOW("SYSTEM")),
    F_MAP(struct host_view, labels, "labels", 1000, TEXT, SHOW("LABELS")),
    F_STR(struct host_view, dialect, "dialect", TEXT, SHOW("DIALECT"), .usual = "native"),
    F_TIME(struct host_view, last_seen, "last_seen", SHOW("SEEN")),
    F_STR(struct host_view, id, "id", TEXT, WIDE("ID")),
    F_STR(struct host_view, hostname, "hostname", TEXT, WIDE("HOSTNAME")),
    F_STR(struct host_view, agent_version, "agent_version", TEXT, WIDE("AGENT")),
    F_STR_LIST(struct host_view, aliases, "aliases", 16, TEXT, WIDE("ALIASES")),
    F_STR(struct host_view, presence, "presence", TEXT, NONE),
    F_U64(struct host_view, active_commands, "active_commands", NONE),
    F_LIST(struct host_view, roles, "roles", 1000, &role_view_record, NONE),
    F_SUB(struct host_view, metrics, "metrics", &metrics_view_record, NONE),
    F_MAP(struct host_view, claimed_labels, "claimed_labels", 1000, TEXT, NONE),
    F_TIME_MS(struct host_view, connected_at, "connected_at", NONE),
    F_STR(struct host_view, fingerprint, "fingerprint", TEXT, NONE),
    F_TIME(struct host_view, certificate_expires_at, "certificate_expires_at", NONE),
    F_STR(struct host_view, clone_suspected, "clone_suspected", TEXT, WIDE("CLONE")),
    F_TIME(struct host_view, created_at, "created_at", NONE),
    F_STR(struct host_view, approved_by, "approved_by", TEXT, NONE),
    F_TIME(struct host_view, approved_at, "approved_at", NONE),
    F_STR(struct host_view, decided_by, "decided_by", TEXT, NONE),
    F_TIME(struct host_view, decided_at, "decided_at", NONE),
    F_STR(struct host_view, reason, "reason", TEXT, NONE),
};
const struct record host_view_record = RECORD(host_view, host_fields);

static const struct field enrollment_fields[] = {
    F_STR(struct enrollment_view, name, "name", TEXT, SHOW("NAME")),
    F_STR(struct enrollment_view, hostname, "hostname", TEXT, SHOW("CALLS ITSELF")),
    F_STR(struct enrollment_view, id, "id", TEXT, KEY("ID")),
    F_STR(struct enrollment_view, os, "os", TEXT, SHOW("OS")),
    F_STR(struct enrollment_view, peer, "peer", TEXT, SHOW("FROM")),
    F_TIME(struct enrollment_view, requested_at, "requested_at", SHOW("ASKED")),
    F_STR(struct enrollment_view, fingerprint, "fingerprint", TEXT, SHOW("FINGERPRINT")),
    F_STR_LIST(struct enrollment_view, addresses, "addresses", 1000, TEXT, WIDE("ADDRESSES")),
    F_MAP(struct enrollment_view, claimed_labels, "claimed_labels", 1000, TEXT, WIDE("CLAIMS LABELS")),
    F_STR(struct enrollment_view, kernel, "kernel", TEXT, WIDE("KERNEL")),
    F_STR(struct enrollment_view, arch, "arch", TEXT, WIDE("ARCH")),
    F_TIME(struct enrollment_view, expires_at, "expires_at", NONE),
    F_STR(struct enrollment_view, clone_suspected, "clone_suspected", TEXT, WIDE("CLONE")),
};
const struct record enrollment_view_record = RECORD(enrollment_view, enrollment_fields);

static const struct field token_fields[] = {
    F_U64(struct token_view, id, "id", KEY("ID")),
    F_STR(struct token_view, left, "", TEXT, MADE("USED")),
    F_U64(struct token_view, uses, "uses", NONE),
    F_U64(struct token_view, used, "used", NONE),
    F_TIME(struct token_view, expires_at, "expires_at", SHOW("EXPIRES")),
    F_BOOL(struct token_view, auto_approve, "auto_approve", SHOW("AUTO-APPROVE")),
    F_BOOL(struct token_view, revoked, "revoked", SHOW("REVOKED")),
    F_MAP(struct token_view, labels, "labels", 1000, TEXT, SHOW("LABELS")),
    F_STR(struct token_view, created_by, "created_by", TEXT, SHOW("BY")),
    F_TIME(struct token_view, created_at, "created_at", WIDE("CREATED")),
    F_STR(struct token_view, note, "note", TEXT, SHOW("NOTE")),
};
const struct record token_view_record = RECORD(token_view, token_fields);

static const struct field counts_fields[] = {
    F_U64(struct counts_view, total, "total", NONE),
    F_U64(struct counts_view, queued, "queued", NONE),
    F_U64(struct counts_view, offered, "offered", NONE),
    F_U64(struct counts_view, accepted, "accepted", NONE),
    F_U64(struct counts_view, running, "running", NONE),
    F_U64(struct counts_view, succeeded, "succeeded", NONE),
    F_U64(struct counts_view, failed, "failed", NONE),
    F_U64(struct counts_view, cancelled, "cancelled", NONE),
    F_U64(struct counts_view, expired, "expired", NONE),
    F_U64(struct counts_view, lost, "lost", NONE),
};
static const struct record counts_view_record = RECORD(counts_view, counts_fields);

static const struct field job_fields[] = {
    F_U64(struct job_view, id, "id", KEY("ID")),
    F_STR(struct job_view, state, "state", TEXT, STATE("STATE")),
    F_STR(struct job_view, done, "", TEXT, MADE("DONE")),
    F_TIME(struct job_view, created_at, "created_at", SHOW("CREATED")),
    F_STR(struct job_view, principal, "principal", TEXT, SHOW("BY")),
    F_STR(struct job_view, command, "", BIG, MADE("COMMAND")),
    F_TIME(struct job_view, finished_at, "finished_at", WIDE("FINISHED")),
    F_TIME(struct job_view, deadline, "deadline", NONE),
    F_STR_LIST(struct job_view, argv, "argv", 100000, BIG, NONE),
    F_STR(struct job_view, shell, "shell", BIG, NONE),
    F_STR(struct job_view, kind, "kind", TEXT, WIDE("KIND")),
    F_STR(struct job_view, subject, "subject", TEXT, WIDE("OF")),
    F_STR(struct job_view, user, "user", TEXT, WIDE("USER")),
    F_STR(struct job_view, cwd, "cwd", TEXT, WIDE("CWD")),
    F_DURATION(struct job_view, timeout, "timeout", NONE),
    F_U64(struct job_view, max_parallel, "max_parallel", NONE),
    F_BOOL(struct job_view, cancel_requested, "cancel_requested", NONE),
    F_SUB(struct job_view, counts, "counts", &counts_view_record, NONE),
};
const struct record job_view_record = RECORD(job_view, job_fields);

static const struct field task_fields[] = {
    F_STR(struct task_view, host, "host", TEXT, KEY("HOST")),
    F_STR(struct task_view, state, "state", TEXT, STATE("STATE")),
    F_STR(struct task_view, outcome, "outcome", TEXT, NONE),
    F_STR(struct task_view, result, "", TEXT, MADE("RESULT")),
    F_TIME(struct task_view, started_at, "started_at", SHOW("STARTED")),
    F_TIME(struct task_view, finished_at, "finished_at", SHOW("FINISHED")),
    F_TIME(struct task_view, created_at, "created_at", NONE),
    F_U64(struct task_view, stdout_bytes, "stdout_bytes", SHOW("STDOUT")),
    F_U64(struct task_view, stderr_bytes, "stderr_bytes", SHOW("STDERR")),
    F_U64(struct task_view, stdout_total_bytes, "stdout_total_bytes", NONE),
    F_U64(struct task_view, stderr_total_bytes, "stderr_total_bytes", NONE),
    F_BOOL(struct task_view, stdout_truncated, "stdout_truncated", NONE),
    F_BOOL(struct task_view, stderr_truncated, "stderr_truncated", NONE),
    F_I64(struct task_view, exit_code, "exit_code", NONE),
    F_I64(struct task_view, signal, "signal", NONE),
    F_I64(struct task_view, shell_code, "shell_code", NONE),
    F_STR(struct task_view, message, "message", TEXT, NONE),
    F_STR(struct task_view, host_id, "host_id", TEXT, WIDE("HOST ID")),
    F_U64(struct task_view, id, "id", WIDE("TASK")),
    F_U64(struct task_view, job_id, "job_id", NONE),
};
const struct record task_view_record = RECORD(task_view, task_fields);

static const struct field user_fields[] = {
    F_STR(struct user_view, name, "name", TEXT, KEY("NAME")),
    F_STR(struct user_view, role, "role", TEXT, SHOW("ROLE")),
    F_BOOL(struct user_view, disabled, "disabled", SHOW("DISABLED")),
    F_TIME(struct user_view, created_at, "created_at", SHOW("CREATED")),
};
const struct record user_view_record = RECORD(user_view, user_fields);

static const struct field api_token_fields[] = {
    F_U64(struct api_token_view, id, "id", KEY("ID")),
    F_STR(struct api_token_view, name, "name", TEXT, SHOW("NAME")),
    F_STR(struct api_token_view, user, "user", TEXT, SHOW("USER")),
    F_STR(struct api_token_view, role, "role", TEXT, SHOW("ROLE")),
    F_STR(struct api_token_view, hint, "hint", TEXT, SHOW("ENDS IN")),
    F_TIME(struct api_token_view, expires_at, "expires_at", SHOW("EXPIRES")),
    F_TIME(struct api_token_view, last_used, "last_used", SHOW("USED")),
    F_TIME(struct api_token_view, created_at, "created_at", WIDE("CREATED")),
    F_BOOL(struct api_token_view, revoked, "revoked", SHOW("REVOKED")),
};
const struct record api_token_view_record = RECORD(api_token_view, api_token_fields);

static const struct field audit_fields[] = {
    F_U64(struct audit_view, id, "id", KEY("ID")),
    F_TIME(struct audit_view, at, "at", SHOW("AT")),
    F_STR(struct audit_view, principal, "principal", TEXT, SHOW("WHO")),
    F_STR(struct audit_view, verb, "verb", TEXT, SHOW("VERB")),
    F_STR(struct audit_view, target, "target", TEXT, SHOW("TARGET")),
    F_STR(struct audit_view, outcome, "outcome", TEXT, STATE("OUTCOME")),
    F_STR(struct audit_view, code, "code", TEXT, SHOW("CODE")),
    F_STR(struct audit_view, peer, "peer", TEXT, WIDE("FROM")),
    F_JSON(struct audit_view, details, "details", BIG, WIDE("DETAILS")),
    F_STR(struct audit_view, hash, "hash", TEXT, WIDE("HASH")),
};
const struct record audit_view_record = RECORD(audit_view, audit_fields);

static const struct field event_fields[] = {
    F_U64(struct event_view, id, "id", KEY("ID")),
    F_TIME(struct event_view, timestamp, "timestamp", SHOW("AT")),
    F_STR(struct event_view, event_type, "event_type", TEXT, SHOW("EVENT")),
    F_STR(struct event_view, host, "vm_name", TEXT, SHOW("HOST")),
    F_MAP(struct event_view, details, "details", 1000, BIG, SHOW("DETAILS")),
    F_STR(struct event_view, agent_id, "agent_id", TEXT, WIDE("HOST ID")),
};
const struct record event_view_record = RECORD(event_view, event_fields);

static const struct field section_fields[] = {
    F_STR(struct section_view, section, "section", TEXT, KEY("SECTION")),
    F_STR(struct section_view, status, "status", TEXT, STATE("STATUS")),
    F_U64(struct section_view, rows_count, "rows_count", SHOW("ROWS")),
    F_TIME(struct section_view, received_at, "received_at", SHOW("RECEIVED")),
    F_TIME(struct section_view, taken_at, "taken_at", WIDE("TAKEN")),
    F_STR(struct section_view, digest, "digest", TEXT, WIDE("DIGEST")),
    F_STR(struct section_view, message, "message", TEXT, SHOW("MESSAGE")),
};
const struct record section_view_record = RECORD(section_view, section_fields);

static const struct field change_fields[] = {
    F_U64(struct change_view, id, "id", NONE),
    F_TIME(struct change_view, at, "at", SHOW("AT")),
    F_STR(struct change_view, section, "section", TEXT, SHOW("SECTION")),
    F_STR(struct change_view, key, "key", TEXT, KEY("KEY")),
    F_STR(struct change_view, change, "", TEXT, MADE("CHANGE")),
    F_JSON(struct change_view, before, "before", BIG, WIDE("BEFORE")),
    F_JSON(struct change_view, after, "after", BIG, SHOW("NOW")),
};
const struct record change_view_record = RECORD(change_view, change_fields);

static const struct field output_fields[] = {
    F_U64(struct output_view, task_id, "task_id"),
    F_STR(struct output_view, host, "host", TEXT, NONE),
    F_STR(struct output_view, host_id, "host_id", TEXT, NONE),
    F_STR(struct output_view, stream, "stream", TEXT),
    F_U64(struct output_view, offset, "offset"),
    F_BYTES(struct output_view, data, "data", 8 << 20),
};
const struct record output_view_record = RECORD(output_view, output_fields);

static const struct field gap_fields[] = {
    F_U64(struct gap_view, task_id, "task_id"),
    F_STR(struct gap_view, stream, "stream", TEXT),
    F_U64(struct gap_view, from, "from"),
    F_U64(struct gap_view, to, "to"),
};
const struct record gap_view_record = RECORD(gap_view, gap_fields);

/* -- members made here */

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.ptr[i]) && !strchr("_-./:=@%+,", s.ptr[i]))
            return false;
    return s.len > 0;
}

struct str view_command(struct arena *a, const struct str_list *argv, struct str shell)
{
    enum { COMMAND_MAX = 16 << 10 };
    AUTO(buf_done) struct buf b = BUF(COMMAND_MAX);
    if (shell.len)
        return arena_str(a, shell);
    for (size_t i = 0; i < argv->n; i++) {
        int r = i ? buf_char(&b, ' ') : 0;
        if (is_plain(argv->v[i])) {
            r = r < 0 ? r : buf_str(&b, argv->v[i]);
        } else {
            r = r < 0 ? r : buf_char(&b, '\'');
            for (size_t k = 0; k < argv->v[i].len && r == 0; k++)
                r = argv->v[i].ptr[k] == '\'' ? buf_cstr(&b, "'\\''") : buf_char(&b, argv->v[i].ptr[k]);
            r = r < 0 ? r : buf_char(&b, '\'');
        }
        if (r < 0)
            break; /* long enough for a person */
    }
    return arena_str(a, buf_as_str(&b));
}

/* The dialect it came by, and those of its other names: each once. */
static void finish_host(struct arena *a, struct host_view *h)
{
    for (size_t i = 0; i < h->aliases.n; i++) {
        struct str rest = h->aliases.v[i], word;
        (void)str_cut(&rest, ':', &word);
        if (str_find(h->dialect, word) < 0)
            h->dialect = arena_printf(a, "%.*s+%.*s", STR_FMT(h->dialect), STR_FMT(word));
    }
}

static void finish_token(struct arena *a, struct token_view *t)
{
    t->left = t->uses
                  ? arena_printf(a, "%llu of %llu", (unsigned long long)t->used, (unsigned long long)t->uses)
                  : arena_printf(a, "%llu of any", (unsigned long long)t->used);
}

static void finish_job(struct arena *a, struct job_view *j)
{
    const struct counts_view *c = &j->counts;
    uint64_t open = c->queued + c->offered + c->accepted + c->running;
    j->done = arena_printf(a, "%llu/%llu", (unsigned long long)(c->total > open ? c->total - open : 0),
                           (unsigned long long)c->total);
    j->command = j->subject.len ? arena_printf(a, "%.*s %.*s", STR_FMT(j->kind), STR_FMT(j->subject))
                                : view_command(a, &j->argv, j->shell);
}

static void finish_task(struct arena *a, struct task_view *t)
{
    AUTO(buf_done) struct buf b = BUF(1024);
    if (str_is(t->state, "done"))
        outcome_text(t, &b);
    t->result = arena_str(a, buf_as_str(&b));
}

static void finish_change(struct change_view *c)
{
    bool was = c->before.text.len > 0 && !str_is(c->before.text, "null");
    bool is = c->after.text.len > 0 && !str_is(c->after.text, "null");
    /* "now": the server knows what was there before only of some changes (docs/decisions/0003), so it may be new or not. */
    c->change = was && is ? STR("changed") : is ? STR("now") : STR("removed");
}

int view_read(struct cli *cli, struct arena *a, const struct record *rec, const struct node *n, void *obj)
{
    struct record_errors errs = { 0 };
    if (n->type != NODE_MAP || record_decode(rec, a, n, obj, &errs) < 0)
        return cli_fail(cli, RC_FAILED, "server.reply", "the server's %s makes no sense: %s %s", rec->name,
                        errs.n ? errs.v[0].path : "it", errs.n ? errs.v[0].text : "is no object");
    if (rec == &host_view_record)
        finish_host(a, obj);
    else if (rec == &token_view_record)
        finish_token(a, obj);
    else if (rec == &job_view_record)
        finish_job(a, obj);
    else if (rec == &task_view_record)
        finish_task(a, obj);
    else if (rec == &change_view_record)
        finish_change(obj);
    return RC_OK;
}
