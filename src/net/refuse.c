/* net/refuse.c - a last word to those who speak cleartext where TLS is spoken. Loop thread. */
#include <string.h>

#include "net/listen_priv.h"

void listener__no_news(struct conn *c, const struct err *why)
{
    (void)c, (void)why;
}

static void farewell_input(struct conn *c, struct str s)
{
    (void)c, (void)s;
}

void listener__too_late(struct conn *c)
{
    conn_close(c, NULL);
}

/* proto is a text to send once. */
static size_t farewell_output(struct conn *c, uint8_t *dst, size_t room)
{
    const struct str *s = c->proto;

    (void)room;
    if (!s)
        return 0;
    memcpy(dst, s->ptr, s->len);
    c->proto = NULL;
    return s->len;
}

static const struct conn_ops farewell_ops = {
    .input = farewell_input,
    .output = farewell_output,
    .deadline = listener__too_late,
    .closed = listener__no_news,
};

void listener__refuse_plain(struct conn *c, uint8_t first, bool is_grpc)
{
    /* An empty SETTINGS, then GOAWAY: last stream 0, INADEQUATE_SECURITY, a sentence. */
    static struct str goaway = STR("\0\0\0\4\0\0\0\0\0"
                                   "\0\0\34\7\0\0\0\0\0\0\0\0\0\0\0\0\14"
                                   "this port speaks TLS");
    static struct str http = STR("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                                 "Content-Length: 24\r\n\r\nthis port speaks HTTPS.\n");
    static struct str grpc = STR("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                                 "Content-Length: 31\r\n\r\nthis port speaks gRPC over TLS.\n");

    net_stats.protocol_errors++;
    c->ops = &farewell_ops;
    c->proto = !is_grpc ? &http : first == 'P' ? &goaway : &grpc;
    conn_finish(c);
}
