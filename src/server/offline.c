/* server/offline.c - config, backup, restore. See offline.h; doctor has a file of its own. */
#include "server/offline.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "codec/json.h"
#include "net/client.h"
#include "net/sse.h"
#include "server/statedir.h"
#include "store/store.h"

int offline_config(const struct conf *c, const char **words, size_t n)
{
    AUTO(buf_done) struct buf out = BUF(1 << 20);
    bool with_origin = n > 2 && strcmp(words[2], "--origin") == 0;

    if (n == 2 && strcmp(words[1], "check") == 0) {
        const struct options *o = c->options;
        const char *files[] = { o->tls_cert, o->tls_key };

        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
            if (files[i] && access(files[i], R_OK) < 0) {
                (void)fprintf(stderr, "musterd: %s: %s\n", files[i], strerror(errno));
                return EXIT_CONFIG;
            }
        (void)puts("the configuration is good");
        return 0;
    }
    if ((n == 2 || (n == 3 && with_origin)) && strcmp(words[1], "dump") == 0) {
        (void)conf_dump(c, with_origin, &out);
        (void)fwrite(out.ptr, 1, out.len, stdout);
        return 0;
    }
    (void)fputs("musterd: config takes check, or dump [--origin]\n", stderr);
    return 2;
}

static int say(const char *what, const struct err *err)
{
    (void)fprintf(stderr, "musterd: %s%s\n", what, err->text);
    return 1;
}

/* The whole path of a file that need not exist yet: the server is elsewhere. */
static int whole_path(const char *file, char dst[PATH_MAX + 256])
{
    char cwd[PATH_MAX];

    if (file[0] == '/')
        return snprintf(dst, PATH_MAX + 256, "%s", file) > 0 ? 0 : -1;
    if (!getcwd(cwd, sizeof(cwd)))
        return -errno;
    return snprintf(dst, PATH_MAX + 256, "%s/%s", cwd, file) > 0 ? 0 : -1;
}

/* -- backup over the local socket */

struct backup {
    struct loop *loop;
    struct sse_parser sse;
    struct buf refusal;
    int status, result; /* result: 1 done, -1 failed, 0 not said yet */
    bool show_progress;
};

static void on_head(void *ctx, int status, const struct kv_list *headers)
{
    (void)headers;
    ((struct backup *)ctx)->status = status;
}

static uint64_t number(const struct node *map, const char *key)
{
    const struct node *n = node_get(map, key);

    return n && n->type == NODE_INT && n->i > 0 ? (uint64_t)n->i : 0;
}

static void on_event(void *ctx, const char *event, const char *id, struct str data)
{
    AUTO(arena_free) struct arena *a = arena_new(64 << 10);
    struct backup *b = ctx;
    struct node *msg = NULL;

    (void)id;
    if (json_parse(a, data, 64 << 10, &msg, NULL) < 0)
        return;
    if (strcmp(event, "progress") == 0 && b->show_progress) {
        uint64_t done = number(msg, "done"), total = number(msg, "total");

        (void)fprintf(stderr, "\r%3llu %%", (unsigned long long)(total ? done * 100 / total : 0));
    } else if (strcmp(event, "done") == 0) {
        b->result = 1;
    } else if (strcmp(event, "error") == 0) {
        const struct node *text = node_get(msg, "message");

        b->result = -1;
        (void)fprintf(stderr, "%smusterd: the backup failed: %.*s\n", b->show_progress ? "\r" : "",
                      STR_FMT(text && text->type == NODE_STR ? text->s : STR("no reason was given")));
    }
}

static void on_chunk(void *ctx, struct str piece)
{
    struct backup *b = ctx;

    if (b->status == 202)
        (void)sse_feed(&b->sse, piece, on_event, b);
    else
        (void)buf_str(&b->refusal, piece);
}

static void on_done(void *ctx, const struct err *err, int status, struct str body)
{
    struct backup *b = ctx;

    (void)status;
    (void)body;
    if (b->show_progress)
        (void)fputs("\r", stderr);
    if (err)
        (void)fprintf(stderr, "musterd: %s\n", err->text);
    else if (b->status != 202)
        (void)fprintf(stderr, "musterd: the server refused: %.*s\n", (int)b->refusal.len,
                      (const char *)b->refusal.ptr);
    else if (b->result == 0)
        (void)fputs("musterd: the server ended before the backup did\n", stderr);
    loop_stop(b->loop);
}

static int backup_online(const struct statedir *dir, const char *path)
{
    AUTO(loop_free) struct loop *loop = loop_new();
    AUTO(buf_done) struct buf body = BUF(64 << 10);
    struct backup b = { .loop = loop, .refusal = BUF(64 << 10), .show_progress = isatty(STDERR_FILENO) };
    struct http_client *client = http_client_new(
        loop, &(struct http_client_conf){ .unix_path = dir->socket, .reply_timeout = USEC_NEVER });
    struct jw w = JW(&body);

    sse_parser_init(&b.sse, 64 << 10);
    jw_map(&w);
    jw_key(&w, "path");
    jw_cstr(&w, path);
    jw_end_map(&w);
    (void)http_client_send(client, &(struct http_client_req){ .method = "POST",
                                                              .target = "/api/v1/backup",
                                                              .body = buf_as_str(&body),
                                                              .head = on_head,
                                                              .chunk = on_chunk,
                                                              .done = on_done,
                                                              .ctx = &b });
    loop_run(loop);
    http_client_free(client);
    sse_parser_done(&b.sse);
    buf_done(&b.refusal);
    return b.result == 1 ? 0 : 1;
}

int offline_backup(const struct options *o, const char *file)
{
    struct statedir dir;
    struct err err = { 0 };
    struct stat st;
    char path[PATH_MAX + 256];
    int r = 0;

    if (statedir_paths(options_state_dir(o), &dir, &err) < 0)
        return say("", &err);
    if (whole_path(file, path) < 0 || stat(path, &st) == 0) {
        (void)fprintf(stderr, "musterd: %s exists already; a backup overwrites nothing\n", file);
        return 1;
    }
    if (statedir_holder(&dir)) {
        r = backup_online(&dir, path);
    } else if (access(dir.db, R_OK) < 0) {
        (void)err_set(&err, -errno, "store.open", "there is no database at %s: %m", dir.db);
        return say("", &err);
    } else if (store_restore(dir.db, path, clock_wall(&clock_real), &err) < 0) {
        return say("", &err);
    }
    if (r == 0 && stat(path, &st) == 0)
        (void)printf("backup written to %s (%lld bytes)\n", file, (long long)st.st_size);
    return r;
}

int offline_restore(const struct options *o, const char *file)
{
    struct statedir dir;
    struct err err = { 0 };
    int r;

    if (statedir_paths(options_state_dir(o), &dir, &err) < 0)
        return say("", &err);
    if (statedir_is_used(&dir)) {
        (void)fprintf(
            stderr,
            "musterd: the state directory %s is not empty; move it away or give another with --state-dir\n",
            dir.path);
        return 1;
    }
    if (statedir_open(&dir, &err) < 0)
        return say("", &err);
    r = store_restore(file, dir.db, clock_wall(&clock_real), &err);
    statedir_unlock(&dir);
    if (r < 0)
        return say("", &err);
    if (r == STORE_CLOCK_BEHIND)
        (void)fprintf(stderr, "musterd: this machine's clock is behind the numbers of tasks and events in the backup: set it, if it is wrong; "
                              "new ones are numbered from a random step above them\n");
    (void)printf("restored %s into %s; start musterd with --state-dir %s\n"
                 "What was begun after the backup is not in it: agents that come back stop commands the server does not know.\n",
                 file, dir.path, dir.path);
    return 0;
}
