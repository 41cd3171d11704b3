/* api/openapi.c - see openapi.h. Schemas are the record tables; nothing is written down twice. */
#include "api/openapi.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/vec.h"
#include "codec/json.h"
#include "codec/record.h"

/* Records named in the document, each once. */
struct names {
    VEC(const struct record *) v;
};

static void add_record(struct names *n, const struct record *rec)
{
    if (!rec)
        return;
    for (size_t i = 0; i < n->v.n; i++)
        if (n->v.v[i] == rec)
            return;
    *vec_add(&n->v) = rec;
}

/* "agent_list_out" -> "AgentList". */
static void schema_name(const struct record *rec, char *dst, size_t size)
{
    bool up = true;
    size_t len = 0;
    struct str name = str_of(rec->name);

    if (str_ends(name, STR("_out")))
        name.len -= 4;
    for (size_t i = 0; i < name.len && len + 1 < size; i++) {
        if (name.ptr[i] == '_') {
            up = true;
            continue;
        }
        dst[len++] = (char)(up ? toupper((unsigned char)name.ptr[i]) : name.ptr[i]);
        up = false;
    }
    dst[len] = '\0';
}

/* Two records of one struct, as forms of it: the second is "Name2". */
static void unique_name(const struct names *names, const struct record *rec, char *dst, size_t size)
{
    char other[80];
    unsigned n = 1;

    schema_name(rec, dst, size);
    for (size_t i = 0; i < names->v.n && names->v.v[i] != rec; i++) {
        schema_name(names->v.v[i], other, sizeof(other));
        n += strcmp(other, dst) == 0;
    }
    size_t len = strlen(dst);
    if (n > 1)
        (void)snprintf(dst + len, size - len, "%u", n);
}

static void write_ref(struct jw *w, const char *name)
{
    char ref[128];

    (void)snprintf(ref, sizeof(ref), "#/components/schemas/%s", name);
    jw_map(w);
    jw_key(w, "$ref");
    jw_cstr(w, ref);
    jw_end_map(w);
}

static void write_content(struct jw *w, const struct names *names, const char *type, const struct record *rec)
{
    char name[80];

    jw_key(w, "content");
    jw_map(w);
    jw_key(w, type);
    jw_map(w);
    jw_key(w, "schema");
    if (rec) {
        unique_name(names, rec, name, sizeof(name));
        write_ref(w, name);
    } else {
        jw_map(w);
        jw_key(w, "type");
        jw_cstr(w, "string");
        jw_end_map(w);
    }
    jw_end_map(w);
    jw_end_map(w);
}

static void write_parameter(struct jw *w, const char *where, struct str name, bool required, const char *help)
{
    jw_key(w, "name");
    jw_str(w, name);
    jw_key(w, "in");
    jw_cstr(w, where);
    jw_key(w, "required");
    jw_bool(w, required);
    if (help) {
        jw_key(w, "description");
        jw_cstr(w, help);
    }
}

/* Words of a fixed set, several with commas: a string for the record, a list for who reads the schema. */
static void write_words_schema(struct jw *w, const struct name *names)
{
    jw_key(w, "style");
    jw_cstr(w, "form");
    jw_key(w, "explode");
    jw_bool(w, false);
    jw_key(w, "schema");
    jw_map(w);
    jw_key(w, "type");
    jw_cstr(w, "array");
    jw_key(w, "items");
    jw_map(w);
    jw_key(w, "type");
    jw_cstr(w, "string");
    jw_key(w, "enum");
    jw_list(w);
    for (; names->text; names++)
        jw_cstr(w, names->text);
    jw_end_list(w);
    jw_end_map(w);
    jw_end_map(w);
}

static void write_query_schema(struct jw *w, const struct field *f)
{
    /* One field as a record of its own, of which only the member's schema is wanted. */
    static char text[16 << 10];
    struct buf b = { .ptr = (uint8_t *)text, .cap = sizeof(text), .max = sizeof(text) };
    const struct record one = { "one", 0, f, 1, SIZE_MAX };
    struct jw inner = JW(&b);
    char lead[160];
    int n;

    record_schema(&one, &inner);
    n = snprintf(lead, sizeof(lead), "{\"type\":\"object\",\"properties\":{\"%s\":", f->name);
    jw_key(w, "schema");
    if (jw_done(&inner) == 0 && n > 0 && b.len > (size_t)n + 2) {
        struct str whole = buf_as_str(&b);
        size_t end = (size_t)n, depth = 0;
        bool in_text = false;

        for (; end < whole.len; end++) { /* the member's object, brace to brace */
            char c = whole.ptr[end];

            if (in_text) {
                if (c == '\\')
                    end++;
                else if (c == '"')
                    in_text = false;
            } else if (c == '"') {
                in_text = true;
            } else if (c == '{') {
                depth++;
            } else if (c == '}' && --depth == 0) {
                end++;
                break;
            }
        }
        jw_raw(w, str_sub(whole, (size_t)n, end - (size_t)n));
    } else {
        jw_map(w);
        jw_end_map(w);
    }
}

static void write_parameters(struct jw *w, const struct route *r)
{
    struct str rest = str_of(r->path), seg;

    jw_key(w, "parameters");
    jw_list(w);
    while (str_cut(&rest, '/', &seg)) {
        if (seg.len < 3 || seg.ptr[0] != '{')
            continue;
        jw_map(w);
        write_parameter(w, "path", str_sub(seg, 1, seg.len - 2), true, NULL);
        jw_key(w, "schema");
        jw_map(w);
        jw_key(w, "type");
        jw_cstr(w, "string");
        jw_end_map(w);
        jw_end_map(w);
    }
    for (size_t i = 0; r->query && i < r->query->n_fields; i++) {
        const struct field *f = &r->query->fields[i];

        jw_map(w);
        write_parameter(w, "query", str_of(f->name), (f->flags & FIELD_REQUIRED) != 0, f->help);
        if (f->type == FT_STR && f->names)
            write_words_schema(w, f->names);
        else
            write_query_schema(w, f);
        jw_end_map(w);
    }
    if (r->flags & ROUTE_IDEM_KEY) {
        jw_map(w);
        write_parameter(w, "header", STR("Idempotency-Key"), false,
                        "A repeat with the same key answers with the first one's result.");
        jw_key(w, "schema");
        jw_map(w);
        jw_key(w, "type");
        jw_cstr(w, "string");
        jw_key(w, "maxLength");
        jw_u64(w, 255);
        jw_end_map(w);
        jw_end_map(w);
    }
    jw_end_list(w);
}

static void write_responses(struct jw *w, const struct names *names, const struct route *r)
{
    char status[8];

    (void)snprintf(status, sizeof(status), "%d", r->status ? r->status : 200);
    jw_key(w, "responses");
    jw_map(w);
    jw_key(w, status);
    jw_map(w);
    jw_key(w, "description");
    jw_cstr(w, "Success.");
    if (r->response)
        write_content(w, names, "application/json", r->response);
    else if (r->flags & ROUTE_STREAMS)
        write_content(w, names, "text/event-stream", NULL);
    else
        write_content(w, names, "text/plain", NULL);
    jw_end_map(w);
    jw_key(w, "default");
    jw_map(w);
    jw_key(w, "description");
    jw_cstr(w, "A refusal; code is stable.");
    jw_key(w, "content");
    jw_map(w);
    jw_key(w, "application/json");
    jw_map(w);
    jw_key(w, "schema");
    write_ref(w, "Error");
    jw_end_map(w);
    jw_end_map(w);
    jw_end_map(w);
    jw_end_map(w);
}

/* "get_agents_host_inventory". */
static void operation_id(const struct route *r, char *dst, size_t size)
{
    int n = snprintf(dst, size, "%s", name_of(http_method_names, (int)r->method));
    size_t len = n > 0 ? (size_t)n : 0;
    struct str rest = str_of(r->path), seg;

    for (size_t i = 0; i < len; i++)
        dst[i] = (char)tolower((unsigned char)dst[i]);
    while (str_cut(&rest, '/', &seg)) {
        if (seg.len == 0 || str_is(seg, "api") || str_is(seg, "v1"))
            continue;
        if (seg.ptr[0] == '{')
            seg = str_sub(seg, 1, seg.len - 2);
        if (len + seg.len + 2 >= size)
            break;
        dst[len++] = '_';
        for (size_t i = 0; i < seg.len; i++)
            dst[len++] = (char)(isalnum((unsigned char)seg.ptr[i]) ? seg.ptr[i] : '_');
        dst[len] = '\0';
    }
}

static void write_operation(struct jw *w, const struct names *names, const struct route *r)
{
    char id[128], method[16];

    (void)snprintf(method, sizeof(method), "%s", name_of(http_method_names, (int)r->method));
    for (char *p = method; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    operation_id(r, id, sizeof(id));

    jw_key(w, method);
    jw_map(w);
    jw_key(w, "operationId");
    jw_cstr(w, id);
    jw_key(w, "summary");
    jw_cstr(w, r->summary ? r->summary : "");
    if (r->auth == AUTH_NONE || r->auth == AUTH_LOGIN) {
        jw_key(w, "security");
        jw_list(w);
        jw_end_list(w);
    } else {
        jw_key(w, "x-role");
        jw_cstr(w, name_of(role_level_names, (int)policy_needs(r->verb)));
    }
    write_parameters(w, r);
    if (r->body || (r->flags & ROUTE_RAW_BODY)) {
        jw_key(w, "requestBody");
        jw_map(w);
        write_content(w, names, r->body ? "application/json" : "application/octet-stream", r->body);
        jw_end_map(w);
    }
    write_responses(w, names, r);
    jw_end_map(w);
}

/* Of rows that share path and method, the first stands for all: the description has one place for them. */
static bool is_first(const struct router *rt, const struct route *r)
{
    size_t iter = 0;

    for (const struct route *q; (q = router_next(rt, &iter)) && q != r;)
        if (q->method == r->method && str_is(str_of(q->path), r->path))
            return false;
    return true;
}

/* Paths in order of first appearance, each with all its methods. */
static void write_paths(const struct router *rt, const struct names *names, struct jw *w)
{
    size_t iter = 0;

    jw_key(w, "paths");
    jw_map(w);
    for (const struct route *r; (r = router_next(rt, &iter));) {
        size_t other = 0;
        bool seen = false;

        for (const struct route *q; (q = router_next(rt, &other)) && q != r;)
            seen = seen || str_is(str_of(q->path), r->path);
        if (seen)
            continue;
        jw_key(w, r->path);
        jw_map(w);
        other = 0;
        for (const struct route *q; (q = router_next(rt, &other));)
            if (str_is(str_of(q->path), r->path) && is_first(rt, q))
                write_operation(w, names, q);
        jw_end_map(w);
    }
    jw_end_map(w);
}

static const char error_schema[] = "{\"type\":\"object\",\"required\":[\"error\"],\"properties\":{\"error\":{"
                                   "\"type\":\"object\",\"required\":[\"code\",\"message\"],"
                                   "\"properties\":{\"code\":{\"type\":\"string\"},\"message\":{\"type\":"
                                   "\"string\"},\"user\":{\"type\":\"string\"},"
                                   "\"required_role\":{\"type\":\"string\",\"enum\":[\"viewer\",\"operator\",\"admin\"]},"
                                   "\"login_helps\":{\"type\":\"boolean\"},"
                                   "\"fields\":{\"type\":\"array\",\"items\":"
                                   "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},"
                                   "\"code\":{\"type\":\"string\"},\"message\":{\"type\":"
                                   "\"string\"}}}}}}}}";

static void write_components(struct names *names, struct jw *w)
{
    char name[80];

    jw_key(w, "components");
    jw_map(w);
    jw_key(w, "securitySchemes");
    jw_raw(w, STR("{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}}"));
    jw_key(w, "schemas");
    jw_map(w);
    jw_key(w, "Error");
    jw_raw(w, str_bytes(error_schema, sizeof(error_schema) - 1));
    for (size_t i = 0; i < names->v.n; i++) {
        unique_name(names, names->v.v[i], name, sizeof(name));
        jw_key(w, name);
        record_schema(names->v.v[i], w);
    }
    jw_end_map(w);
    jw_end_map(w);
}

int openapi_write(const struct router *rt, struct buf *out)
{
    struct jw w = JW(out);
    struct names names = { 0 };
    size_t iter = 0;

    for (const struct route *r; (r = router_next(rt, &iter));) {
        add_record(&names, r->body);
        add_record(&names, r->response);
    }
    jw_map(&w);
    jw_key(&w, "openapi");
    jw_cstr(&w, "3.1.0");
    jw_key(&w, "info");
    jw_raw(&w, STR("{\"title\":\"Muster\",\"version\":\"" MUSTER_VERSION
                   "\",\"license\":{\"name\":\"Apache-2.0\",\"identifier\":"
                   "\"Apache-2.0\"}}"));
    jw_key(&w, "security");
    jw_raw(&w, STR("[{\"bearer\":[]}]"));
    write_paths(rt, &names, &w);
    write_components(&names, &w);
    jw_end_map(&w);
    vec_done(&names.v);
    return jw_done(&w);
}
