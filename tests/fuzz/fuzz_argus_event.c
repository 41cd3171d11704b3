/* fuzz: api
 * tests/fuzz/fuzz_argus_event.c - api/dialects/argus.h: an event's envelope and data come from anybody's script. */
#include <assert.h>

#include "api/dialects/argus.h"
#include "base/mem.h"
#include "codec/json_mend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void whole(struct str s)
{
    volatile char sum = 0;

    for (size_t i = 0; i < s.len; i++)
        sum = (char)(sum + s.ptr[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_free) struct arena *a = arena_new(8 << 20);
    struct record_errors errs = { 0 };
    struct err err = { 0 };
    struct node *root;
    struct run_event e;

    if (json_parse_python(a, str_bytes(data, size), 1 << 20, &root, &err) < 0)
        return 0;
    if (argus_read_event(a, root, &e, &errs, &err) < 0) {
        assert(err_is(&err));
        return 0;
    }
    assert(e.type >= RUN_EVENT_BATCH_START && e.type <= RUN_EVENT_SNAPSHOT);
    assert(e.type != RUN_EVENT_SNAPSHOT || !e.data.len); /* its environment is in there */
    whole(e.data);
    whole(e.meta);
    whole(e.metrics);
    whole(e.data_command);
    for (size_t i = 0; i < e.env.n; i++)
        whole(e.env.v[i].value);
    (void)run_text_is_acceptable(e.batch_id, RUN_ID_MAX);
    (void)run_label_of(e.line);
    (void)run_email_is_acceptable(e.line);
    (void)run_item_class_of(e.status);
    return 0;
}
