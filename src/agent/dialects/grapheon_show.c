/* agent/dialects/grapheon_show.c - what an operator asks for on the host: status, --print-report, --check-config. Changes
 * nothing. */
#include <errno.h>
#include <unistd.h>

#include "agent/dialects/grapheon.h"
#include "base/fd.h"
#include "base/pki.h"
#include "base/text.h"

static int fail(const struct grapheon_options *o, const struct err *err)
{
    (void)fprintf(stderr, "grapheon-agent: %s\n", err->text);
    return o->fine_codes ? GRAPHEON_EXIT_CONFIG : GRAPHEON_EXIT_FAILED;
}

static int print(struct buf *b)
{
    return fd_write_all(STDOUT_FILENO, b->ptr, b->len) == 0 ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
}

static void put_next(const struct grapheon_options *o, const struct grapheon_state *s, struct buf *b)
{
    struct grapheon_policy p = grapheon__policy_of(s);
    usec_t last = 0, wait = 0;

    if (grapheon__time(s->last_success, &last) < 0)
        last = 0;
    if (grapheon__gate(&p, (uint32_t)o->timer_interval_s, last, clock_wall(&clock_real), &wait))
        (void)buf_printf(b, "next report   with the next run, after %u s of jitter\n",
                         grapheon__jitter(str_of(s->uuid), p.jitter_s));
    else
        (void)buf_printf(b, "next report   in %llu s at the earliest\n", (unsigned long long)(wait / USEC_PER_SEC));
    (void)buf_printf(b, "policy        every %u s, jitter %u s, commands %u s, reports of %u bytes\n", p.interval_s, p.jitter_s,
                     p.command_timeout_s, p.max_report_bytes);
    for (size_t i = 0; p.has_collectors && i < GS_N; i++)
        (void)buf_printf(b, "%-13s %s: %s\n", i ? "" : "collectors", grapheon_command_names[i], p.enabled[i] ? "runs" : "disabled");
    for (size_t i = 0; i < p.n_unknown; i++)
        (void)buf_printf(b, "              %s: missing, this agent has none of that name\n", p.unknown[i]);
    if (p.target_version[0])
        (void)buf_printf(b, "version       %s is wanted here%s\n", p.target_version,
                         strcmp(p.target_version, MUSTER_VERSION) == 0 ? "" : ", this is " MUSTER_VERSION);
}

int grapheon__status(const struct grapheon_options *o)
{
    AUTO(grapheon__state_free) struct grapheon_state *s = NULL;
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct err err = { 0 };

    if (grapheon__state_open(o->state_dir ? o->state_dir : ".", true, &s, &err) < 0)
        return fail(o, &err);
    (void)buf_printf(&b, "agent         %s\nserver        %s\nstate         %s\nuuid          %s\nAPI key       %s\n",
                     MUSTER_VERSION, o->server_url ? o->server_url : "not set", s->dir, s->uuid[0] ? s->uuid : "none yet",
                     s->api_key ? "present" : "none");
    (void)buf_printf(&b, "enrollment    %.*s\n", STR_FMT(s->enrollment_state.len ? s->enrollment_state : STR("not registered")));
    (void)buf_printf(&b, "last report   %.*s\nsequence      %llu\n",
                     STR_FMT(s->last_success.len ? s->last_success : STR("never")), (unsigned long long)s->sequence);
    for (size_t i = 0; s->has_snapshot && i < GS_N; i++)
        (void)buf_printf(&b, "%-13s %zu rows\n", grapheon_section_names[i], s->last[i].n);
    put_next(o, s, &b);
    return print(&b) == 0 && s->api_key ? GRAPHEON_EXIT_OK : GRAPHEON_EXIT_FAILED;
}

int grapheon__print_report(const struct grapheon_options *o)
{
    AUTO(grapheon__state_free) struct grapheon_state *s = NULL;
    AUTO(sample__done) struct grapheon_sample sample = { 0 };
    AUTO(plan__done) struct report_plan plan = { 0 };
    AUTO(buf_done) struct buf json = BUF(64 << 20), gz = BUF(64 << 20), pretty = BUF(128 << 20);
    AUTO(arena_free) struct arena *a = arena_new(GRAPHEON_ARENA);
    struct report_head head;
    struct report_step st;
    struct collect_wish wish;
    struct grapheon_policy p;
    struct err err = { 0 };
    struct node *tree;
    char hostname[256];
    int r;

    if (grapheon__state_open(o->state_dir ? o->state_dir : ".", true, &s, &err) < 0)
        return fail(o, &err);
    p = grapheon__policy_of(s);
    grapheon__head(o, s, &head, hostname);
    head.policy = &p;
    grapheon__wish(o, &p, s->arena, &wish);
    grapheon__collect(&wish, &sample);
    if (o->wildcard_mode == GW_DROP)
        (void)rows__drop_wildcards(&sample.rows[GS_CONNECTIONS]);
    grapheon__plan(s, &sample, o->raw || !s->has_snapshot, &plan);
    plan.raw = o->raw;
    r = grapheon__report_step(&plan, &head, s->sequence + 1, p.max_report_bytes, &json, &gz, &st);
    if (r == -EMSGSIZE && o->raw) { /* as a run does it */
        plan.raw = false;
        r = grapheon__report_step(&plan, &head, s->sequence + 1, p.max_report_bytes, &json, &gz, &st);
    }
    r = r < 0 ? r : json_parse(a, buf_as_str(&json), json.len, &tree, &err);
    if (r == 0) {
        buf_reset(&gz);
        r = json_ascii_canonical(tree, &gz);
        r = r < 0 ? r : json_ascii_pretty(buf_as_str(&gz), &pretty);
        r = r < 0 ? r : buf_char(&pretty, '\n');
    }
    if (r < 0) {
        (void)err_set(&err, r, "grapheon.report", "the report cannot be made: %m");
        return fail(o, &err);
    }
    if (!st.is_last)
        (void)fprintf(stderr, "grapheon-agent: this is the first of several reports: it would be larger than %u bytes\n",
                      p.max_report_bytes);
    return print(&pretty);
}

static bool on_path(const char *name)
{
    struct str path = str_of(getenv("PATH")), dir;

    while (str_cut(&path, ':', &dir)) {
        AUTO_FREE char *file = xasprintf("%.*s/%s", STR_FMT(dir.len ? dir : STR(".")), name);

        if (access(file, X_OK) == 0)
            return true;
    }
    return false;
}

static unsigned complain(struct buf *b, const char *fmt, const char *what)
{
    (void)buf_cstr(b, "problem: ");
    (void)buf_printf(b, fmt, what);
    (void)buf_char(b, '\n');
    return 1;
}

/* For the operator who writes it into the agent's record (docs/wire/grapheon.md). */
static void show_client_key(const struct grapheon_options *o, struct buf *b)
{
    AUTO(buf_done_secret) struct buf pem = BUF(1 << 20); /* the key may be in there too */
    struct pki_cert cert;
    char hex[SHA256_HEX_MAX];

    if (!o->client_cert || fd_read_file(o->client_cert, &pem) < 0 || pki_cert_read(buf_as_str(&pem), &cert, NULL) < 0)
        return;
    hex_encode(cert.spki_sha256, SHA256_LEN, hex);
    (void)buf_printf(b, "# client_key_sha256: %s\n", hex);
}

int grapheon__check_config(const struct grapheon_options *o)
{
    AUTO(grapheon__state_free) struct grapheon_state *s = NULL;
    AUTO(talk__done) struct talk talk = { 0 };
    AUTO(buf_done) struct buf b = BUF(64 << 10);
    struct err err = { 0 };
    unsigned n_bad = 0;

    (void)grapheon__options_dump(o, &b);
    show_client_key(o, &b);
    if (!o->server_url)
        n_bad += complain(&b, "%s is not set", "GRAPHEON_AGENT_SERVER_URL");
    else if (talk__init(&talk, o, NULL, &err) < 0)
        n_bad += complain(&b, "%s", err.text);
    err_reset(&err);
    if (grapheon__state_open(o->state_dir ? o->state_dir : ".", true, &s, &err) < 0)
        n_bad += complain(&b, "%s", err.text);
    else if (!s->api_key && !o->enrollment_key && !o->enrollment_key_file)
        n_bad += complain(&b, "%s", "there is neither an API key nor an enrollment key");
    if (!s || (s->dir_fd >= 0 && access(o->state_dir, W_OK) < 0))
        n_bad += complain(&b, "%s cannot be written", o->state_dir);
    if (o->by_commands && !on_path("ip"))
        n_bad += complain(&b, "%s is not on PATH", "ip");
    if (o->by_commands && !on_path("ss") && !on_path("netstat"))
        n_bad += complain(&b, "neither ss nor %s is on PATH", "netstat");
    if (print(&b) != 0)
        return GRAPHEON_EXIT_FAILED;
    if (n_bad == 0)
        return GRAPHEON_EXIT_OK;
    return o->fine_codes ? GRAPHEON_EXIT_CONFIG : GRAPHEON_EXIT_FAILED;
}
