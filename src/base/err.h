/* base/err.h - an error a person will read: code, stable slug, sentence.
 *
 * Fixed size, no allocation; all-zero is "no error". The deepest place that knows writes it, callers may
 * prefix it. Slugs ("host.unknown") are stable and what tests compare; the sentence is free to improve.
 * Every function here takes a NULL @err and then only passes the code through. Any thread (the struct is
 * the caller's). */
#ifndef MUSTER_ERR_H
#define MUSTER_ERR_H

#include <stdarg.h>
#include <stdbool.h>

enum { ERR_SLUG_MAX = 48, ERR_TEXT_MAX = 384, ERR_PATH_MAX = 96, ERR_WHO_MAX = 136, ERR_NEEDS_MAX = 16 };

struct err {
    int code; /* -errno, or 0 for a refusal that is an outcome and not a failure */
    char slug[ERR_SLUG_MAX];
    char path[ERR_PATH_MAX]; /* of the field at fault ("lifecycle.timeout"), or empty */
    char text[ERR_TEXT_MAX];
    char who[ERR_WHO_MAX];     /* of a denial: the user who lacks it, or empty: what they came with (a token) lacks it ... */
    char needs[ERR_NEEDS_MAX]; /* ... and what is lacking (a role's name); both empty in other errors */
    bool login_helps;          /* of a denial: the token lacks it, its user has it */
};

/* Fills @err (cutting what does not fit) and returns @code. "%m" is strerror(-code). */
int err_set(struct err *err, int code, const char *slug, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
int err_vset(struct err *err, int code, const char *slug, const char *fmt, va_list ap)
    __attribute__((format(printf, 4, 0)));

/* Puts "text: " before the sentence. A no-op on an empty @err. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Names the field at fault. A second call puts the outer name in front: "outer.inner". */
void err_path(struct err *err, const char *field);

/* Says of a denial which user (or empty: the token they came with) lacks what, for readers that are programs: the sentence is for people. */
void err_denied(struct err *err, const char *who, const char *needs);

/* After err_denied() with a token: its user has by now what it lacks, so that a new login is enough. */
void err_login_helps(struct err *err);

/* Back to "no error". */
void err_reset(struct err *err);

/* True if @err carries something (a slug). */
static inline int err_is(const struct err *err)
{
    return err && err->slug[0] != '\0';
}

#endif
