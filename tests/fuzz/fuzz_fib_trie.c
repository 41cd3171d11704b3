/* fuzz: dialects
 * /proc/net/fib_trie, a line at a time; what comes out is sorted, each once, addresses only. */
#include <arpa/inet.h>
#include <assert.h>

#include "agent/dialects/sigma.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (int keep = 0; keep < 2; keep++) {
        struct sigma_addresses got = { 0 };
        struct fib_trie f = { .to = &got, .keep_172 = keep };
        struct str rest = str_bytes(data, n), line;

        while (str_cut(&rest, '\n', &line))
            assert(fib_trie_line(&f, line) == 0);
        for (size_t i = 0; i < got.n; i++) {
            struct in_addr a;

            assert(inet_pton(AF_INET, got.v[i].ip, &a) == 1 && ntohl(a.s_addr) >> 24 != 127);
            assert(i == 0 || strcmp(got.v[i - 1].ip, got.v[i].ip) < 0);
        }
    }
    return 0;
}
