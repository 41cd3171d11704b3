/* fuzz: dialects
 * The answer to a poll, and the overrides in it behind a command. */
#include <assert.h>

#include "agent/dialects/argus.h"
#include "base/log.h"
#include "base/text.h"

static void on_job(void *ctx, const struct argus_job *job, const char *why)
{
    AUTO(buf_done) struct buf command = BUF(512 << 10);

    *(size_t *)ctx += 1;
    assert(argus__id_is_safe(job->id));
    if (why) {
        assert(*why && job->payload.command.len == 0 && job->payload.env.n == 0 && utf8_is_valid(job->batch_id));
        return;
    }
    assert(job->kind.len > 0 && job->batch_id.len > 0);
    (void)buf_str(&command, job->payload.command);
    (void)argus__append_overrides(job->payload.overrides.text, &command, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    size_t seen = 0;
    int all;

    log_set_level(LOG_ERROR);
    all = argus__jobs_each(str_bytes(data, n), on_job, &seen, NULL);
    assert(all < 0 ? seen == 0 : seen <= (size_t)all);
    return 0;
}
