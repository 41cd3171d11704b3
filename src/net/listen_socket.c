/* net/listen_socket.c - see listen_socket.h. */
#include "net/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "net/dial.h"

int listen__fail(struct err *err, const struct listen_conf *conf, int code)
{
    const char *slug = code == -EADDRINUSE ? "listen.in_use" : code == -EACCES ? "listen.denied" : "listen.address";

    if (conf->unix_path)
        return err_set(err, code, slug, "cannot listen on %s: %m", conf->unix_path);
    if (code == -EADDRINUSE)
        return err_set(err, code, slug, "port %u on %s is in use", conf->port, conf->addr);
    return err_set(err, code, slug, "cannot listen on %s port %u: %m", conf->addr, conf->port);
}

static int open_inet(struct listen_socket *s, const struct listen_conf *conf)
{
    struct sockaddr_storage ss = { 0 };
    struct sockaddr_in *in = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
    const char *addr = strcmp(conf->addr, "localhost") == 0 ? "127.0.0.1" : conf->addr;
    struct net_peer self = { 0 };
    socklen_t len;
    int one = 1, zero = 0;

    if (inet_pton(AF_INET, addr, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(conf->port);
        len = sizeof(*in);
    } else if (inet_pton(AF_INET6, addr, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(conf->port);
        len = sizeof(*in6);
    } else {
        return -EADDRNOTAVAIL;
    }
    net__peer_of((struct sockaddr *)&ss, &self);
    s->is_loopback = self.is_loopback;
    s->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (ss.ss_family == AF_INET6)
        setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* inherited by what is accepted */
    if (bind(s->fd, (struct sockaddr *)&ss, len) < 0)
        return -errno;
    len = sizeof(ss);
    if (getsockname(s->fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    net__peer_of((struct sockaddr *)&ss, &self);
    s->port = self.port;
    return 0;
}

/* A socket file nobody listens behind is left over from a crash. */
static int clear_stale(const struct sockaddr_un *un)
{
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct stat st;

    if (lstat(un->sun_path, &st) < 0)
        return 0;
    if (fd < 0 || !S_ISSOCK(st.st_mode) || connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0)
        return -EADDRINUSE;
    if (errno != ECONNREFUSED)
        return -errno;
    return unlink(un->sun_path) < 0 ? -errno : 0;
}

static int open_unix(struct listen_socket *s, const struct listen_conf *conf)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int r;

    s->is_unix = s->is_loopback = true;
    if (str_copy(str_of(conf->unix_path), un.sun_path, sizeof(un.sun_path)) < 0)
        return -ENAMETOOLONG;
    r = clear_stale(&un);
    if (r < 0)
        return r;
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -errno;
    /* Before bind(), so that the file is never open wider than this; after it, against a narrow umask. */
    if (fchmod(s->fd, 0660) < 0 || bind(s->fd, (struct sockaddr *)&un, sizeof(un)) < 0)
        return -errno;
    s->unix_path = xstrdup(conf->unix_path);
    return chmod(un.sun_path, 0660) < 0 ? -errno : 0;
}

int listen_socket_open(const struct listen_conf *conf, struct listen_socket *s, struct err *err)
{
    int r;

    *s = (struct listen_socket){ .fd = -1 };
    r = conf->unix_path ? open_unix(s, conf) : open_inet(s, conf);
    /* The kernel cuts the backlog down to net.core.somaxconn. */
    if (r == 0 && listen(s->fd, conf->backlog > 0 ? conf->backlog : 65535) < 0)
        r = -errno;
    if (r == 0)
        return 0;
    r = listen__fail(err, conf, r);
    listen_socket_close(s);
    return r;
}

void listen_socket_close(struct listen_socket *s)
{
    fd_close(&s->fd);
    if (s->unix_path)
        unlink(s->unix_path);
    free(TAKE(s->unix_path));
}
