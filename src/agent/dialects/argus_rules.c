/* agent/dialects/argus_rules.c - what an Argus agent may do and how long it waits: decisions without I/O. See argus.h. */
#include <errno.h>
#include <regex.h>

#include "agent/dialects/argus.h"
#include "base/mem.h"
#include "base/text.h"

enum { BACKOFF_MAX_S = 60, OVERRIDES_BYTES = 256 << 10 };

usec_t argus__backoff(uint32_t n_failures)
{
    uint32_t s = 1;

    for (uint32_t i = 1; i < n_failures && s < BACKOFF_MAX_S; i++)
        s *= 2;
    return (s < BACKOFF_MAX_S ? s : BACKOFF_MAX_S) * USEC_PER_SEC;
}

usec_t argus__jitter(usec_t every, uint64_t random)
{
    usec_t fifth = every / 5;

    return fifth ? every - every / 10 + random % (fifth + 1) : every;
}

bool argus__id_is_safe(struct str id)
{
    if (id.len == 0 || id.len >= ARGUS_ID_MAX || id.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* -- the environment */

static bool env_is_name(struct str key)
{
    if (key.len == 0 || (key.ptr[0] >= '0' && key.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < key.len; i++)
        if ((uint8_t)key.ptr[i] <= ' ' || key.ptr[i] == '=' || key.ptr[i] == 0x7f)
            return false;
    return true;
}

bool argus__env_is_private(struct str key)
{
    /* What a service manager told the agent is not meant for its reruns either. */
    static const char *const names[] = { "ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS",
                                         "LISTEN_PID",  "LISTEN_FDNAMES",   "INVOCATION_ID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY" };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_is(key, names[i]))
            return true;
    return str_starts(key, STR("ARGUS_AGENT_"));
}

static bool is_named(const struct conf_map *allow, struct str key)
{
    for (size_t i = 0; i < allow->n; i++)
        if (str_is(key, allow->v[i].value))
            return true;
    return false;
}

bool argus__env_is_allowed(struct str key, const struct conf_map *allow)
{
    if (!env_is_name(key) || str_starts(key, STR("LD_")) || argus__env_is_private(key))
        return false;
    return !str_is(key, "PATH") || is_named(allow, key);
}

/* Names that training jobs record and that are numbers, words or choices to whoever reads them. Everything else may be code to somebody:
 * BASH_ENV to bash, PYTHONWARNINGS and BROWSER to python3, NCCL_NET_PLUGIN to NCCL, MASTER_ADDR to who unpickles what comes from there,
 * WANDB_BASE_URL and HF_ENDPOINT to where a token is sent. So whole names only: every family
 * has a member of that kind. */
static const char *const data_names[] = {
    "TZ", "LANG", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME", "COLUMNS", "LINES", "NO_COLOR",
    "FORCE_COLOR",
    "ARGUS_PROJECT", "ARGUS_JOB_ID", "ARGUS_COMMIT",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "NCCL_DEBUG", "NCCL_DEBUG_SUBSYS", "NCCL_IB_DISABLE", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_BLOCKING_WAIT",
    "OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_SCHEDULE", "OMP_PROC_BIND", "OMP_PLACES", "KMP_AFFINITY", "KMP_BLOCKTIME", "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "RAYON_NUM_THREADS",
    "RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER", "PYTHONUTF8", "HYDRA_FULL_ERROR",
    "PYTORCH_CUDA_ALLOC_CONF", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_DISTRIBUTED_DEBUG", "TORCH_NCCL_BLOCKING_WAIT",
    "TF_CPP_MIN_LOG_LEVEL", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS", "XLA_PYTHON_CLIENT_ALLOCATOR", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE",
    "JAX_ENABLE_X64", "TOKENIZERS_PARALLELISM", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_VERBOSITY", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY", "DIFFUSERS_VERBOSITY",
    "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_NAME", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_TAGS", "WANDB_MODE",
    "WANDB_RESUME", "WANDB_SILENT", "WANDB_DISABLED", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID",
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_CPUS_PER_TASK",
};

static bool is_data_name(struct str key)
{
    for (size_t i = 0; i < ARRAY_SIZE(data_names); i++)
        if (str_is(key, data_names[i]))
            return true;
    return false;
}

/* Nothing that a shell script which is careless with it could run: $(...), or in arithmetic a[...]. */
static bool is_data_value(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((uint8_t)value.ptr[i] < ' ' || value.ptr[i] == 0x7f || strchr("$`\\;&|<>()[]'\"*?", value.ptr[i]))
            return false;
    return true;
}

bool argus__env_is_data(struct kv kv, const struct conf_map *allow)
{
    return argus__env_is_allowed(kv.key, allow) && (is_named(allow, kv.key) || (is_data_name(kv.key) && is_data_value(kv.value)));
}

static bool has_key(const struct kv_list *l, struct str key)
{
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].key, key))
            return true;
    return false;
}

static void add_unless_there(struct kv_list *l, struct kv kv)
{
    if (!has_key(l, kv.key))
        l->v[l->n++] = kv;
}

/* The text is for people: what does not fit any more is left out of it. */
static void note_left_out(struct buf *names, struct str key)
{
    if (names && names->len + key.len + 2 <= names->max && (names->len == 0 || buf_cstr(names, ", ") == 0))
        (void)buf_str(names, key);
}

static bool may_set(const struct argus_env *e, struct kv kv)
{
    return !str_has_nul(kv.value) && (e->has_policy ? argus__env_is_data(kv, e->allow) : argus__env_is_allowed(kv.key, e->allow));
}

int argus__env_build(struct arena *a, const struct argus_env *e, struct kv_list *ret)
{
    struct kv_list l = { 0 };
    size_t n_own = 0;

    while (e->own[n_own])
        n_own++;
    l.v = arena_array(a, n_own + e->payload->n + e->more.n + 1, sizeof(*l.v));
    if (!l.v)
        return -ENOBUFS;
    for (size_t i = 0; i < e->more.n; i++)
        add_unless_there(&l, e->more.v[i]);
    for (size_t i = e->payload->n; i-- > 0;)
        if (may_set(e, e->payload->v[i]))
            add_unless_there(&l, e->payload->v[i]);
        else if (!has_key(&l, e->payload->v[i].key)) /* else it is set, to what the agent says it is */
            note_left_out(e->left_out, e->payload->v[i].key);
    for (size_t i = 0; i < n_own; i++) {
        struct str value = str_of(e->own[i]), key;

        (void)str_cut(&value, '=', &key);
        if (key.len > 0 && value.ptr && !argus__env_is_private(key))
            add_unless_there(&l, (struct kv){ key, value });
    }
    *ret = l;
    return 0;
}

/* -- overrides */

static bool is_override_key(struct str key)
{
    if (key.len == 0 || key.len > ARGUS_KEY_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_.+~-", c)) || c == '\0')
            return false;
    }
    return true;
}

/* In single quotes nothing is special but the quote itself. */
static int quote(struct str s, struct buf *out)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < s.len; i++)
        r = s.ptr[i] == '\'' ? buf_cstr(out, "'\\''") : buf_char(out, s.ptr[i]);
    return r;
}

static int append_override(const struct node *n, struct buf *out)
{
    AUTO(buf_done) struct buf value = BUF(OVERRIDES_BYTES);
    int r = n->type == NODE_STR ? buf_str(&value, n->s) : node_write(n, &value);

    if (r == 0)
        r = buf_cstr(out, " '");
    if (r == 0)
        r = buf_str(out, n->key);
    if (r == 0)
        r = buf_char(out, '=');
    if (r == 0)
        r = quote(buf_as_str(&value), out);
    return r == 0 ? buf_char(out, '\'') : r;
}

int argus__append_overrides(struct str overrides_json, struct buf *command, struct err *err)
{
    AUTO(arena_free) struct arena *a = arena_new(ARGUS_ARENA_BYTES);
    struct node *map;
    int r;

    if (overrides_json.len == 0 || str_is(overrides_json, "null"))
        return 0;
    if (json_parse(a, overrides_json, OVERRIDES_BYTES, &map, NULL) < 0 || map->type != NODE_MAP)
        return err_set(err, -EINVAL, "argus.override", "the overrides are not an object");
    for (const struct node *n = map->child; n; n = n->next) {
        if (!is_override_key(n->key))
            return err_set(err, -EINVAL, "argus.override", "\"%.*s\" cannot be an override's key", (int)(n->key.len > 64 ? 64 : n->key.len),
                           n->key.ptr);
        r = append_override(n, command);
        if (r < 0)
            return err_set(err, r, "argus.override", "the overrides are too large");
    }
    return 0;
}

/* -- the policy */

/* What ends a command, begins another one, or lets the shell put in more than is written. A line break too. */
static bool is_plain(struct str rest)
{
    for (size_t i = 0; i < rest.len; i++)
        if (rest.ptr[i] == '\0' || strchr(";&|<>()$`\n\r", rest.ptr[i]))
            return false;
    return true;
}

static bool prefix_allows(struct str prefix, struct str command)
{
    struct str rest;

    if (prefix.len == 0 || !str_starts(command, prefix))
        return false;
    rest = str_sub(command, prefix.len, SIZE_MAX);
    return (rest.len == 0 || rest.ptr[0] == ' ' || rest.ptr[0] == '\t') && is_plain(rest);
}

/* POSIX leaves "a++" open, and libc doubles its memory for every sign. */
static bool repeats_a_repeat(struct str pattern)
{
    static const char signs[] = "*+?{";

    for (size_t i = 1; i < pattern.len; i++) {
        char c = pattern.ptr[i], before = pattern.ptr[i - 1];

        if (before == '\\') {
            i++; /* what follows is itself, and so is what follows that */
            continue;
        }
        if (c && strchr(signs, c) && before && (strchr(signs, before) || before == '}'))
            return true;
    }
    return false;
}

static int compile(struct str pattern, regex_t *ret)
{
    AUTO_FREE char *text = xasprintf("^(%.*s)$", STR_FMT(pattern));

    return pattern.len == 0 || repeats_a_repeat(pattern) || regcomp(ret, text, REG_EXTENDED | REG_NOSUB) != 0 ? -EINVAL : 0;
}

/* A line break begins another command. "." and [^;|&] match one, and no pattern in a file of lines can name it to keep it out. */
static bool is_one_line(struct str command)
{
    for (size_t i = 0; i < command.len; i++)
        if (((unsigned char)command.ptr[i] < ' ' && command.ptr[i] != '\t') || command.ptr[i] == 0x7f)
            return false;
    return true;
}

static bool regex_allows(struct str pattern, struct str command)
{
    AUTO_FREE char *text = str_dup(command);
    regex_t re;
    bool is_match;

    if (!is_one_line(command) || compile(pattern, &re) < 0)
        return false;
    is_match = regexec(&re, text ? text : "", 0, NULL, 0) == 0;
    regfree(&re);
    return is_match;
}

/* 0 blank; 'p', 'r' or 'c' and the text; -1 none of them. */
static int policy_line(struct str line, struct str *ret)
{
    static const struct str words[] = { STR("prefix:"), STR("regex:"), STR("cwd:") };

    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (str_starts(line, words[i])) {
            *ret = str_trim(str_sub(line, words[i].len, SIZE_MAX));
            return words[i].ptr[0];
        }
    return -1;
}

int argus__policy_check(struct str text, struct err *err)
{
    struct str line, what = STR_NONE;
    int n = 0;

    while (str_cut(&text, '\n', &line)) {
        int kind = policy_line(line, &what);
        regex_t re;

        n++;
        if (kind < 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d is none of \"prefix: TEXT\", \"regex: PATTERN\", \"cwd: DIR\"", n);
        if (kind != 0 && what.len == 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d names nothing", n);
        if (kind == 'r' && compile(what, &re) < 0)
            return err_set(err, -EINVAL, "argus.policy", "line %d is not a regular expression", n);
        if (kind == 'r')
            regfree(&re);
        if (kind == 'c' && (what.ptr[0] != '/' || str_has_nul(what)))
            return err_set(err, -EINVAL, "argus.policy", "line %d names no whole path", n);
    }
    return 0;
}

bool argus__policy_next_dir(struct str *text, struct str *ret)
{
    struct str line;

    while (str_cut(text, '\n', &line))
        if (policy_line(line, ret) == 'c')
            return true;
    return false;
}

bool argus__is_below(struct str dir, struct str path)
{
    while (dir.len > 0 && dir.ptr[dir.len - 1] == '/')
        dir.len--;
    return path.len > 0 && path.ptr[0] == '/' && str_starts(path, dir) && (path.len == dir.len || path.ptr[dir.len] == '/');
}

bool argus__policy_allows(struct str text, struct str command)
{
    struct str line, what = STR_NONE;

    if (argus__policy_check(text, NULL) < 0)
        return false;
    while (str_cut(&text, '\n', &line)) {
        int kind = policy_line(line, &what);

        if ((kind == 'p' && prefix_allows(what, command)) || (kind == 'r' && regex_allows(what, command)))
            return true;
    }
    return false;
}
