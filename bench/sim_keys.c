/* bench/sim_keys.c - identities of simulated agents, in one file per server key: made once, used by every later run.
 *
 *   # fleet NAME            then the CA's certificate
 *   # agent 17              then its private key and its certificate
 *
 * Records are appended as they come and may be in any order; a torn last one and expired ones are made anew. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/pki.h"
#include "base/text.h"
#include "sim.h"

enum { FILE_MAX = 256 << 20 };
static const char end_cert[] = "-----END CERTIFICATE-----\n", end_key[] = "-----END PRIVATE KEY-----\n";

/* Cuts a PEM block that ends with @end off the front of @*s. A block that was torn would reach into the next record: no '#' is
 * in PEM. */
static bool take_pem(struct str *s, const char *end, struct str *ret)
{
    ptrdiff_t at = str_find(*s, str_of(end));
    if (at < 0 || !str_starts(*s, STR("-----BEGIN ")))
        return false;
    size_t n = (size_t)at + strlen(end);
    if (memchr(s->ptr, '#', n))
        return false;
    *ret = str_sub(*s, 0, n);
    *s = str_sub(*s, n, s->len);
    return true;
}

static void take_agent(struct identities *ids, struct str number, struct str *rest)
{
    struct str key, cert;
    struct pki_cert c;
    uint64_t i;
    struct str save = *rest;
    if (!take_pem(rest, end_key, &key) || !take_pem(rest, end_cert, &cert)) {
        *rest = save;
        return;
    }
    if (str_to_u64(number, &i) < 0 || i >= ids->n)
        return;
    if (pki_cert_read(cert, &c, NULL) < 0 || c.not_after < clock_wall(&clock_real) + USEC_PER_HOUR)
        return;
    free(ids->v[i].key_pem);
    free(ids->v[i].cert_pem);
    ids->v[i] = (struct identity){ str_dup(key), str_dup(cert) };
}

static void parse(struct identities *ids, struct str text)
{
    struct str line, pem;
    while (str_cut(&text, '\n', &line)) {
        if (str_starts(line, STR("# fleet ")) && take_pem(&text, end_cert, &pem)) {
            free(ids->fleet);
            free(ids->ca_pem);
            ids->fleet = str_dup(str_sub(line, 8, line.len));
            ids->ca_pem = str_dup(pem);
        } else if (str_starts(line, STR("# agent "))) {
            take_agent(ids, str_sub(line, 8, line.len), &text);
        }
    }
}

int identities_open(struct identities *ids, const char *dir, const uint8_t pin[SHA256_LEN], size_t n, struct err *err)
{
    char hex[SHA256_HEX_MAX];
    *ids = (struct identities){ .n = n, .v = xcalloc(n ? n : 1, sizeof(*ids->v)) };
    memcpy(ids->pin, pin, SHA256_LEN);
    hex_encode(pin, SHA256_LEN, hex);
    hex[16] = '\0';
    int r = fd_mkdirs(dir, 0700);
    if (r < 0)
        return err_set(err, r, "keys.dir", "%s cannot be made: %m", dir);
    ids->path = xasprintf("%s/sim-%s.pem", dir, hex);

    AUTO(buf_done) struct buf b = BUF(FILE_MAX);
    r = fd_read_file(ids->path, &b);
    if (r < 0 && r != -ENOENT)
        return err_set(err, r, "keys.file", "%s cannot be read: %m", ids->path);
    parse(ids, buf_as_str(&b));
    if (!ids->ca_pem) /* agents without the CA are of no use */
        for (size_t i = 0; i < n; i++) {
            free(ids->v[i].key_pem);
            free(ids->v[i].cert_pem);
            ids->v[i] = (struct identity){ 0 };
        }

    int fd = open(ids->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ids->file = fd >= 0 ? fdopen(fd, "a") : NULL;
    if (!ids->file)
        return err_set(err, -errno, "keys.file", "%s cannot be written: %m", ids->path);
    if (b.len && b.ptr[b.len - 1] != '\n')
        fputc('\n', ids->file); /* a torn end */
    return 0;
}

void identities_set_fleet(struct identities *ids, const char *ca_pem, const char *fleet)
{
    if (ids->ca_pem || !ca_pem[0])
        return;
    ids->ca_pem = xstrdup(ca_pem);
    ids->fleet = xstrdup(fleet);
    fprintf(ids->file, "# fleet %s\n%s", fleet, ca_pem);
}

void identities_put(struct identities *ids, size_t i, char *key_pem, char *cert_pem)
{
    free(ids->v[i].key_pem);
    free(ids->v[i].cert_pem);
    ids->v[i] = (struct identity){ key_pem, cert_pem };
    /* the chain behind the leaf is the CA, which the file has already: the end of the first certificate ends the record */
    const char *end = strstr(cert_pem, end_cert);
    if (end)
        fprintf(ids->file, "# agent %zu\n%s%.*s", i, key_pem, (int)(end - cert_pem + (ptrdiff_t)sizeof(end_cert) - 1), cert_pem);
}

size_t identities_missing(const struct identities *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++)
        n += !ids->v[i].cert_pem;
    return n;
}

void identities_done(struct identities *ids)
{
    if (ids->file)
        fclose(ids->file);
    for (size_t i = 0; i < ids->n && ids->v; i++) {
        secret_free(ids->v[i].key_pem);
        free(ids->v[i].cert_pem);
    }
    free(ids->v);
    free(ids->ca_pem);
    free(ids->fleet);
    free(ids->path);
    *ids = (struct identities){ 0 };
}
