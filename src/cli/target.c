/* cli/target.c - see target.h. */
#include "cli/target.h"

#include <ctype.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/contexts_text.h"

enum { CA_FILE_MAX = 1 << 20, PIN_HEX = 64 };

void target_done(struct target *t)
{
    free(t->unix_path);
    free(t->host);
    free(t->url);
    free(t->pin);
    free(t->ca);
    free(t->fleet);
    secret_free(t->token);
    free(t->context);
    *t = (struct target){ 0 };
}

static int bad_server(struct err *err, const char *text, const char *why)
{
    AUTO(buf_done) struct buf b = BUF(256);
    text_printable(&b, str_of(*text ? text : "an empty word"));
    return err_set(err, -EINVAL, "server.bad", "%s is no server address: %s", buf_as_cstr(&b), why);
}

/* "host", "host:port", "[v6]:port" -> host and port. */
static int parse_authority(struct target *t, struct str s, const char *text, struct err *err)
{
    struct str host = s, port = STR_NONE;
    if (s.len && s.ptr[0] == '[') {
        ptrdiff_t end = str_find_char(s, ']');
        if (end < 0)
            return bad_server(err, text, "the bracket is not closed");
        host = str_sub(s, 1, (size_t)end - 1);
        struct str rest = str_sub(s, (size_t)end + 1, s.len);
        if (rest.len && rest.ptr[0] != ':')
            return bad_server(err, text, "after the bracket only :PORT may come");
        port = rest.len ? str_sub(rest, 1, rest.len) : STR_NONE;
    } else if (str_find_char(s, ':') >= 0) {
        str_cut(&s, ':', &host);
        port = s;
        if (str_find_char(port, ':') >= 0)
            return bad_server(err, text, "write an IPv6 address in brackets");
    }
    uint64_t n = TARGET_DEFAULT_PORT;
    if (port.ptr && (str_to_u64(port, &n) < 0 || n == 0 || n > 65535))
        return bad_server(err, text, "the port must be a number from 1 to 65535");
    if (host.len == 0)
        return bad_server(err, text, "the host is missing");
    for (size_t i = 0; i < host.len; i++)
        if (!isgraph((unsigned char)host.ptr[i]) || strchr("/@?#\\", host.ptr[i]))
            return bad_server(err, text, "that is no host name");
    t->host = str_dup(host);
    t->port = (uint16_t)n;
    return 0;
}

int target_parse(struct target *t, const char *text, struct err *err)
{
    struct str s = str_of(text);
    if (str_starts(s, STR("unix:"))) {
        s = str_sub(s, 5, s.len);
        if (str_starts(s, STR("//")))
            s = str_sub(s, 2, s.len);
        if (s.len == 0 || str_has_nul(s))
            return bad_server(err, text, "the path of the socket is missing");
        t->unix_path = str_dup(s);
        t->url = xasprintf("unix:%s", t->unix_path);
        return 0;
    }
    t->is_tls = !str_starts_nocase(s, STR("http://"));
    if (str_starts_nocase(s, STR("https://")))
        s = str_sub(s, 8, s.len);
    else if (!t->is_tls)
        s = str_sub(s, 7, s.len);
    else if (str_find(s, STR("://")) >= 0)
        return bad_server(err, text, "use https://HOST[:PORT], http://HOST[:PORT] or unix:PATH");
    while (s.len && s.ptr[s.len - 1] == '/')
        s.len--;
    if (str_find_char(s, '/') >= 0)
        return bad_server(err, text, "leave the path out");
    int r = parse_authority(t, s, text, err);
    if (r < 0)
        return r;
    bool is_v6 = strchr(t->host, ':') != NULL;
    t->url = xasprintf("%s://%s%s%s:%u", t->is_tls ? "https" : "http", is_v6 ? "[" : "", t->host,
                       is_v6 ? "]" : "", t->port);
    return 0;
}

bool target_is_loopback(const struct target *t)
{
    if (t->unix_path)
        return true;
    struct str h = str_of(t->host);
    return str_is(h, "localhost") || str_is(h, "::1") || str_starts(h, STR("127."));
}

char *pin_parse(const char *text, struct err *err)
{
    struct str s = str_trim(str_of(text));
    if (str_starts_nocase(s, STR("sha256:")))
        s = str_sub(s, 7, s.len);
    uint8_t raw[PIN_HEX / 2];
    if (s.len != PIN_HEX || hex_decode(s, raw, sizeof(raw)) < 0) {
        err_set(err, -EINVAL, "pin.bad", "a pin is sha256: and 64 hexadecimal digits");
        return NULL;
    }
    char *out = xmalloc(PIN_HEX + 1);
    hex_encode(raw, sizeof(raw), out);
    return out;
}

char *target_local_socket(void)
{
    static const char *const places[] = { "./var/server/musterd.sock", "/run/muster/musterd.sock",
                                          "/var/lib/muster/musterd.sock" };
    struct stat st;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (stat(places[i], &st) == 0 && S_ISSOCK(st.st_mode))
            return xstrdup(places[i]);
    return xstrdup(places[1]);
}

/* -- deciding */

static char *dup_or_null(const char *s)
{
    return s && *s ? xstrdup(s) : NULL;
}

static int borrow(struct target *t, const struct context *x, struct err *err)
{
    if (x->pin && *x->pin) {
        t->pin = pin_parse(x->pin, err);
        if (!t->pin) {
            err_prefix(err, "context %s", x->name);
            return -EINVAL;
        }
    }
    t->ca = dup_or_null(x->ca);
    t->fleet = dup_or_null(x->fleet);
    t->token = dup_or_null(x->token);
    t->context = dup_or_null(x->name);
    return 0;
}

static int from_context(struct target *t, const struct context *x, struct err *err)
{
    if (!x->server)
        return err_set(err, -EINVAL, "config.bad", "context %s names no server", x->name);
    int r = target_parse(t, x->server, err);
    return r < 0 ? r : borrow(t, x, err);
}

/* The context that already knows this address, the current one first. */
static const struct context *context_of(struct contexts *c, const char *url)
{
    const struct context *found = NULL;
    for (size_t i = 0; i < c->n; i++) {
        AUTO(target_done) struct target t = { 0 };
        if (!c->v[i].server || target_parse(&t, c->v[i].server, NULL) < 0 || strcmp(t.url, url) != 0)
            continue;
        if (!found || (c->current && strcmp(c->v[i].name, c->current) == 0))
            found = &c->v[i];
    }
    return found;
}

static int from_server(struct target *t, const char *server, struct contexts *c, struct err *err)
{
    int r = target_parse(t, server, err);
    if (r < 0)
        return r;
    const struct context *x = context_of(c, t->url);
    return x ? borrow(t, x, err) : 0;
}

static int choose(struct target *t, const struct target_wish *w, struct contexts *c, struct err *err)
{
    struct context *x;
    if (w->server && w->server_is_flag)
        return from_server(t, w->server, c, err);
    if (w->context) {
        x = contexts_find(c, w->context);
        if (!x)
            return err_set(err, -ENOENT, "context.unknown", "there is no context %s in %s", w->context,
                           c->path);
        return from_context(t, x, err);
    }
    if (w->server)
        return from_server(t, w->server, c, err);
    if (c->current) {
        x = contexts_find(c, c->current);
        if (!x)
            return err_set(err, -ENOENT, "context.unknown", "%s: the current context %s is not there",
                           c->path, c->current);
        return from_context(t, x, err);
    }
    t->is_default = true;
    t->unix_path = target_local_socket();
    t->url = xasprintf("unix:%s", t->unix_path);
    return 0;
}

static int read_ca(struct target *t, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(CA_FILE_MAX);
    int r = fd_read_file(path, &b);
    if (r < 0)
        return err_set(err, r, "config.read", "cannot read %s: %m", path);
    free(t->ca);
    t->ca = str_dup(buf_as_str(&b));
    return 0;
}

int target_resolve(struct target *t, const struct target_wish *w, struct contexts *c, struct err *err)
{
    int r = choose(t, w, c, err);
    if (r < 0)
        return r;
    if (w->pin) {
        free(t->pin);
        t->pin = pin_parse(w->pin, err);
        if (!t->pin)
            return -EINVAL;
        /* what the context kept belongs to its own pin */
        free(t->ca);
        free(t->fleet);
        t->ca = t->fleet = NULL;
    }
    if (w->ca_file && read_ca(t, w->ca_file, err) < 0)
        return -EINVAL;
    /* Somebody gave one, and it is empty: what filled it in failed. Nobody wants to be somebody else then. (An empty MUSTER_TOKEN counts
     * as unset, like every variable.) */
    if (w->token && !*w->token)
        return err_set(err, -EINVAL, "token.empty", "the token given is empty");
    if (w->token) {
        secret_free(t->token);
        t->token = xstrdup(w->token);
    }
    if (t->is_tls && !t->pin && !t->ca)
        return err_set(err, -EINVAL, "server.no_pin", "nothing says how to recognise %s", t->url);
    if (!t->unix_path && !t->is_tls && t->token && !target_is_loopback(t))
        return err_set(err, -EINVAL, "server.cleartext", "a token is not sent to %s in clear text", t->url);
    return 0;
}
