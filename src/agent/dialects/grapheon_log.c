/* agent/dialects/grapheon_log.c - the upstream agent's log lines: monitoring that reads them keeps working. */
#include <stdio.h>
#include <sys/time.h>

#include "agent/dialects/grapheon.h"
#include "base/fd.h"
#include "base/text.h"

static enum say_level least = SAY_INFO;

static const struct {
    enum say_level level;
    const char *text;
} levels[] = { { SAY_DEBUG, "DEBUG" },       { SAY_INFO, "INFO" },    { SAY_WARNING, "WARNING" }, { SAY_ERROR, "ERROR" },
               { SAY_CRITICAL, "CRITICAL" }, { SAY_WARNING, "WARN" }, { SAY_CRITICAL, "FATAL" } };

void grapheon__say_level(const char *name)
{
    least = SAY_INFO;
    for (size_t i = 0; name && i < ARRAY_SIZE(levels); i++)
        if (str_eq_nocase(str_of(name), str_of(levels[i].text)))
            least = levels[i].level;
}

void grapheon__say(enum say_level level, const char *fmt, ...)
{
    AUTO(buf_done) struct buf text = BUF(4096), line = BUF(20000);
    const char *word = "INFO";
    struct timeval tv;
    struct tm tm;
    va_list ap;

    if (level < least)
        return;
    for (size_t i = ARRAY_SIZE(levels); i-- > 0;)
        if (levels[i].level == level)
            word = levels[i].text;
    va_start(ap, fmt);
    (void)buf_vprintf(&text, fmt, ap);
    va_end(ap);
    (void)gettimeofday(&tv, NULL);
    (void)localtime_r(&tv.tv_sec, &tm);
    (void)buf_printf(&line, "%04d-%02d-%02d %02d:%02d:%02d,%03d %s grapheon_agent: ", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(tv.tv_usec / 1000), word);
    (void)text_printable(&line, buf_as_str(&text)); /* a server's words must not draw on a terminal */
    (void)buf_char(&line, '\n');
    (void)fd_write_all(STDERR_FILENO, line.ptr, line.len);
}
