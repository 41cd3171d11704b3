/* agent/dialects/argus_report.c - argus-report: the command line. See argus_report.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/dialects/argus_report.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/record.h"

enum { DATA_BYTES = 512 << 10, LINE_BYTES = REPORT_EVENT_BYTES, IDLE_MS = 500, READ_BYTES = 64 << 10 };

#define AT(m) offsetof(struct report_options, m)
static const struct conf_row rows[] = {
    { .name = "argus-url", .type = CONF_STR, .offset = AT(url), .env = "ARGUS_URL", .arg = "URL", .help = "The Argus server.", .group = "Server" },
    { .name = "token-file", .type = CONF_STR, .offset = AT(token_file), .flags = CONF_FLAG_ONLY, .arg = "FILE",
      .help = "Reads the reporter token (em_live_...) from FILE. Else it comes from ARGUS_TOKEN, or the file named by ARGUS_TOKEN_FILE; never "
              "from the command line, which everybody on the host can read.",
      .group = "Server" },
    /* Understood in order to be refused: as an abbreviation of --token-file its value would be printed. */
    { .name = "token", .type = CONF_STR, .offset = AT(token), .flags = CONF_FLAG_ONLY | CONF_IS_SECRET | CONF_HIDDEN, .arg = "TOKEN",
      .help = "Refused.", .group = "Server" },
    { .name = "ca-file", .type = CONF_STR, .offset = AT(ca_file), .env = "ARGUS_CA_FILE", .arg = "FILE",
      .help = "Trusts the CA certificates in FILE instead of the system's.", .group = "Server" },
    { .name = "insecure-http", .type = CONF_BOOL, .offset = AT(insecure_http), .env = "ARGUS_AGENT_INSECURE_HTTP",
      .help = "Allows http:// to other hosts: everybody on the way can read the token.", .group = "Server" },
    { .name = "spool-dir", .type = CONF_STR, .offset = AT(spool_dir), .env = "ARGUS_REPORT_SPOOL", .arg = "DIR",
      .help = "Where events wait for a server that is away; default ~/.argus-reporter.", .group = "Server" },
    { .name = "batch", .letter = 'b', .type = CONF_STR, .offset = AT(batch), .env = "ARGUS_BATCH_ID", .arg = "ID", .help = "The batch.",
      .group = "Event" },
    { .name = "project", .letter = 'p', .type = CONF_STR, .offset = AT(project), .env = "ARGUS_PROJECT", .arg = "NAME", .help = "Its project.",
      .group = "Event" },
    { .name = "type", .letter = 't', .type = CONF_STR, .offset = AT(type), .flags = CONF_FLAG_ONLY, .arg = "TYPE",
      .help = "batch_start, batch_done, batch_failed, job_start, job_epoch, job_done, job_failed, resource_snapshot, log_line or env_snapshot.",
      .group = "Event" },
    { .name = "job", .letter = 'j', .type = CONF_STR, .offset = AT(job), .env = "ARGUS_JOB_ID", .arg = "ID",
      .help = "The job, for events of type job_*.", .group = "Event" },
    { .name = "data", .letter = 'd', .type = CONF_STR, .offset = AT(data), .flags = CONF_FLAG_ONLY, .arg = "JSON",
      .help = "What it says: a JSON object; - reads it from standard input.", .group = "Event" },
    { .name = "host", .type = CONF_STR, .offset = AT(host), .env = "ARGUS_AGENT_HOSTNAME", .arg = "NAME", .help = "Default: this host's name.",
      .group = "Event" },
    { .name = "user", .type = CONF_STR, .offset = AT(user), .flags = CONF_FLAG_ONLY, .arg = "NAME", .help = "Default: who runs this.",
      .group = "Event" },
    { .name = "commit", .type = CONF_STR, .offset = AT(commit), .env = "ARGUS_COMMIT", .arg = "HASH", .help = "Of the source code.",
      .group = "Event" },
    { .name = "command", .type = CONF_STR, .offset = AT(command), .flags = CONF_FLAG_ONLY, .arg = "TEXT", .help = "What the batch runs.",
      .group = "Event" },
    { .name = "event-id", .type = CONF_STR, .offset = AT(event_id), .flags = CONF_FLAG_ONLY, .arg = "UUID",
      .help = "A repeat of an id changes nothing; default: a new one.", .group = "Event" },
    { .name = "timeout", .type = CONF_DURATION, .offset = AT(timeout), .flags = CONF_FLAG_ONLY, .arg = "TIME",
      .help = "wait-stopped: gives up after it; default: never.", .group = "Stop" },
    { .name = "interval", .type = CONF_DURATION, .offset = AT(interval), .flags = CONF_FLAG_ONLY, .value = "10", .min = 100 * 1000,
      .max = 3600 * USEC_PER_SEC, .arg = "TIME", .help = "wait-stopped: between questions.", .group = "Stop" },
    { .name = "quiet", .letter = 'q', .type = CONF_BOOL, .offset = AT(quiet), .flags = CONF_FLAG_ONLY, .help = "Says nothing of what went well.",
      .group = "Stop" },
    { .name = "man", .type = CONF_BOOL, .offset = AT(man), .flags = CONF_FLAG_ONLY | CONF_HIDDEN, .help = "Prints the manual page.",
      .group = "Stop" },
};

static const struct conf_table table = {
    .program = "argus-report",
    .synopsis = "event | events | flush | stopped | wait-stopped [OPTION...]",
    .summary = "tells an Argus server about a batch, from scripts of any language. `event` tells one event; `events` reads one JSON object a "
               "line from standard input (event_type, and what of job_id, data, batch_id, timestamp, event_id and source differs from the "
               "options); what cannot be sent now is kept and sent before the next, or by `flush`. `stopped` ends with 0 if the batch was "
               "asked to stop and with 1 if not; `wait-stopped` waits until it is, or ends with 1 after --timeout. Exit codes: 0 done "
               "(also: kept for later), 1 refused or lost, 2 usage, 3 the token is missing or was rejected, 4 an insecure connection was "
               "refused, 5 it cannot be said whether the batch is to stop",
    .rows = rows,
    .n_rows = ARRAY_SIZE(rows),
    .size = sizeof(struct report_options),
};

static int fail(int code, const struct err *err)
{
    (void)fprintf(stderr, "argus-report: %s\n", err->text[0] ? err->text : "failed");
    return code;
}

static int print_text(int (*fn)(const struct conf_table *t, struct buf *out))
{
    AUTO(buf_done) struct buf out = BUF(64 << 10);

    if (fn(&table, &out) < 0)
        return ARGUS_EXIT_RUNTIME;
    return fwrite(out.ptr, 1, out.len, stdout) == out.len ? 0 : ARGUS_EXIT_RUNTIME;
}

/* -- one event */

static int check_event(const struct argus_event *ev, struct err *err)
{
    size_t i = 0;

    while (report_event_types[i] && !str_is(ev->event_type, report_event_types[i]))
        i++;
    if (!report_event_types[i])
        return err_set(err, -EINVAL, "config.usage", "there is no event type \"%.*s\"", (int)(ev->event_type.len > 64 ? 64 : ev->event_type.len),
                       ev->event_type.ptr ? ev->event_type.ptr : "");
    if (ev->batch_id.len == 0 || ev->source.project.len == 0)
        return err_set(err, -EINVAL, "config.usage", "an event needs a batch and a project");
    if (str_starts(ev->event_type, STR("job_")) && ev->job_id.len == 0)
        return err_set(err, -EINVAL, "config.usage", "%.*s needs a job", STR_FMT(ev->event_type));
    return 0;
}

/* The object in @text as one line. */
static int compact_object(struct str text, struct buf *out, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct node *n;

    if (json_parse(a, text, DATA_BYTES, &n, err) < 0)
        return -EINVAL;
    if (n->type != NODE_MAP)
        return err_set(err, -EINVAL, "config.usage", "the data must be a JSON object");
    return node_write(n, out);
}

static int read_stdin(struct buf *out, struct err *err)
{
    for (;;) {
        uint8_t *room;
        ssize_t n;

        if (buf_reserve(out, 4096, &room) < 0)
            return err_set(err, -EMSGSIZE, "config.usage", "the data is larger than %d bytes", DATA_BYTES);
        n = read(STDIN_FILENO, room, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_set(err, -errno, "config.read", "standard input: %m") : 0;
        buf_commit(out, (size_t)n);
    }
}

static void defaults(const struct report_options *o, struct argus_event *ev)
{
    if (ev->event_type.len == 0)
        ev->event_type = str_of(o->type);
    if (ev->batch_id.len == 0)
        ev->batch_id = str_of(o->batch);
    if (ev->job_id.len == 0 && str_starts(ev->event_type, STR("job_")))
        ev->job_id = str_of(o->job);
    if (ev->source.project.len == 0)
        ev->source.project = str_of(o->project);
}

static int say(const struct report *r)
{
    if (r->n_spooled > 0)
        (void)fprintf(stderr, "argus-report: the server cannot be reached: %u event%s kept for later\n", r->n_spooled, r->n_spooled == 1 ? "" : "s");
    return r->exit_code;
}

static int do_event(struct report *r, struct err *err)
{
    AUTO(buf_done) struct buf text = BUF(DATA_BYTES + 4096), data = BUF(DATA_BYTES);
    struct argus_event ev = { 0 };
    int e = 0;

    if (r->opt->data && strcmp(r->opt->data, "-") == 0)
        e = read_stdin(&text, err);
    else if (r->opt->data)
        e = buf_cstr(&text, r->opt->data);
    if (e == 0 && text.len > 0)
        e = compact_object(buf_as_str(&text), &data, err);
    if (e < 0)
        return ARGUS_EXIT_USAGE;
    ev.data.text = buf_as_str(&data);
    ev.job_id = str_of(r->opt->job);
    defaults(r->opt, &ev);
    if (check_event(&ev, err) < 0)
        return ARGUS_EXIT_USAGE;
    report__add(r, &ev);
    report__flush(r);
    return say(r);
}

/* -- events of standard input */

/* The envelope, with everything but the type left to the options. */
static const struct field line_source_fields[] = {
    F_STR(struct argus_source, project, "project", 128),
    F_STR(struct argus_source, host, "host", ARGUS_HOSTNAME_MAX, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, user, "user", 128, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, commit, "commit", 128, .flags = FIELD_NULLABLE),
    F_STR(struct argus_source, command, "command", 128 << 10, .flags = FIELD_NULLABLE),
};
static const struct record line_source_record = RECORD(argus_source, line_source_fields);
static const struct field line_fields[] = {
    F_STR(struct argus_event, event_id, "event_id", 36),
    F_STR(struct argus_event, schema_version, "schema_version", 32),
    F_STR(struct argus_event, event_type, "event_type", 64),
    F_TIME(struct argus_event, timestamp, "timestamp"),
    F_STR(struct argus_event, batch_id, "batch_id", 128),
    F_STR(struct argus_event, job_id, "job_id", 256, .flags = FIELD_NULLABLE),
    F_SUB(struct argus_event, source, "source", &line_source_record),
    F_JSON(struct argus_event, data, "data", DATA_BYTES, .flags = FIELD_NULLABLE),
};
static const struct record line_record = RECORD_SEEN(argus_event, line_fields);

static void take_line(struct report *r, struct str line, uint64_t number)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct record_errors errs;
    struct argus_event ev;
    struct err err = { 0 };
    int e;

    line = str_trim(line);
    if (line.len == 0)
        return;
    e = record_decode_json(&line_record, a, line, LINE_BYTES, &ev, &errs, &err);
    if (e == 0 && errs.n_unknown > 0)
        e = err_set(&err, -EINVAL, "config.usage", "a member that no event has");
    if (e == 0) {
        if (str_is(ev.data.text, "null"))
            ev.data.text = STR_NONE;
        defaults(r->opt, &ev);
        e = check_event(&ev, &err);
    }
    if (e < 0) {
        (void)fprintf(stderr, "argus-report: line %llu: %s\n", (unsigned long long)number, err.text);
        report__note_exit(r, ARGUS_EXIT_USAGE);
        return;
    }
    report__add(r, &ev);
}

static int do_events(struct report *r)
{
    AUTO(buf_done) struct buf in = BUF(LINE_BYTES + READ_BYTES);
    uint64_t number = 0;

    for (;;) {
        struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
        struct str rest, line;
        uint8_t *room;
        ssize_t n;
        int ready = poll(&p, 1, r->queue.n ? IDLE_MS : -1);

        if (ready == 0) { /* nothing more for now: what there is need not wait */
            report__flush(r);
            r->is_unreachable = false;
            continue;
        }
        if (buf_reserve(&in, READ_BYTES, &room) < 0) {
            (void)fprintf(stderr, "argus-report: line %llu is larger than %d bytes\n", (unsigned long long)number + 1, LINE_BYTES);
            report__note_exit(r, ARGUS_EXIT_USAGE);
            break;
        }
        n = read(STDIN_FILENO, room, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        buf_commit(&in, (size_t)n);
        rest = buf_as_str(&in);
        for (ptrdiff_t at; (at = str_find_char(rest, '\n')) >= 0; rest = str_sub(rest, (size_t)at + 1, SIZE_MAX)) {
            line = str_sub(rest, 0, (size_t)at);
            take_line(r, line, ++number);
        }
        buf_consume(&in, in.len - rest.len);
    }
    take_line(r, buf_as_str(&in), ++number);
    report__flush(r);
    return say(r);
}

/* -- stop */

static int do_stopped(struct report *r, struct err *err)
{
    int code = ARGUS_EXIT_RUNTIME, is_stopped = report__is_stopped(r, r->opt->batch, &code, err);

    if (is_stopped < 0)
        return code;
    if (!r->opt->quiet)
        (void)printf("%s\n", is_stopped ? "stop requested" : "go on");
    return is_stopped ? 0 : 1;
}

/* A server that is away may come back: only a wrong token ends the waiting. */
static int do_wait(struct report *r, struct err *err)
{
    usec_t began = clock_mono(&clock_real), interval = r->opt->interval;

    for (;;) {
        int code = ARGUS_EXIT_RUNTIME, is_stopped = report__is_stopped(r, r->opt->batch, &code, err);
        usec_t gone = clock_mono(&clock_real) - began;
        struct timespec ts;

        if (is_stopped > 0)
            return 0;
        if (is_stopped < 0 && code == ARGUS_EXIT_TOKEN)
            return code;
        *err = (struct err){ 0 };
        if (r->opt->timeout && gone >= r->opt->timeout)
            return 1;
        if (r->opt->timeout && interval > r->opt->timeout - gone)
            interval = r->opt->timeout - gone;
        ts = (struct timespec){ (time_t)(interval / USEC_PER_SEC), (long)(interval % USEC_PER_SEC) * 1000 };
        (void)nanosleep(&ts, NULL);
    }
}

static int dispatch(struct report *r, const char *word, struct err *err)
{
    bool needs_batch = strcmp(word, "stopped") == 0 || strcmp(word, "wait-stopped") == 0;

    if (needs_batch && !r->opt->batch) {
        err_set(err, -EINVAL, "config.usage", "which batch? (--batch, or ARGUS_BATCH_ID)");
        return ARGUS_EXIT_USAGE;
    }
    if (strcmp(word, "event") == 0)
        return do_event(r, err);
    if (strcmp(word, "events") == 0)
        return do_events(r);
    if (strcmp(word, "stopped") == 0)
        return do_stopped(r, err);
    if (strcmp(word, "wait-stopped") == 0)
        return do_wait(r, err);
    report__flush(r); /* flush */
    return r->is_unreachable ? ARGUS_EXIT_RUNTIME : say(r);
}

/* -- the command line */

static int load(struct conf *c, struct report_options *o, int argc, char **argv, const char **ret_word, struct err *err)
{
    static const char *const words[] = { "event", "events", "flush", "stopped", "wait-stopped", NULL };
    int i = 0, r;

    conf_init(c, &table, o);
    r = conf_flags_word(c, argc, argv, ret_word, err);
    if (r != CONF_OK || o->man)
        return r;
    if (o->token)
        return err_set(err, -EINVAL, "config.usage", "a token has no place on the command line, which everybody here can read: ARGUS_TOKEN, "
                                                     "ARGUS_TOKEN_FILE or --token-file");
    while (words[i] && (!*ret_word || strcmp(words[i], *ret_word) != 0))
        i++;
    if (!words[i])
        return err_set(err, -EINVAL, "config.usage", "%s: one of event, events, flush, stopped, wait-stopped is needed",
                       *ret_word ? *ret_word : "no word");
    return conf_env(c, err);
}

static int report_main(int argc, char **argv)
{
    struct conf conf = { 0 };
    struct report_options o = { 0 };
    struct report r = { 0 };
    struct err err = { 0 };
    const char *word = NULL;
    int code, e = load(&conf, &o, argc, argv, &word, &err);

    (void)umask(077);
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    if (e == CONF_HELP) {
        code = print_text(conf_help);
    } else if (e == CONF_VERSION) {
        code = printf("argus-report " MUSTER_VERSION "\n") > 0 ? 0 : ARGUS_EXIT_RUNTIME;
    } else if (e < 0) {
        code = fail(ARGUS_EXIT_USAGE, &err);
    } else if (o.man) {
        code = print_text(conf_man);
    } else {
        code = report__open(&r, &o, &err);
        if (code == 0)
            code = dispatch(&r, word, &err);
        if (err_is(&err))
            (void)fail(code, &err);
        report__done(&r);
    }
    conf_done(&conf);
    log_done();
    return code;
}

const struct personality personality_argus_report = {
    .name = "argus-report",
    .argv0 = "argus-report",
    .summary = "tells an Argus server about a batch, from scripts",
    .main = report_main,
};
