/* fuzz: collect
 * What rpm prints. The lines are parsed directly: a child per input would be slow. */
#include "fuzz_collect.h"

#include "agent/collect/packages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct collect_out out = { .arena = arena_new(1 << 20), .scratch = BUF(LIMIT_ROW_BYTES), .status = SECTION_OK };
    struct src_lines l = src__lines(rpm__line, &out);
    (void)src__lines_feed(&l, str_bytes(data, n / 2));
    (void)src__lines_feed(&l, str_bytes(data + n / 2, n - n / 2));
    (void)src__lines_end(&l);
    free(out.rows);
    buf_done(&out.scratch);
    arena_free(out.arena);
    return 0;
}
