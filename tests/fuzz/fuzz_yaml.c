/* fuzz: codec - YAML text, flattened as a configuration file would be. */
#include <stdint.h>
#include <stdlib.h>

#include "base/field.h"
#include "base/limits.h"
#include "codec/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(arena_free) struct arena *a = arena_new(1 << 20);
    AUTO(buf_done) struct buf out = BUF(8 << 20);
    struct node *node;
    struct kv *kv;
    size_t n_kv;
    struct err err = { 0 };
    int r = yaml_parse(a, str_bytes(data, n), LIMIT_YAML_BYTES, &node, &err);
    if ((r < 0) != err_is(&err))
        abort();
    if (r < 0)
        return 0;
    (void)node_write(node, &out);
    (void)yaml_flatten(a, node, &kv, &n_kv, &err);
    return 0;
}
