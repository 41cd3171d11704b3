/* base/err.c - see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* snprintf cuts at any byte; a sentence must stay UTF-8. */
static void cut_whole(char *s)
{
    s[utf8_whole_prefix(str_of(s))] = '\0';
}

int err_vset(struct err *err, int code, const char *slug, const char *fmt, va_list ap)
{
    if (!err)
        return code;
    int saved = errno;
    err->code = code;
    err->path[0] = err->who[0] = err->needs[0] = '\0';
    err->login_helps = false;
    snprintf(err->slug, sizeof(err->slug), "%s", slug ? slug : "");
    /* glibc's %m reads errno, which the caller may have lost since: it comes from @code */
    errno = code < 0 ? -code : saved;
    if (vsnprintf(err->text, sizeof(err->text), fmt, ap) >= (int)sizeof(err->text))
        cut_whole(err->text);
    errno = saved;
    return code;
}

int err_set(struct err *err, int code, const char *slug, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(err, code, slug, fmt, ap);
    va_end(ap);
    return code;
}

void err_prefix(struct err *err, const char *fmt, ...)
{
    if (!err_is(err))
        return;
    char old[ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    if (n < 0)
        n = 0;
    if ((size_t)n < sizeof(err->text))
        n += snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
    if ((size_t)n >= sizeof(err->text))
        cut_whole(err->text);
}

void err_path(struct err *err, const char *field)
{
    if (!err)
        return;
    char old[ERR_PATH_MAX];
    memcpy(old, err->path, sizeof(old));
    /* "outer" + "[3]" reads outer[3], not outer.[3] */
    const char *dot = old[0] && old[0] != '[' ? "." : "";
    if (snprintf(err->path, sizeof(err->path), "%s%s%s", field, dot, old) >= (int)sizeof(err->path))
        cut_whole(err->path);
}

void err_denied(struct err *err, const char *who, const char *needs)
{
    if (!err)
        return;
    err->login_helps = false;
    if (snprintf(err->who, sizeof(err->who), "%s", who) >= (int)sizeof(err->who))
        cut_whole(err->who);
    if (snprintf(err->needs, sizeof(err->needs), "%s", needs) >= (int)sizeof(err->needs))
        cut_whole(err->needs);
}

void err_login_helps(struct err *err)
{
    if (err)
        err->login_helps = true;
}

void err_reset(struct err *err)
{
    if (err)
        memset(err, 0, sizeof(*err));
}
