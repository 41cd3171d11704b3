/* agent/collect/users.c - local users and groups from /etc/passwd and /etc/group: no NSS, which may wait for a directory server.
 * Keys "user root", "group adm". Passwords and shadow are never read. Two small reads, when their mtime changed. */
#include "agent/collect/users.h"

#include <errno.h>

struct user_facts {
    struct str kind, name, full_name, home, shell;
    uint32_t uid, gid;
    bool may_login;
};
static const struct field user_fields[] = {
    F_STR(struct user_facts, kind, "kind", 8, .help = "user."),
    F_STR(struct user_facts, name, "name", 256, .help = "Name."),
    F_U32(struct user_facts, uid, "uid", .help = "Number."),
    F_U32(struct user_facts, gid, "gid", .help = "Number of the primary group."),
    F_STR(struct user_facts, full_name, "full_name", 256, .flags = FIELD_OMIT, .help = "First part of the comment."),
    F_STR(struct user_facts, home, "home", 1024, .flags = FIELD_OMIT, .help = "Home directory."),
    F_STR(struct user_facts, shell, "shell", 1024, .flags = FIELD_OMIT, .help = "Shell."),
    F_BOOL(struct user_facts, may_login, "login_shell", .help = "The shell is one."),
};
static const struct record user_record = RECORD(user_facts, user_fields);

struct group_facts {
    struct str kind, name;
    uint32_t gid;
    struct str_list members;
};
static const struct field group_fields[] = {
    F_STR(struct group_facts, kind, "kind", 8, .help = "group."),
    F_STR(struct group_facts, name, "name", 256, .help = "Name."),
    F_U32(struct group_facts, gid, "gid", .help = "Number."),
    F_STR_LIST(struct group_facts, members, "members", 512, 256, .flags = FIELD_OMIT, .help = "Users in it, the first 512."),
};
static const struct record group_record = RECORD(group_facts, group_fields);

static const char passwd_file[] = "/etc/passwd", group_file[] = "/etc/group";

/* Comments and NIS lines ("+...") name nobody. */
static bool is_name(struct str s)
{
    return s.len && s.len <= 256 && s.ptr[0] != '#' && s.ptr[0] != '+' && s.ptr[0] != '-';
}

static bool to_id(struct str s, uint32_t *ret)
{
    uint64_t v;
    if (str_to_u64(s, &v) < 0 || v > UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* name:password:uid:gid:comment:home:shell */
int users__passwd_line(void *ctx, struct str line)
{
    struct collect_out *out = ctx;
    struct str name, password, uid, gid, comment, home, shell = STR_NONE, full_name = STR_NONE;
    struct user_facts f = { .kind = STR("user") };
    if (!str_cut(&line, ':', &name) || !str_cut(&line, ':', &password) || !str_cut(&line, ':', &uid) ||
        !str_cut(&line, ':', &gid) || !str_cut(&line, ':', &comment) || !str_cut(&line, ':', &home) || !is_name(name) ||
        !to_id(uid, &f.uid) || !to_id(gid, &f.gid))
        return 0;
    str_cut(&line, ':', &shell);
    str_cut(&comment, ',', &full_name);
    f.name = name;
    f.full_name = str_sub(full_name, 0, 256);
    f.home = str_sub(home, 0, 1024);
    f.shell = str_sub(shell, 0, 1024);
    f.may_login = !str_ends(shell, STR("/nologin")) && !str_ends(shell, STR("/false")) && !str_ends(shell, STR("/sync"));
    return collect_row(out, arena_printf(out->arena, "user %.*s", STR_FMT(name)), &user_record, &f);
}

/* name:password:gid:member,member */
int users__group_line(void *ctx, struct str line)
{
    enum { MEMBERS_MAX = 512 };
    struct collect_out *out = ctx;
    struct str name, password, gid, members = STR_NONE, member;
    struct str v[MEMBERS_MAX];
    struct group_facts f = { .kind = STR("group") };
    if (!str_cut(&line, ':', &name) || !str_cut(&line, ':', &password) || !str_cut(&line, ':', &gid) || !is_name(name) ||
        !to_id(gid, &f.gid))
        return 0;
    str_cut(&line, ':', &members);
    f.name = name;
    f.members.v = v;
    while (f.members.n < MEMBERS_MAX && str_cut(&members, ',', &member))
        if (member.len && member.len <= 256)
            v[f.members.n++] = member;
    return collect_row(out, arena_printf(out->arena, "group %.*s", STR_FMT(name)), &group_record, &f);
}

/* One of the two. A file without a single name is what a crash leaves; no system has it so. */
static int read_names(struct collect_out *out, const char *root, const char *path, src_line_fn fn)
{
    size_t n_before = out->n_rows;
    int r = src__file_lines(root, path, fn, out);
    if (r < 0)
        return r == -ENOENT ? r : collect__failed(out, r, path);
    return out->n_rows == n_before && !out->is_cut ? collect__garbled(out, path, "names nobody") : 0;
}

int users__run(struct collect_out *out, const char *root)
{
    int r = read_names(out, root, passwd_file, users__passwd_line);
    if (r == -ENOENT)
        return collect__missing(out, "no /etc/passwd");
    if (r == 0)
        r = read_names(out, root, group_file, users__group_line);
    return r == -ENOENT ? 0 : r;
}

bool users__is_changed(void *state)
{
    return src__changed(state, SECTION_USERS, passwd_file, group_file);
}
