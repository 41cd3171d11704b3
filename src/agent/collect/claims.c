/* agent/collect/claims.c - who the host says it is; see collect.h. */
#include "agent/collect/source.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

enum { ADDRESSES_MAX = 64 };

struct gather {
    struct arena *a;
    struct str_list *list;
};
static int on_address(void *ctx, const char *address)
{
    struct gather *g = ctx;
    struct str s = arena_str(g->a, str_of(address));
    if (!s.ptr || g->list->n == ADDRESSES_MAX)
        return 1;
    g->list->v[g->list->n++] = s;
    return 0;
}

/* The machine's id is confidential (machine-id(5)): what leaves the host is a hash of it under a name of ours. */
static struct str machine_id_hash(struct arena *a, const char *root)
{
    static const char salt[] = "muster.machine"; /* with its NUL */
    struct str id = src__word(a, root, "/etc/machine-id");
    if (!id.len)
        id = src__word(a, root, "/var/lib/dbus/machine-id");
    if (!id.len || str_is(id, "uninitialized"))
        return STR_NONE;

    char text[sizeof(salt) + 128], hex[SHA256_HEX_MAX];
    id = str_sub(id, 0, 128);
    memcpy(text, salt, sizeof(salt));
    memcpy(text + sizeof(salt), id.ptr, id.len);
    sha256_hex(str_bytes(text, sizeof(salt) + id.len), hex);
    return arena_str(a, str_of(hex));
}

int collect_claims(struct arena *a, const char *root, struct host_claims *ret)
{
    *ret = (struct host_claims){ 0 };
    struct utsname un = { 0 };
    uname(&un);
    ret->hostname = src__word(a, root, "/proc/sys/kernel/hostname");
    if (!ret->hostname.len)
        ret->hostname = arena_str(a, str_of(un.nodename));
    ret->kernel = src__word(a, root, "/proc/sys/kernel/osrelease");
    if (!ret->kernel.len)
        ret->kernel = arena_str(a, str_of(un.release));
    ret->arch = arena_str(a, str_of(un.machine));
    ret->machine_id = machine_id_hash(a, root);

    struct os_release os;
    (void)os__release(root, &os);
    const char *name = os.pretty_name[0] ? os.pretty_name : os.name[0] ? os.name : un.sysname;
    ret->os = arena_str(a, str_of(name));

    struct meminfo m;
    if (memory__read(root, &m) == 0)
        ret->memory_bytes = m.total;
    ret->cpu_cores = cpu__count(root);
    struct statvfs st;
    if (statvfs(root && *root ? root : "/", &st) == 0)
        ret->disk_bytes = (uint64_t)st.f_blocks * st.f_frsize;

    ret->addresses.v = arena_array(a, ADDRESSES_MAX, sizeof(*ret->addresses.v));
    if (!ret->addresses.v || !ret->arch.ptr || !ret->os.ptr)
        return -ENOBUFS;
    struct gather g = { a, &ret->addresses };
    (void)addresses__each(root, on_address, &g);
    return 0;
}
