/* agent/dialects/argus_book.c - state.json: what became of every command the server gave. See argus.h.
 *
 * The server repeats a command until it is acknowledged, so the book is what keeps it from running twice: a rerun is in it, durably,
 * before its hold is told of it, and under which number of exec. */
#include <errno.h>

#include "agent/dialects/argus.h"
#include "base/fd.h"
#include "base/mem.h"
#include "codec/record.h"

enum { ERROR_MAX = 256 };

struct cmd_row {
    struct str id, batch, error;
    int kind, phase, answer;
    uint64_t task, pid_ticks, runtime_us;
    uint32_t pid;
    int32_t exit_code, signal;
    bool is_acked, is_exit_due, has_exit;
};
struct book_row {
    uint32_t version, heartbeat_s;
    uint64_t next_task;
    struct str_list features;
    LIST(struct cmd_row) commands;
};
static const struct name kind_names[] = { { ARGUS_RERUN, "rerun" }, { ARGUS_STOP, "stop" }, NAMES_END };
static const struct name phase_names[] = { { ARGUS_INTENT, "intent" }, { ARGUS_RUNNING, "running" }, { ARGUS_OVER, "over" }, NAMES_END };
static const struct name answer_names[] = { { ARGUS_NO_ANSWER, "none" }, { ARGUS_STARTED, "started" }, { ARGUS_FAILED, "failed" }, NAMES_END };

static const struct field cmd_fields[] = {
    F_STR(struct cmd_row, id, "id", ARGUS_ID_MAX - 1, .flags = FIELD_REQUIRED),
    F_ENUM(struct cmd_row, kind, "kind", kind_names),
    F_STR(struct cmd_row, batch, "batch", ARGUS_BATCH_MAX - 1, .flags = FIELD_REQUIRED),
    F_ENUM(struct cmd_row, phase, "phase", phase_names),
    F_U64(struct cmd_row, task, "task"),
    F_U32(struct cmd_row, pid, "pid"),
    F_U32(struct cmd_row, pid, "pgid", .flags = FIELD_OUT_ONLY), /* setsid: the same */
    F_U64(struct cmd_row, pid_ticks, "pid_start"),
    F_ENUM(struct cmd_row, answer, "ack", answer_names),
    F_BOOL(struct cmd_row, is_acked, "acked"),
    F_STR(struct cmd_row, error, "error", 4096, .flags = FIELD_OMIT),
    F_BOOL(struct cmd_row, is_exit_due, "exit_due"),
    F_BOOL(struct cmd_row, has_exit, "exit_known"),
    F_I32(struct cmd_row, exit_code, "exit_code"),
    F_I32(struct cmd_row, signal, "signal"),
    F_U64(struct cmd_row, runtime_us, "runtime_us"),
};
static const struct record cmd_record = RECORD(cmd_row, cmd_fields);
static const struct field book_fields[] = {
    F_U32(struct book_row, version, "version", .flags = FIELD_REQUIRED, .min_value = 1, .max_value = 1),
    F_U64(struct book_row, next_task, "next_task", .flags = FIELD_REQUIRED),
    F_U32(struct book_row, heartbeat_s, "heartbeat_interval_s"),
    F_STR_LIST(struct book_row, features, "features", 16, 32),
    F_LIST(struct book_row, commands, "commands", ARGUS_BOOK_MAX + 1, &cmd_record),
};
static const struct record book_record = RECORD(book_row, book_fields);

static void cmd_free(struct argus_cmd *c)
{
    free(c->error);
    free(c);
}

void argus__book_free(struct argus_book *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->cmds.n; i++)
        cmd_free(b->cmds.v[i]);
    vec_done(&b->cmds);
    free(b->path);
    free(b);
}

static void take_row(struct argus_book *b, const struct cmd_row *row)
{
    struct argus_cmd *c = argus__book_add(b, row->id, row->batch, (enum argus_kind)row->kind);

    c->phase = (enum argus_phase)row->phase;
    c->task = row->task;
    c->pid = row->pid;
    c->pid_ticks = row->pid_ticks;
    c->answer = (enum argus_answer)row->answer;
    c->is_acked = row->is_acked;
    c->is_exit_due = row->is_exit_due;
    c->has_exit = row->has_exit;
    c->exit_code = row->exit_code;
    c->signal = row->signal;
    c->runtime = row->runtime_us;
    c->error = row->error.len ? str_dup(row->error) : NULL;
}

int argus__book_open(const char *dir, struct argus_book **ret, struct err *err)
{
    AUTO(argus__book_free) struct argus_book *b = xnew0(struct argus_book);
    AUTO(buf_done) struct buf text = BUF(ARGUS_BOOK_BYTES);
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct record_errors errs;
    struct book_row row;
    struct err why = { 0 };
    int r;

    b->path = xasprintf("%s/state.json", dir);
    b->next_task = 1;
    r = secret_file_read(b->path, ARGUS_BOOK_BYTES, &text, &why);
    if (r == -ENOENT) {
        *ret = TAKE(b);
        return 0;
    }
    if (r == 0)
        r = record_decode_json(&book_record, a, buf_as_str(&text), ARGUS_BOOK_BYTES, &row, &errs, &why);
    if (r < 0)
        return err_set(err, r, "argus.book", "%s, which says what was run here, cannot be read: %s", b->path, why.text);
    b->next_task = row.next_task ? row.next_task : 1;
    b->heartbeat_s = row.heartbeat_s;
    for (size_t i = 0; i < row.features.n; i++) {
        b->has_exit |= str_is(row.features.v[i], "exit");
        b->has_wait |= str_is(row.features.v[i], "wait");
    }
    for (size_t i = 0; i < row.commands.n; i++)
        take_row(b, &row.commands.v[i]);
    *ret = TAKE(b);
    return 0;
}

int argus__book_save(struct argus_book *b)
{
    AUTO(buf_done) struct buf text = BUF(ARGUS_BOOK_BYTES);
    AUTO_FREE struct cmd_row *rows = xcalloc(b->cmds.n + 1, sizeof(*rows));
    struct str features[2];
    struct book_row row = { .version = 1, .next_task = b->next_task, .heartbeat_s = b->heartbeat_s, .features = { features, 0 } };
    struct jw w = JW(&text);
    int r;

    if (b->has_exit)
        features[row.features.n++] = STR("exit");
    if (b->has_wait)
        features[row.features.n++] = STR("wait");
    for (size_t i = 0; i < b->cmds.n; i++) {
        const struct argus_cmd *c = b->cmds.v[i];

        rows[i] = (struct cmd_row){
            .id = str_of(c->id), .batch = str_of(c->batch), .error = str_of(c->error), .kind = (int)c->kind, .phase = (int)c->phase,
            .answer = (int)c->answer, .task = c->task, .pid_ticks = c->pid_ticks, .runtime_us = c->runtime, .pid = c->pid,
            .exit_code = c->exit_code, .signal = c->signal, .is_acked = c->is_acked, .is_exit_due = c->is_exit_due,
            .has_exit = c->has_exit,
        };
    }
    row.commands.v = rows;
    row.commands.n = b->cmds.n;
    record_write(&book_record, &row, &w);
    r = jw_done(&w);
    return r < 0 ? r : secret_file_write(b->path, buf_as_str(&text), NULL);
}

struct argus_cmd *argus__book_find(const struct argus_book *b, struct str id)
{
    for (size_t i = 0; i < b->cmds.n; i++)
        if (str_is(id, b->cmds.v[i]->id))
            return b->cmds.v[i];
    return NULL;
}

struct argus_cmd *argus__book_task(const struct argus_book *b, uint64_t task)
{
    for (size_t i = 0; i < b->cmds.n; i++)
        if (b->cmds.v[i]->task == task && task != 0 && b->cmds.v[i]->kind == ARGUS_RERUN)
            return b->cmds.v[i];
    return NULL;
}

struct argus_cmd *argus__book_rerun(const struct argus_book *b, struct str batch)
{
    for (size_t i = b->cmds.n; i-- > 0;)
        if (b->cmds.v[i]->kind == ARGUS_RERUN && str_is(batch, b->cmds.v[i]->batch))
            return b->cmds.v[i];
    return NULL;
}

void argus__book_remove(struct argus_book *b, struct argus_cmd *c)
{
    for (size_t i = 0; i < b->cmds.n; i++)
        if (b->cmds.v[i] == c) {
            vec_del(&b->cmds, i);
            cmd_free(c);
            return;
        }
}

static void book_trim(struct argus_book *b)
{
    for (size_t i = 0; i < b->cmds.n && b->cmds.n >= ARGUS_BOOK_KEPT;) {
        struct argus_cmd *c = b->cmds.v[i];

        if (c->phase == ARGUS_OVER && c->is_acked && !c->is_exit_due)
            argus__book_remove(b, c);
        else
            i++;
    }
}

bool argus__book_has_room(struct argus_book *b)
{
    book_trim(b);
    return b->cmds.n < ARGUS_BOOK_MAX;
}

struct argus_cmd *argus__book_add(struct argus_book *b, struct str id, struct str batch, enum argus_kind kind)
{
    struct argus_cmd *c = xnew0(struct argus_cmd);

    book_trim(b);
    (void)str_copy(id, c->id, sizeof(c->id));
    (void)str_copy(batch, c->batch, sizeof(c->batch));
    c->kind = kind;
    *vec_add(&b->cmds) = c;
    return c;
}

void argus__cmd_answer(struct argus_cmd *c, enum argus_answer answer, const char *error)
{
    c->answer = answer;
    c->is_acked = false;
    free(c->error);
    c->error = error ? xstrndup(error, ERROR_MAX) : NULL;
}
