/* fleet/enroll.c - see enroll.h. */
#include "fleet/enroll.h"

#include <errno.h>

#include "base/text.h"

const struct name host_state_names[] = {
    { HOST_PENDING, "pending" },
    { HOST_APPROVED, "approved" },
    { HOST_REJECTED, "rejected" },
    { HOST_REVOKED, "revoked" },
    NAMES_END,
};

#define NO ((enum host_state)0) /* a move that is refused */

static const struct {
    enum host_state to[4]; /* by enroll_verb: approve, reject, revoke, ask again */
    const char *hint[3];   /* what would work instead, for refused operator verbs */
} steps[] = {
    [HOST_PENDING] = { { HOST_APPROVED, HOST_REJECTED, HOST_REJECTED, HOST_PENDING }, { NULL, NULL, NULL } },
    [HOST_APPROVED] = { { HOST_APPROVED, NO, HOST_REVOKED, HOST_APPROVED },
                        { NULL, "revoke it instead", NULL } },
    [HOST_REJECTED] = { { HOST_APPROVED, HOST_REJECTED, NO, HOST_REJECTED },
                        { NULL, NULL, "it has no certificate to revoke; forget it to remove it" } },
    [HOST_REVOKED] = { { NO, NO, HOST_REVOKED, HOST_REVOKED },
                       { "forget it and let it enrol with a new key", "it is revoked already", NULL } },
};

int enroll_step(enum host_state from, enum enroll_verb verb, enum host_state *ret_to, struct err *err)
{
    static const char *const verbs[] = { "approved", "rejected", "revoked", "asked again" };

    if (from < HOST_PENDING || from > HOST_REVOKED || (unsigned)verb > ENROLL_ASK_AGAIN)
        return err_set(err, -EINVAL, "host.state", "there is no such state or verb (%d, %d)", (int)from,
                       (int)verb);
    enum host_state to = steps[from].to[verb];
    if (to == NO)
        return err_set(err, -EINVAL, "host.state", "a host that is %s cannot be %s: %s",
                       name_of(host_state_names, from), verbs[verb], steps[from].hint[verb]);
    *ret_to = to;
    return 0;
}

int enroll_let_go(enum host_state state, bool may_forget, bool is_own, const char *name, struct err *err)
{
    if ((state != HOST_REVOKED && state != HOST_REJECTED) || may_forget || is_own)
        return 0;
    return err_set(err, -EACCES, state == HOST_REVOKED ? "host.revoked" : "host.rejected",
                   "%s was %s: it stays so until an administrator forgets it (muster forget %s)", name,
                   name_of(host_state_names, (int)state), name);
}

enum token_verdict token_check(const struct install_token *t, usec_t now)
{
    if (t->is_revoked)
        return TOKEN_REVOKED;
    if (t->expires_at && now >= t->expires_at)
        return TOKEN_EXPIRED;
    if (t->max_uses && t->n_uses >= t->max_uses)
        return TOKEN_USED_UP;
    return TOKEN_OK;
}

const char *token_verdict_slug(enum token_verdict v)
{
    switch (v) {
    case TOKEN_USED_UP:
        return "token.used_up";
    case TOKEN_EXPIRED:
        return "token.expired";
    case TOKEN_REVOKED:
        return "token.revoked";
    case TOKEN_OK:
        break;
    }
    return NULL;
}

bool enroll_is_expired(usec_t asked_at, usec_t max_age, usec_t now)
{
    return now > asked_at && now - asked_at >= max_age;
}

bool enroll_is_clone(struct str recorded_machine_id, struct str machine_id)
{
    return recorded_machine_id.len && machine_id.len && !str_eq(recorded_machine_id, machine_id);
}

static bool is_code(struct str s)
{
    if (s.len < 8 || s.len > 64)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
              c == '-'))
            return false;
    }
    return true;
}

int install_token_parse(struct str text, struct str *ret_code, uint8_t ret_pin[32], struct err *err)
{
    struct str rest = text, code = STR_NONE;
    uint8_t pin[32];

    /* The sentence never repeats the token: it ends up in logs. */
    if (!str_cut(&rest, '@', &code) || !rest.ptr)
        return err_set(err, -EINVAL, "token.shape",
                       "an install token looks like CODE@sha256:HEX; this one has no '@'");
    if (!is_code(code))
        return err_set(err, -EINVAL, "token.shape",
                       "the code before '@' must be 8 to 64 letters, digits, '-' or '_'");
    if (!str_starts(rest, STR("sha256:")))
        return err_set(err, -EINVAL, "token.shape", "'@' must be followed by sha256: and 64 hex digits");
    if (hex_decode(str_sub(rest, 7, SIZE_MAX), pin, sizeof(pin)) < 0)
        return err_set(err, -EINVAL, "token.shape", "the pin after sha256: must be exactly 64 hex digits");
    *ret_code = code;
    memcpy(ret_pin, pin, sizeof(pin));
    return 0;
}
