/* agent/dialects/argus_cache.c - the agent's directory, its lock, and the token it got. See argus.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/dialects/argus.h"
#include "agent/dialects/outbound_url.h"
#include "base/fd.h"
#include "base/mem.h"
#include "codec/record.h"

enum { CACHE_BYTES = 16 << 10 };

/* Upstream's four keys and no others. */
struct cache_row {
    struct str url, agent_id, token;
    uint32_t poll_s;
};
static const struct field cache_fields[] = {
    F_STR(struct cache_row, url, "argus_url", 2048, .flags = FIELD_REQUIRED),
    F_STR(struct cache_row, agent_id, "agent_id", ARGUS_ID_MAX - 1, .flags = FIELD_REQUIRED),
    F_STR(struct cache_row, token, "agent_token", 512, .flags = FIELD_REQUIRED | FIELD_SECRET),
    F_U32(struct cache_row, poll_s, "poll_interval_s", .flags = FIELD_NULLABLE),
};
static const struct record cache_record = RECORD(cache_row, cache_fields);

void argus__cache_done(struct argus_cache *c)
{
    free(c->url);
    free(c->agent_id);
    secret_free(c->token);
    *c = (struct argus_cache){ 0 };
}

static int own_dir(const char *path, struct err *err)
{
    AUTO_FD int fd = -1;
    struct stat st;
    int r = fd_mkdirs(path, 0700);

    if (r < 0)
        return err_set(err, r, "argus.directory", "cannot make %s: %m", path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "argus.directory", "cannot open %s: %m", path);
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM, "argus.directory", "%s belongs to user %u, not to us", path, (unsigned)st.st_uid);
    if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
        return err_set(err, -errno, "argus.directory", "cannot set the mode of %s: %m", path);
    return 0;
}

int argus__dir_make(const char *dir, struct err *err)
{
    AUTO_FREE char *logs = xasprintf("%s/logs", dir);
    int r = own_dir(dir, err);

    return r < 0 ? r : own_dir(logs, err);
}

int argus__dir_lock(const char *dir, struct err *err)
{
    AUTO_FREE char *path = xasprintf("%s/agent.lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r;

    if (fd < 0)
        return err_set(err, -errno, "argus.lock", "cannot open %s: %m", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    fd_close(&fd);
    return err_set(err, r, "argus.busy", r == -EBUSY ? "another agent uses %s" : "cannot lock %s", path);
}

int argus__cache_read(const char *dir, struct argus_cache *ret, struct err *err)
{
    AUTO_FREE char *path = xasprintf("%s/token.json", dir);
    AUTO(buf_done_secret) struct buf text = BUF(CACHE_BYTES);
    AUTO(arena_free) struct arena *a = arena_new(CACHE_BYTES * 8);
    struct record_errors errs;
    struct cache_row row;
    struct stat st;
    int r;

    if (lstat(path, &st) < 0 && errno == ENOENT)
        return err_set(err, -ENOENT, "argus.unregistered", "this host is not registered: run `argus-agent register` with ARGUS_URL and "
                                                           "ARGUS_TOKEN set");
    r = secret_file_read(path, CACHE_BYTES, &text, err);
    if (r < 0)
        return r;
    /* secret_file_read() lets root's files pass; the token must be ours alone. */
    if (stat(path, &st) == 0 && st.st_uid != geteuid())
        return err_set(err, -EPERM, "file.owner", "%s belongs to user %u", path, (unsigned)st.st_uid);
    if (record_decode_json(&cache_record, a, buf_as_str(&text), CACHE_BYTES, &row, &errs, NULL) < 0 || !argus__id_is_safe(row.agent_id))
        return err_set(err, -EBADMSG, "argus.cache", "%s is not the record of a registration: register anew", path);
    *ret = (struct argus_cache){ .url = str_dup(row.url), .agent_id = str_dup(row.agent_id), .token = str_dup(row.token),
                                 .poll_s = row.poll_s };
    record_wipe(&cache_record, &row);
    return 0;
}

int argus__cache_room(const char *dir, struct secret_room *ret, struct err *err)
{
    AUTO_FREE char *path = xasprintf("%s/token.json", dir);

    return secret_room_take(path, CACHE_BYTES, ret, err);
}

int argus__cache_write(struct secret_room *room, const struct argus_cache *c, struct err *err)
{
    AUTO(buf_done_secret) struct buf text = BUF(CACHE_BYTES);
    struct cache_row row = { str_of(c->url), str_of(c->agent_id), str_of(c->token), c->poll_s };
    struct jw w = JW(&text);
    int r;

    w.pretty = true;
    jw_map(&w);
    jw_key(&w, "argus_url");
    jw_str(&w, row.url);
    jw_key(&w, "agent_id");
    jw_str(&w, row.agent_id);
    jw_key(&w, "agent_token"); /* by hand: a table never prints a secret */
    jw_str(&w, row.token);
    jw_key(&w, "poll_interval_s");
    jw_u64(&w, row.poll_s);
    jw_end_map(&w);
    r = jw_done(&w);
    if (r == 0)
        r = buf_char(&text, '\n');
    return r < 0 ? err_set(err, r, "argus.cache", "the registration does not fit into %s", room->path)
                 : secret_room_fill(room, buf_as_str(&text), err);
}

bool argus__same_origin(const char *a, const char *b)
{
    AUTO(outbound__url_done) struct outbound_url ua = { 0 };
    AUTO(outbound__url_done) struct outbound_url ub = { 0 };

    return outbound__url(str_of(a), false, &ua, NULL) == 0 && outbound__url(str_of(b), false, &ub, NULL) == 0 && ua.is_tls == ub.is_tls &&
           ua.port == ub.port && str_eq_nocase(str_of(ua.host), str_of(ub.host));
}
