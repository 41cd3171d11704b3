/* fuzz: dialects
 * The env file, and the base URL and proxy exceptions it may hold. */
#include <assert.h>

#include "agent/dialects/grapheon.h"
#include "agent/dialects/outbound_url.h"

static void on_pair(void *ctx, struct str key, struct str value)
{
    AUTO(outbound__url_done) struct outbound_url u = { 0 };
    usec_t t;

    assert(str_find_char(key, '=') < 0);
    *(size_t *)ctx += key.len + value.len;
    if (outbound__url(value, true, &u, NULL) == 0) {
        assert(u.host && u.host[0] && u.port > 0);
        (void)outbound__no_proxy(value, u.host, u.port);
    }
    (void)outbound__retry_after(value, 1795334400 * USEC_PER_SEC);
    (void)grapheon__time(value, &t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t sum = 0;

    grapheon__env_file(str_bytes(data, n), on_pair, &sum);
    assert(sum <= n);
    return 0;
}
