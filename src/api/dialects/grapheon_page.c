/* api/dialects/grapheon_page.c - the page over Graphēon's agents: how they fare, and buttons for what is decided about them.
 *
 *   GET  /grapheon/agents?show=&page=        the list
 *   POST /grapheon/agents/{id}/approve ...   a button: then 303 back to the list, which says what was done
 *
 * Only rotating answers by itself: the new key is in that answer and nowhere else, no address, no log. Its form names the key that the
 * agent had then, so that loading the answer again, which sends the form again, is refused and makes no further key. */
#include <stdio.h>

#include "api/auth.h"
#include "api/browser.h"
#include "api/dialects/grapheon.h"
#include "api/html.h"
#include "api/state.h"
#include "base/mem.h"
#include "fleet/report_health.h"

enum { PER_PAGE = 50, PAGE_LAST = 1000000 };

#define PAGES "/grapheon"
#define PAGES_HOME PAGES "/agents"
static const struct browser_site grapheon_pages = BROWSER_SITE(PAGES, PAGES_HOME, "To the agents");

/* -- which of them */
static const struct show {
    const char *word, *label;
    struct reporter_filter which;
} shows[] = {
    { "all", "All", { .is_active = -1 } },
    { "pending", "Waiting", { .state = HOST_PENDING, .is_active = -1 } },
    { "active", "Active", { .state = HOST_APPROVED, .is_active = -1 } },
    { "overdue", "Overdue", { .is_active = -1, .is_overdue = true } },
    { "failing", "Failing", { .is_active = -1, .is_failing = true } },
    { "rejected", "Rejected", { .state = HOST_REJECTED, .is_active = -1 } },
    { "revoked", "Revoked", { .state = HOST_REVOKED, .is_active = -1 } },
};

static const struct show *show_of(struct str word)
{
    for (size_t i = 0; i < ARRAY_SIZE(shows); i++)
        if (str_is(word, shows[i].word))
            return &shows[i];
    return &shows[0];
}

static uint64_t count_of(const struct show *s, const struct reporter_tally *t)
{
    if (s->which.is_overdue)
        return t->n_overdue;
    if (s->which.is_failing)
        return t->n_failing;
    return s->which.state ? t->by_state[s->which.state] : t->n;
}

/* -- what can be done, to whom, by whom */
static const struct action {
    const char *word, *label, *done, *hint; /* hint: what to think of before; NULL: one press does it */
    enum host_state state;
    enum verb verb;
    bool has_reason;
} actions[] = {
    { "approve", "Approve", "was let in", NULL, HOST_PENDING, VERB_HOST_APPROVE, false },
    { "reject", "Reject", "was rejected", "It is turned away until somebody approves it after all.", HOST_PENDING,
      VERB_HOST_REJECT, true },
    { "rotate", "New API key", "has a new API key", "The key it has is refused from that moment on. The new one is shown once.",
      HOST_APPROVED, VERB_FOREIGN_AGENT, true },
    { "revoke", "Revoke", "was revoked", "Its key is dead for good.", HOST_APPROVED, VERB_FOREIGN_AGENT, true },
    { "approve", "Approve after all", "was let in", NULL, HOST_REJECTED, VERB_FOREIGN_AGENT, false },
};

struct page_query {
    struct str show, did;
    uint32_t page;
    uint64_t id;
};
static const struct field page_query_fields[] = {
    F_STR(struct page_query, show, "show", 16),
    F_STR(struct page_query, did, "did", 16),
    F_U32(struct page_query, page, "page", .min_value = 1, .max_value = PAGE_LAST),
    F_U64(struct page_query, id, "id"),
};
static const struct record page_query_record = RECORD(page_query, page_query_fields);

struct button {
    struct str csrf, reason, show;
    uint32_t page;
    uint64_t key; /* as it was when the form was made */
};
static const struct field button_fields[] = {
    F_STR(struct button, csrf, "csrf", SHA256_HEX_MAX),
    F_STR(struct button, reason, "reason", REPORT_REASON_MAX),
    F_STR(struct button, show, "show", 16),
    F_U32(struct button, page, "page", .min_value = 1, .max_value = PAGE_LAST),
    F_U64(struct button, key, "key"),
};
static const struct record button_record = RECORD(button, button_fields);

/* -- a row */
struct view {
    struct call *c;
    struct buf *b;
    const struct show *show;
    uint32_t page;
    usec_t now;
    char csrf[SHA256_HEX_MAX];
};

static struct str name_of_agent(const struct reporter_view *v)
{
    const struct str names[] = { v->row->display_name, v->host_name, v->row->hostname };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].len)
            return names[i];
    return v->row->uuid;
}

static void put_age(struct buf *b, usec_t at, usec_t now)
{
    char age[32], text[CLOCK_TEXT_MAX];

    clock_format_age(now > at ? now - at : 0, age);
    clock_format(at, 0, text);
    (void)buf_printf(b, "<time datetime=\"%s\" title=\"%s\">%s ago</time>", text, text, age);
}

static void cell(struct buf *b, const char *of)
{
    (void)buf_printf(b, "<td role=\"cell\" data-of=\"%s\">", of);
}

static void put_state(struct buf *b, const struct reporter_view *v)
{
    static const struct {
        const char *word, *class;
    } words[] = {
        [HOST_PENDING] = { "waiting", "warn" },
        [HOST_APPROVED] = { "active", "good" },
        [HOST_REJECTED] = { "rejected", "bad" },
        [HOST_REVOKED] = { "revoked", "bad" },
    };

    cell(b, "State");
    (void)buf_printf(b, "<span class=\"%s\">%s</span>", words[v->host_state].class, words[v->host_state].word);
    if (!v->row->is_active)
        (void)buf_cstr(b, "<small>switched off</small>");
    for (const struct name *f = report_flag_names; f->text; f++)
        if (v->state->flags & (uint32_t)f->value)
            (void)buf_printf(b, "<small class=\"warn\">%s</small>", f->text);
    (void)buf_cstr(b, "</td>");
}

static void put_seen(const struct view *p, const struct reporter_view *v, const struct reporter_health *h)
{
    cell(p->b, "Last seen");
    if (v->state->last_seen_at)
        put_age(p->b, v->state->last_seen_at, p->now);
    else
        (void)buf_cstr(p->b, "never");
    if (h->is_overdue) {
        (void)buf_cstr(p->b, "<br><span class=\"bad\">overdue</span> <small>expected ");
        put_age(p->b, h->due_at, p->now);
        (void)buf_cstr(p->b, "</small>");
    }
    (void)buf_cstr(p->b, "</td>");
}

static void put_version(struct buf *b, const struct reporter_view *v, const struct reporter_health *h)
{
    cell(b, "Version");
    (void)buf_cstr(b, "<bdi>");
    html_text(b, v->row->version.len ? v->row->version : STR("not said"));
    (void)buf_cstr(b, "</bdi>");
    if (h->is_other_version) {
        (void)buf_cstr(b, "<br><span class=\"warn\">");
        html_text(b, v->policy->target_version);
        (void)buf_cstr(b, " wanted</span>");
    }
    (void)buf_cstr(b, "</td>");
}

static void put_collectors(struct buf *b, const struct reporter_health *h)
{
    bool has_told = false, has_failed = false;

    cell(b, "Collectors");
    for (enum report_section s = 0; s < REPORT_SECTIONS; s++) {
        has_told |= h->collectors[s] != 0;
        if (!report_collector_fails(h->collectors[s]))
            continue;
        (void)buf_printf(b, "%s<span class=\"bad\">%s %s</span>", has_failed ? "<br>" : "", name_of(report_section_names, (int)s),
                         name_of(section_status_names, (int)h->collectors[s]));
        has_failed = true;
    }
    if (!has_failed && !h->is_missing_collector)
        (void)buf_cstr(b, has_told ? "none fails" : "nothing told yet");
    if (h->is_missing_collector)
        (void)buf_printf(b, "%s<span class=\"warn\">lacks one that its policy names</span>", has_failed ? "<br>" : "");
    (void)buf_cstr(b, "</td>");
}

static void put_refusal(const struct view *p, const struct reporter_view *v, const struct report_last_refusal *why)
{
    cell(p->b, "Last refusal");
    if (!why) {
        (void)buf_cstr(p->b, "none</td>");
        return;
    }
    /* What an accepted report came after is over. */
    (void)buf_printf(p->b, "<span class=\"%s\">", why->at > v->state->last_seen_at ? "bad" : "past");
    html_cstr(p->b, why->text);
    (void)buf_cstr(p->b, "</span><small>");
    put_age(p->b, why->at, p->now);
    (void)buf_cstr(p->b, ", from ");
    html_cstr(p->b, why->peer);
    (void)buf_cstr(p->b, "</small></td>");
}

/* The agent's name is in each button's label, because a list of buttons is all that some people hear. */
static void put_button(const struct view *p, const struct reporter_view *v, const struct action *a)
{
    struct buf *b = p->b;

    if (a->hint) {
        (void)buf_printf(b, "<details><summary>%s<span class=\"hear\">: ", a->label);
        html_text(b, name_of_agent(v));
        (void)buf_printf(b, "</span></summary><p>%s</p>", a->hint);
    }
    (void)buf_printf(b,
                     "<form method=\"post\" action=\"" PAGES_HOME "/%llu/%s\"><input type=\"hidden\" name=\"csrf\" value=\"%s\">"
                     "<input type=\"hidden\" name=\"show\" value=\"%s\"><input type=\"hidden\" name=\"page\" value=\"%u\">"
                     "<input type=\"hidden\" name=\"key\" value=\"%llu\">",
                     (unsigned long long)v->row->id, a->word, p->csrf, p->show->word, p->page,
                     (unsigned long long)v->row->credential_id);
    if (a->has_reason)
        (void)buf_cstr(b, "<label>Reason <input name=\"reason\" maxlength=\"250\" autocomplete=\"off\"></label>");
    (void)buf_printf(b, "<button aria-label=\"%s: ", a->label);
    html_text(b, name_of_agent(v));
    (void)buf_printf(b, "\">%s</button></form>%s", a->label, a->hint ? "</details>" : "");
}

static void on_agent(void *ctx, const struct reporter_view *v)
{
    const struct view *p = ctx;
    struct buf *b = p->b;
    struct reporter_health h;

    reporter_judge(p->c->control, v, &h);
    /* <bdi>: a name written from right to left turns nothing round but itself. */
    (void)buf_cstr(b, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\"><bdi>");
    html_text(b, name_of_agent(v));
    (void)buf_printf(b, "</bdi><small>%llu &middot; <bdi>", (unsigned long long)v->row->id);
    html_text(b, v->row->uuid);
    (void)buf_cstr(b, "</bdi></small>");
    if (v->row->site_name.len) {
        (void)buf_cstr(b, "<small>site <bdi>");
        html_text(b, v->row->site_name);
        (void)buf_cstr(b, "</bdi></small>");
    }
    (void)buf_cstr(b, "</th>");
    put_state(b, v);
    put_seen(p, v, &h);
    put_version(b, v, &h);
    put_collectors(b, &h);
    put_refusal(p, v, h.refusal);
    cell(b, "Actions");
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (actions[i].state == v->host_state && policy_allows(p->c->who.role, actions[i].verb))
            put_button(p, v, &actions[i]);
    (void)buf_cstr(b, "</td></tr>\n");
}

/* -- the list */
static void put_shows(const struct view *p, const struct reporter_tally *t)
{
    (void)buf_cstr(p->b, "<nav aria-label=\"Which agents\"><ul>");
    for (size_t i = 0; i < ARRAY_SIZE(shows); i++)
        (void)buf_printf(p->b, "<li><a href=\"" PAGES_HOME "?show=%s\"%s>%s %llu</a></li>", shows[i].word,
                         &shows[i] == p->show ? " aria-current=\"page\"" : "", shows[i].label,
                         (unsigned long long)count_of(&shows[i], t));
    (void)buf_cstr(p->b, "</ul></nav>\n");
}

static void put_pages(const struct view *p, uint64_t total)
{
    bool has_next = (uint64_t)p->page * PER_PAGE < total;

    if (p->page == 1 && !has_next)
        return;
    (void)buf_cstr(p->b, "<nav aria-label=\"Pages\"><ul>");
    if (p->page > 1)
        (void)buf_printf(p->b, "<li><a rel=\"prev\" href=\"" PAGES_HOME "?show=%s&amp;page=%u\">Page %u</a></li>", p->show->word,
                         p->page - 1, p->page - 1);
    if (has_next)
        (void)buf_printf(p->b, "<li><a rel=\"next\" href=\"" PAGES_HOME "?show=%s&amp;page=%u\">Page %u</a></li>", p->show->word,
                         p->page + 1, p->page + 1);
    (void)buf_cstr(p->b, "</ul></nav>\n");
}

/* The word in the address is looked up, never shown. */
static void put_said(const struct view *p, const struct page_query *q)
{
    struct reporter_view v;

    for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
        if (str_is(q->did, actions[i].word) && reporter_find(p->c->control, q->id, &v, NULL) == 0) {
            (void)buf_cstr(p->b, "<p class=\"said\" role=\"status\"><bdi>");
            html_text(p->b, name_of_agent(&v));
            (void)buf_printf(p->b, "</bdi> %s.</p>\n", actions[i].done);
            return;
        }
}

static void put_table(struct view *p, uint64_t total)
{
    uint64_t skip = (uint64_t)(p->page - 1) * PER_PAGE, last = skip + PER_PAGE < total ? skip + PER_PAGE : total;

    if (skip >= total) {
        (void)buf_cstr(p->b, "<p>No agents here.</p>\n");
        return;
    }
    (void)buf_printf(p->b, "<table role=\"table\"><caption>%llu to %llu of %llu, last seen first</caption>\n",
                     (unsigned long long)(skip + 1), (unsigned long long)last, (unsigned long long)total);
    (void)buf_cstr(p->b, "<thead role=\"rowgroup\"><tr role=\"row\">");
    for (const char *const *h =
             (const char *const[]){ "Agent", "State", "Last seen", "Version", "Collectors", "Last refusal", "Actions", NULL };
         *h; h++)
        (void)buf_printf(p->b, "<th scope=\"col\" role=\"columnheader\">%s</th>", *h);
    (void)buf_cstr(p->b, "</tr></thead>\n<tbody role=\"rowgroup\">\n");
    (void)reporter_list(p->c->control, &p->show->which, skip, PER_PAGE, on_agent, p);
    (void)buf_cstr(p->b, "</tbody></table>\n");
}

static void show_agents(struct call *c)
{
    const struct page_query *q = c->query;
    struct view p = {
        .c = c, .b = html_begin(c, "Graph\xc4\x93on agents"), .show = show_of(q->show), .page = q->page ? q->page : 1
    };
    struct reporter_tally t;

    p.now = clock_wall(c->api->conf.clock);
    browser_csrf(c, p.csrf);
    reporter_tally(c->control, &t);
    browser_who(c);
    put_said(&p, q);
    put_shows(&p, &t);
    put_table(&p, count_of(p.show, &t));
    put_pages(&p, count_of(p.show, &t));
    html_end(c);
    reply_parked(c, 200);
}

/* -- the buttons */
static bool pressed(struct call *c, struct button *ret, uint64_t *ret_id)
{
    struct err err = { 0 };

    *ret = (struct button){ 0 };
    if (!browser_form(c, &button_record, ret, &ret->csrf))
        return false;
    if (call_param_id(c, 0, "reporter.unknown", ret_id, &err) == 0)
        return true;
    reply_error_parked(c, &err);
    return false;
}

static void answer(struct call *c, const struct button *b, uint64_t id, const char *did, int r, const struct err *err)
{
    if (r < 0)
        reply_error_parked(c, err);
    else
        browser_go(c, arena_printf(c->arena, PAGES_HOME "?show=%s&page=%u&did=%s&id=%llu", show_of(b->show)->word,
                                   b->page ? b->page : 1, did, (unsigned long long)id));
}

static void approve(struct call *c)
{
    struct button b;
    struct err err = { 0 };
    uint64_t id;

    if (pressed(c, &b, &id))
        answer(c, &b, id, "approve", reporter_approve(c->control, &c->who, id, 0, STR_NONE, &err), &err);
}

static void reject(struct call *c)
{
    struct button b;
    struct err err = { 0 };
    uint64_t id;

    if (pressed(c, &b, &id))
        answer(c, &b, id, "reject", reporter_reject(c->control, &c->who, id, b.reason, &err), &err);
}

static void revoke(struct call *c)
{
    struct button b;
    struct err err = { 0 };
    uint64_t id;

    if (pressed(c, &b, &id))
        answer(c, &b, id, "revoke", reporter_revoke(c->control, &c->who, id, b.reason, &err), &err);
}

static void rotate(struct call *c)
{
    char text[SECRET_TEXT_MAX];
    struct reporter_view v;
    struct button b;
    struct err err = { 0 };
    uint64_t id;

    if (!pressed(c, &b, &id))
        return;
    if (reporter_rotate(c->control, &c->who, id, &b.key, b.reason, text, &err) < 0 || reporter_find(c->control, id, &v, &err) < 0) {
        reply_error_parked(c, &err);
        return;
    }
    struct buf *out = html_begin(c, "New API key");

    (void)buf_cstr(out, "<p>For <bdi>");
    html_text(out, name_of_agent(&v));
    (void)buf_cstr(out, "</bdi>. It is shown here and nowhere else; the key before it is refused from now on.</p>\n<p><code>");
    html_cstr(out, text);
    (void)buf_printf(out,
                     "</code></p>\n<p>Write it into the agent's file <code>api_key</code>, then:</p>\n"
                     "<p><a href=\"" PAGES_HOME "?show=%s&amp;page=%u\">To the agents</a></p>\n",
                     show_of(b.show)->word, b.page ? b.page : 1);
    html_end(c);
    secret_wipe(text, sizeof(text));
    reply_parked(c, 200);
}

static void home(struct call *c)
{
    (void)html_begin(c, "Graph\xc4\x93on agents");
    (void)buf_cstr(&c->out, "<p><a href=\"" PAGES_HOME "\">To the agents</a></p>\n");
    html_end(c);
    call_header_lent(c, "location", STR(PAGES_HOME));
    reply_now(c, 303);
}

#define PAGE .dialect = &grapheon_pages.dialect
#define BUTTON .cap = BROWSER_FORM_BYTES, .flags = ROUTE_RAW_BODY | ROUTE_MUTATES, .status = 303, PAGE
#define AGENT PAGES_HOME "/{id}"
static const struct route rows[] = {
    BROWSER_ROWS(PAGES, grapheon_pages),
    { HTTP_GET, PAGES, AUTH_NONE, .handler = home, .status = 303, PAGE, .summary = "Page: to the agents" },
    { HTTP_GET, PAGES_HOME, AUTH_OPERATOR, VERB_READ, .handler = show_agents, .query = &page_query_record, PAGE,
      .summary = "Page: Graphēon's agents, how they fare, and buttons" },
    { HTTP_POST, AGENT "/approve", AUTH_OPERATOR, VERB_HOST_APPROVE, .handler = approve, BUTTON,
      .summary = "Page: lets an agent in" },
    { HTTP_POST, AGENT "/reject", AUTH_OPERATOR, VERB_HOST_REJECT, .handler = reject, BUTTON,
      .summary = "Page: turns an agent away" },
    { HTTP_POST, AGENT "/revoke", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .handler = revoke, BUTTON,
      .summary = "Page: revokes an agent" },
    { HTTP_POST, AGENT "/rotate", AUTH_OPERATOR, VERB_FOREIGN_AGENT, .handler = rotate, BUTTON,
      .summary = "Page: a new API key for an agent, shown once" },
};
const struct route_table grapheon_page_routes = { rows, sizeof(rows) / sizeof(rows[0]) };
