/* base/clock.c - see clock.h. Own calendar arithmetic: no time zone files, no locks, the same on every
 * machine. */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static usec_t now_of(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

static usec_t real_wall(const struct clock *c)
{
    (void)c;
    return now_of(CLOCK_REALTIME);
}

static usec_t real_mono(const struct clock *c)
{
    (void)c;
    return now_of(CLOCK_BOOTTIME); /* counts suspended time: a laptop that slept is late, not young */
}

const struct clock clock_real = { .wall = real_wall, .monotonic = real_mono };

static usec_t hand_wall(const struct clock *c)
{
    return c->hand_wall;
}

static usec_t hand_mono(const struct clock *c)
{
    return c->hand_mono;
}

struct clock clock_hand(usec_t wall)
{
    return (struct clock){
        .wall = hand_wall, .monotonic = hand_mono, .hand_wall = wall, .hand_mono = USEC_PER_DAY
    };
}

void clock_turn(struct clock *c, usec_t by)
{
    c->hand_wall += by;
    c->hand_mono += by;
}

/* Days since 1970-01-01 <-> date in the proleptic Gregorian calendar; years begin in March so that the leap
 * day is the last of its year. Valid for the years 1970 to 9999. */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *ret_day = (int)(doy - (153 * mp + 2) / 5 + 1);
    *ret_month = (int)(mp < 10 ? mp + 3 : mp - 9);
    *ret_year = (int)(yoe + era * 400 + (*ret_month <= 2));
}

/* 9999-12-31T23:59:59.999999Z: beyond it RFC 3339 has no digits */
static const usec_t last_wall = 253402300799ULL * USEC_PER_SEC + 999999;

void clock_format(usec_t wall, int fraction, char *dst)
{
    if (wall > last_wall)
        wall = last_wall;
    int year, month, day;
    date_of((int64_t)(wall / USEC_PER_DAY), &year, &month, &day);
    unsigned s = (unsigned)(wall / USEC_PER_SEC % 86400), us = (unsigned)(wall % USEC_PER_SEC);
    int n = snprintf(dst, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02u:%02u:%02u", year, month, day, s / 3600,
                     s / 60 % 60, s % 60);
    if (n < 0 || n >= CLOCK_TEXT_MAX)
        return;
    if (fraction >= 6)
        snprintf(dst + n, (size_t)(CLOCK_TEXT_MAX - n), ".%06uZ", us);
    else if (fraction > 0)
        snprintf(dst + n, (size_t)(CLOCK_TEXT_MAX - n), ".%03uZ", us / 1000);
    else
        snprintf(dst + n, (size_t)(CLOCK_TEXT_MAX - n), "Z");
}

/* Takes exactly @n digits off @s. */
static bool digits(struct str *s, size_t n, int *ret)
{
    uint64_t v;
    if (s->len < n || str_to_u64(str_sub(*s, 0, n), &v) < 0)
        return false;
    *ret = (int)v;
    *s = str_sub(*s, n, s->len);
    return true;
}

static bool one_of(struct str *s, const char *set, char *ret)
{
    if (s->len == 0 || s->ptr[0] == '\0' || !strchr(set, s->ptr[0]))
        return false;
    *ret = s->ptr[0];
    *s = str_sub(*s, 1, s->len);
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

/* Takes ".ddd..." off @s; digits beyond microseconds are dropped. */
static bool parse_fraction(struct str *s, int64_t *ret_us)
{
    char c;
    *ret_us = 0;
    if (!one_of(s, ".", &c))
        return true;
    int64_t unit = 100000;
    size_t n = 0;
    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++, unit /= 10)
        *ret_us += (s->ptr[n] - '0') * unit;
    *s = str_sub(*s, n, s->len);
    return n > 0;
}

static bool parse_offset(struct str *s, int64_t *ret_s)
{
    char sign, c;
    int h, m;
    *ret_s = 0;
    if (!one_of(s, "Zz+-", &sign))
        return false;
    if (sign == 'Z' || sign == 'z')
        return true;
    if (!digits(s, 2, &h) || !one_of(s, ":", &c) || !digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_s = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return true;
}

int clock_parse(struct str s, usec_t *ret_wall)
{
    int year, month, day, h, m, sec;
    char c;
    if (!digits(&s, 4, &year) || !one_of(&s, "-", &c) || !digits(&s, 2, &month) || !one_of(&s, "-", &c) ||
        !digits(&s, 2, &day) || !one_of(&s, "Tt ", &c) || !digits(&s, 2, &h) || !one_of(&s, ":", &c) ||
        !digits(&s, 2, &m) || !one_of(&s, ":", &c) || !digits(&s, 2, &sec))
        return -EINVAL;
    if (month < 1 || month > 12 || day < 1 || day > month_days(year, month) || h > 23 || m > 59 || sec > 60)
        return -EINVAL;
    int64_t us, offset;
    if (!parse_fraction(&s, &us) || !parse_offset(&s, &offset) || s.len)
        return -EINVAL;
    if (year < 1969) /* keeps the arithmetic below positive */
        return -EINVAL;
    int64_t t = days_of(year, month, day) * 86400 + h * 3600 + m * 60 + sec - offset;
    if (t < 0)
        return -EINVAL;
    *ret_wall = (usec_t)t * USEC_PER_SEC + (usec_t)us;
    return 0;
}

void clock_format_age(usec_t age, char *dst)
{
    unsigned long long s = age / USEC_PER_SEC;
    if (s < 60)
        snprintf(dst, CLOCK_TEXT_MAX, "%llus", s);
    else if (s < 3600)
        snprintf(dst, CLOCK_TEXT_MAX, "%llum", s / 60);
    else if (s < 86400 && s / 60 % 60 == 0)
        snprintf(dst, CLOCK_TEXT_MAX, "%lluh", s / 3600);
    else if (s < 86400)
        snprintf(dst, CLOCK_TEXT_MAX, "%lluh %llum", s / 3600, s / 60 % 60);
    else
        snprintf(dst, CLOCK_TEXT_MAX, "%llud", s / 86400);
}
