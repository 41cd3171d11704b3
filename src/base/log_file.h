/* base/log_file.h - private to log.c: one log file, rotated by date, old ones deleted. Under the log's lock. */
#ifndef MUSTER_LOG_FILE_H
#define MUSTER_LOG_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

/* All-zero with .fd = -1, or with .path NULL, is "no file". */
struct log_file {
    char *path;
    int fd;
    int rotation; /* LOG_ROTATE_* */
    uint32_t retention_days;
    uint64_t period;  /* hours or days since 1970 whose lines the file holds */
    uint64_t checked; /* second of the last look whether the file was moved away */
    dev_t dev;
    ino_t ino;
};

/* Opens @path for appending (0640); rotates it first when its last line is from an earlier period. 0 or -errno. */
int log_file__open(struct log_file *f, const char *path, int rotation, uint32_t retention_days, usec_t now,
                   struct err *err);
void log_file__done(struct log_file *f);
/* Opens the path anew; keeps the old descriptor when that fails. */
void log_file__reopen(struct log_file *f);
/* Rotates when @now is in another period and there is something to rotate, and deletes what is too old. */
void log_file__tick(struct log_file *f, usec_t now);
/* Does that, then appends @line. Failures drop the line: there is nobody to tell. */
void log_file__write(struct log_file *f, usec_t now, struct str line);

#endif
