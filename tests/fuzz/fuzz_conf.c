/* fuzz: base - configuration values and names, as pairs of a file: NAME=VALUE lines. */
#include <stdint.h>
#include <stdlib.h>

#include "base/conf.h"
#include "base/mem.h"

struct options {
    bool dev;
    uint32_t workers;
    uint64_t cache;
    usec_t heartbeat;
    char *listen;
    int format;
    struct conf_map labels, users;
};
static const struct name formats[] = { { 0, "pretty" }, { 1, "json" }, NAMES_END };
static const struct conf_row rows[] = {
    { .name = "dev", .type = CONF_BOOL, .offset = offsetof(struct options, dev) },
    { .name = "workers", .type = CONF_U32, .offset = offsetof(struct options, workers), .min = 1, .max = 64 },
    { .name = "cache", .type = CONF_SIZE, .offset = offsetof(struct options, cache) },
    { .name = "heartbeat", .type = CONF_DURATION, .offset = offsetof(struct options, heartbeat) },
    { .name = "listen", .type = CONF_STR, .offset = offsetof(struct options, listen) },
    { .name = "log-format", .type = CONF_ENUM, .offset = offsetof(struct options, format), .names = formats },
    { .name = "label", .type = CONF_MAP, .offset = offsetof(struct options, labels) },
    { .name = "allow", .type = CONF_LIST, .offset = offsetof(struct options, users) },
};
static const struct conf_table table = {
    "fuzzd", "", "fuzz", rows, ARRAY_SIZE(rows), sizeof(struct options)
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct options o;
    struct conf c;
    struct err err = { 0 };
    struct kv kvs[64];
    size_t n_kvs = 0;
    struct str rest = str_bytes(data, n), line, key;
    AUTO(buf_done) struct buf out = BUF(8 << 20);
    while (n_kvs < ARRAY_SIZE(kvs) && str_cut(&rest, '\n', &line)) {
        if (str_cut(&line, '=', &key))
            kvs[n_kvs++] = (struct kv){ key, line };
    }
    conf_init(&c, &table, &o);
    int r = conf_file(&c, "fuzz", kvs, n_kvs, &err);
    if ((r < 0) != err_is(&err))
        abort();
    (void)conf_dump(&c, true, &out);
    conf_done(&c);
    return 0;
}
