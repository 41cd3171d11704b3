/* api/dialects/dialect.c - see dialect.h: refusals as foreign agents read them. */
#include "api/dialects/dialect.h"

#include "api/state.h"

static const struct dialect_conf defaults = {
    .sigma_heartbeat_creates = true,
    .grapheon_max_report = 262144,
    .grapheon_key_header = "x-agent-api-key",
};

const struct dialect_conf *dialect_conf(const struct call *c)
{
    return c->api->conf.dialects ? c->api->conf.dialects : &defaults;
}

int dialect_status(const struct err *err, const struct record_errors *errs)
{
    if ((errs && errs->n_total > 0) || str_starts(str_of(err->slug), STR("field.")))
        return 422;
    return reply_status_of(err);
}

void dialect_error_json(const struct err *err, struct buf *out)
{
    const char *text = err->text[0] ? err->text : "the request failed";
    struct jw w = JW(out);

    jw_map(&w);
    jw_key(&w, "detail");
    jw_cstr(&w, text);
    jw_key(&w, "error");
    jw_cstr(&w, text);
    jw_end_map(&w);
    if (jw_done(&w) < 0) {
        buf_reset(out);
        (void)buf_cstr(out, "{\"detail\":\"the error does not fit\",\"error\":\"the error does not fit\"}");
    }
}
