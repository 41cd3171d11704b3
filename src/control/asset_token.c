/* control/asset_token.c - the token an agent's metrics port asks for, as its row keeps it. Loop thread.
 *
 * It must be sent, so a hash would not do: it is sealed by a key made of the one sessions are signed with, for its own row only. Whoever
 * has a list, an export or the audit log has nothing; whoever has the whole database has both. */
#include "control/assets_priv.h"

#include "base/crypto.h"
#include "base/text.h"

static void key_of(struct control *c, uint8_t ret[SHA256_LEN])
{
    hmac_sha256(str_bytes((const char *)session_key(c), SHA256_LEN), STR("muster.asset.metrics_token"), ret);
}

/* It goes into a header. */
static int check(struct str token, struct err *err)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
            return err_set(err, -EINVAL, "field.format", "metrics_token: must be printable ASCII without blanks");
    return 0;
}

int asset__seal_token(struct control *c, struct str uuid, struct str token, struct buf *ret, struct err *err)
{
    AUTO(buf_done_secret) struct buf raw = BUF(ASSET_TOKEN_BYTES + 64);
    uint8_t key[SHA256_LEN];
    int r = check(token, err);

    if (r < 0 || token.len == 0)
        return r;
    key_of(c, key);
    r = seal(key, token, uuid, &raw);
    secret_wipe(key, sizeof(key));
    if (r == 0)
        r = base64_encode(ret, buf_as_str(&raw));
    return r == 0 ? 0 : err_set(err, -EIO, "internal", "the token cannot be sealed");
}

bool asset_token(struct control *c, const struct asset *a, struct buf *ret)
{
    AUTO(buf_done) struct buf raw = BUF(ASSET_TOKEN_BYTES + 64);
    uint8_t key[SHA256_LEN];
    int r;

    if (a->sealed_token.len == 0)
        return false;
    key_of(c, key);
    r = base64_decode(&raw, a->sealed_token);
    if (r == 0)
        r = unseal(key, buf_as_str(&raw), a->uuid, ret);
    secret_wipe(key, sizeof(key));
    if (r < 0) /* of another database: set it again */
        log_warn("asset.token", "the metrics token of a machine cannot be read", LOG_STR("vps", a->uuid));
    return r == 0;
}
