/* agent/state.c - see state.h. */
#include "agent/state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "codec/json.h"
#include "codec/record.h"

enum { STATE_FILE_MAX = 64 << 10 };

struct identity {
    struct str host_id, fleet, server;
};
static const struct field identity_fields[] = {
    F_STR(struct identity, host_id, "host_id", UUID_TEXT_LEN),
    F_STR(struct identity, fleet, "fleet", 128),
    F_STR(struct identity, server, "server", 300),
};
static const struct record identity_record = RECORD(identity, identity_fields);

static char *state_path(const struct state *s, const char *name)
{
    return xasprintf("%s/%s", s->dir, name);
}

/* The file as a malloced C string; NULL and 0 when there is none. */
static int state_read(const struct state *s, const char *name, char **ret, struct err *err)
{
    AUTO_FREE char *path = state_path(s, name);
    AUTO(buf_done_secret) struct buf b = BUF(STATE_FILE_MAX);
    int r = fd_read_file(path, &b);

    *ret = NULL;
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_set(err, r, "state.read", "%s: %m", path);
    *ret = xstrndup((const char *)b.ptr, b.len);
    return 0;
}

static int state_write(const struct state *s, const char *name, const char *text, struct err *err)
{
    AUTO_FREE char *path = state_path(s, name);

    return fd_replace_file(path, str_of(text), 0600, err);
}

static int state_check_secret(const struct state *s, const char *name, struct err *err)
{
    AUTO_FREE char *path = state_path(s, name);
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_set(err, -errno, "state.read", "%s: %m", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "state.secret_readable", "%s is not a regular file", path);
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM, "state.owner", "%s belongs to uid %u, not to uid %u who runs this", path, st.st_uid,
                       geteuid());
    if (st.st_mode & 077)
        return err_set(err, -EPERM, "state.secret_readable",
                       "%s can be read by others (mode %03o): it may be known. Delete it and enrol anew, or chmod 600 if you are "
                       "sure",
                       path, st.st_mode & 0777);
    return 0;
}

static int state_check_dir(const struct state *s, bool may_change, struct err *err)
{
    struct stat st;

    if (stat(s->dir, &st) < 0)
        return err_set(err, -errno, "state.directory", "%s: %m", s->dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "state.directory", "%s: %m", s->dir);
    if (st.st_uid != geteuid())
        return err_set(err, -EPERM, "state.owner", "%s belongs to uid %u, not to uid %u who runs this", s->dir, st.st_uid,
                       geteuid());
    if (may_change && (st.st_mode & 07777) != 0700 && chmod(s->dir, 0700) < 0)
        return err_set(err, -errno, "state.directory", "chmod 700 %s: %m", s->dir);
    return 0;
}

static int state_lock(struct state *s, struct err *err)
{
    AUTO_FREE char *path = state_path(s, "lock");
    char pid[24];
    int n;

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_set(err, -errno, "state.lock", "%s: %m", path);
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, -EBUSY, "state.busy", "another muster-agent uses %s", s->dir);
    n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) < 0)
        return err_set(err, -errno, "state.lock", "%s: %m", path);
    return 0;
}

static int state_read_identity(struct state *s, struct err *err)
{
    AUTO_FREE char *text = NULL;
    AUTO(arena_free) struct arena *a = arena_new(STATE_FILE_MAX);
    struct identity id = { 0 };
    struct record_errors errs;
    int r = state_read(s, "identity.json", &text, err);

    if (r < 0 || !text)
        return r;
    r = record_decode_json(&identity_record, a, str_of(text), STATE_FILE_MAX, &id, &errs, err);
    if (r < 0) {
        err_prefix(err, "%s/identity.json", s->dir);
        return r;
    }
    (void)str_copy(id.host_id, s->host_id, sizeof(s->host_id));
    s->fleet = id.fleet.len ? str_dup(id.fleet) : NULL;
    s->server = id.server.len ? str_dup(id.server) : NULL;
    return 0;
}

/* What cannot be mended by asking the server again. */
static int state_check_pems(const struct state *s, struct err *err)
{
    uint8_t spki[SHA256_LEN];
    struct pki_cert ca;

    if (s->key_pem && pki_key_spki(s->key_pem, spki) < 0)
        return err_set(err, -EBADMSG, "state.key_bad",
                       "%s/key.pem is no private key: put it back from a backup, or move %s away and enrol anew", s->dir, s->dir);
    if (s->ca_pem && pki_cert_read(str_of(s->ca_pem), &ca, NULL) < 0)
        return err_set(err, -EBADMSG, "state.ca_bad",
                       "%s/ca.pem is no certificate: put what \"muster ca\" prints on the server there", s->dir);
    return 0;
}

static int state_load(struct state *s, struct err *err)
{
    int r = state_check_secret(s, "key.pem", err);

    if (r == 0)
        r = state_read(s, "key.pem", &s->key_pem, err);
    if (r == 0)
        r = state_read(s, "ca.pem", &s->ca_pem, err);
    if (r == 0)
        r = state_read(s, "cert.pem", &s->cert_pem, err);
    if (r == 0)
        r = state_check_pems(s, err);
    if (r == 0)
        r = state_read_identity(s, err);
    if (r < 0)
        return r;
    /* A certificate that cannot be read, or of another key, is as good as none: the server gives it again. */
    if (s->cert_pem && pki_cert_read(str_of(s->cert_pem), &s->cert, NULL) < 0) {
        free(s->cert_pem);
        s->cert_pem = NULL;
    }
    if (s->cert_pem && !s->key_pem) {
        free(s->cert_pem);
        s->cert_pem = NULL;
    }
    return 0;
}

int state_open(const char *dir, struct state **ret, struct err *err)
{
    AUTO(state_free) struct state *s = xnew0(struct state);
    int r;

    *s = (struct state){ .dir = xstrdup(dir), .lock_fd = -1 };
    r = fd_mkdirs(dir, 0700);
    if (r < 0)
        return err_set(err, r, "state.directory", "%s: %m", dir);
    r = state_check_dir(s, true, err);
    if (r == 0)
        r = state_lock(s, err);
    if (r == 0)
        r = state_load(s, err);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

int state_peek(const char *dir, struct state **ret, struct err *err)
{
    AUTO(state_free) struct state *s = xnew0(struct state);
    int r;

    *s = (struct state){ .dir = xstrdup(dir), .lock_fd = -1 };
    r = state_check_dir(s, false, err);
    if (r == 0)
        r = state_load(s, err);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    secret_free(s->key_pem);
    free(s->cert_pem);
    free(s->ca_pem);
    free(s->fleet);
    free(s->server);
    free(s->dir);
    fd_close(&s->lock_fd);
    free(s);
}

int state_make_key(struct state *s, struct err *err)
{
    char *pem;
    int r;

    if (s->key_pem)
        return 0;
    pem = pki_key_ed25519();
    r = state_write(s, "key.pem", pem, err);
    if (r < 0)
        secret_free(pem);
    else
        s->key_pem = pem;
    return r;
}

static int state_set(struct state *s, const char *name, char **member, const char *text, struct err *err)
{
    int r;

    if (*member && strcmp(*member, text) == 0)
        return 0;
    r = state_write(s, name, text, err);
    if (r < 0)
        return r;
    free(*member);
    *member = xstrdup(text);
    return 0;
}

int state_set_ca(struct state *s, const char *pem, struct err *err)
{
    return state_set(s, "ca.pem", &s->ca_pem, pem, err);
}

int state_set_cert(struct state *s, const char *pem, struct err *err)
{
    uint8_t ours[SHA256_LEN];
    struct pki_cert cert;
    int r = pki_cert_read(str_of(pem), &cert, err);

    if (r < 0)
        return r;
    if (pki_key_spki(s->key_pem, ours) < 0 || memcmp(ours, cert.spki_sha256, SHA256_LEN) != 0)
        return err_set(err, -EBADMSG, "state.foreign_certificate", "the server sent a certificate for another key");
    r = state_set(s, "cert.pem", &s->cert_pem, pem, err);
    if (r == 0)
        s->cert = cert;
    return r;
}

int state_set_identity(struct state *s, const char *host_id, const char *fleet, const char *server, struct err *err)
{
    AUTO(buf_done) struct buf b = BUF(STATE_FILE_MAX);
    struct identity id = { str_of(host_id), str_of(fleet), str_of(server) };
    struct jw w = JW(&b);
    int r;

    if (strcmp(s->host_id, host_id) == 0 && s->fleet && strcmp(s->fleet, fleet) == 0 && s->server &&
        strcmp(s->server, server) == 0)
        return 0;
    if (id.host_id.len > UUID_TEXT_LEN || id.fleet.len > 128 || id.server.len > 300)
        return err_set(err, -EINVAL, "state.identity", "the server sent an identity that is too long");
    record_write(&identity_record, &id, &w);
    r = jw_done(&w);
    if (r == 0)
        r = buf_char(&b, '\n');
    if (r == 0)
        r = state_write(s, "identity.json", buf_as_cstr(&b), err);
    if (r < 0)
        return r;
    (void)str_copy(id.host_id, s->host_id, sizeof(s->host_id));
    if (s->fleet != fleet) {
        free(s->fleet);
        s->fleet = xstrdup(fleet);
    }
    if (s->server != server) {
        free(s->server);
        s->server = xstrdup(server);
    }
    return 0;
}

void state_fingerprint(const struct state *s, char ret[STATE_FINGERPRINT_MAX])
{
    uint8_t spki[SHA256_LEN];
    char hex[SHA256_HEX_MAX];

    if (!s->key_pem || pki_key_spki(s->key_pem, spki) < 0) {
        ret[0] = '\0';
        return;
    }
    hex_encode(spki, sizeof(spki), hex);
    (void)snprintf(ret, STATE_FINGERPRINT_MAX, "sha256:%s", hex);
}

void state_note_link(struct state *s, const struct link_note *n)
{
    AUTO_FREE char *path = state_path(s, "link.json");
    AUTO_FREE char *tmp = state_path(s, "link.json.tmp~");
    AUTO(buf_done) struct buf b = BUF(4096);
    struct jw w = JW(&b);
    AUTO_FD int fd = -1;
    char at[CLOCK_TEXT_MAX];

    jw_map(&w);
    jw_key(&w, "connected");
    jw_bool(&w, n->is_connected);
    jw_key(&w, "server");
    jw_cstr(&w, n->server);
    jw_key(&w, "since");
    clock_format(n->since, 0, at);
    jw_cstr(&w, at);
    if (n->last_ack) {
        jw_key(&w, "last_ack");
        clock_format(n->last_ack, 0, at);
        jw_cstr(&w, at);
    }
    if (n->why && n->why[0]) {
        jw_key(&w, "why");
        jw_cstr(&w, n->why);
    }
    jw_end_map(&w);
    if (jw_done(&w) < 0 || buf_char(&b, '\n') < 0)
        return;
    /* Whole, but not durable: after a crash nobody is connected anyway. */
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && fd_write_all(fd, b.ptr, b.len) == 0)
        (void)rename(tmp, path);
}

uint64_t state_running_pid(const struct state *s)
{
    AUTO_FREE char *path = state_path(s, "lock");
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[24];
    uint64_t pid = 0;
    ssize_t n;

    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    n = read(fd, text, sizeof(text));
    (void)str_to_u64(str_trim(str_bytes(text, n > 0 ? (size_t)n : 0)), &pid);
    return pid;
}
