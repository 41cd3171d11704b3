"""A strict stand-in for a real Graphēon server (backend 0.10), standard library only: the agent API, enough of the console API,
its validation and its refusals - the one of wildcard listeners included. What a test asks for in `faults` happens to the next request."""
import gzip
import hashlib
import ipaddress
import json
import re
import secrets
import threading
import time
import uuid
import zlib
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ADMIN = "admin-token"
MAC = re.compile(r"^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$")
STATES = {"listen", "established", "time_wait", "close_wait", "fin_wait1", "fin_wait2", "syn_recv", "syn_sent", "closing", "last_ack", "closed", "unknown"}
COMMANDS = {"ip_neigh", "ss_tunap", "ip_addr", "ip_route"}
RAW_MAX = 262144
# What the agent adds to the upstream wire (docs/wire/grapheon.md): a real Graphēon ignores it, whatever it is. Anything else is a slip.
KNOWN_REGISTER = {"enrollment_key", "agent_uuid", "display_name", "hostname", "site_name", "platform", "platform_release", "agent_version", "metadata",
                  "addresses", "claim", "claim_sha256"}
KNOWN_CHECKIN = {"agent_uuid", "observed_at", "sequence_number", "full_snapshot", "hostname", "fqdn", "platform", "platform_release", "agent_version",
                 "metadata", "addresses", "neighbors", "connections", "routes", "removed", "section_status", "collector_status", "raw", "truncated", "digest",
                 "state_epoch"}


def now():
    return datetime.utcnow().isoformat()


def sha(s):
    return hashlib.sha256(s.encode()).hexdigest()


def canonical(row):
    return json.dumps(row, sort_keys=True, separators=(",", ":"))


class Refusal(Exception):
    def __init__(self, status, detail, errors=None):
        super().__init__(detail)
        self.status, self.body = status, {"detail": detail, **({"errors": errors} if errors is not None else {})}


class Check:
    """Collects schema errors the way the upstream server lists them."""

    def __init__(self, extended_rows=False):
        self.extended_rows = extended_rows
        self.errors = []

    def bad(self, field, message, kind="value_error"):
        self.errors.append({"field": field, "message": message, "type": kind})

    def text(self, obj, key, path, least=0, most=255, required=False):
        v = obj.get(key)
        if v is None:
            if required:
                self.bad(path + key, "missing", "missing")
        elif not isinstance(v, str):
            self.bad(path + key, "not a string", "string_type")
        elif not least <= len(v) <= most:
            self.bad(path + key, "length", "string_too_long" if v else "string_too_short")

    def number(self, obj, key, path, low, high, required=False):
        v = obj.get(key)
        if v is None:
            if required:
                self.bad(path + key, "missing", "missing")
        elif isinstance(v, bool) or not isinstance(v, int) or not low <= v <= high:
            self.bad(path + key, "number", "greater_than_equal")

    def address(self, obj, key, path, required=False, any_allowed=False):
        v = obj.get(key)
        if v is None and not required:
            return
        try:
            if ipaddress.ip_address(v).is_unspecified and not any_allowed:
                self.bad(path + key, "unspecified")
        except ValueError:
            self.bad(path + key, "no address")

    def mac(self, obj, path):
        v = obj.get("mac_address")
        if v is not None and not MAC.match(v):
            self.bad(path + "mac_address", "no hardware address")

    def rows(self, body, section):
        rows = body.get(section, [])
        if not isinstance(rows, list):
            self.bad(section, "not a list", "list_type")
            return
        for i, row in enumerate(rows):
            path = f"{section}.{i}."
            assert list(row) == sorted(row), f"keys of {path} are not sorted"
            getattr(self, section)(row, path)
        texts = [canonical(r) for r in rows]
        assert texts == sorted(texts), f"{section} is not in canonical order"

    def addresses(self, r, path):
        assert set(r) == {"interface", "ip_address", "mac_address", "prefix_length"}, r
        self.address(r, "ip_address", path, required=True)
        self.text(r, "interface", path)
        self.number(r, "prefix_length", path, 0, 128)
        self.mac(r, path)

    def neighbors(self, r, path):
        assert set(r) == {"interface", "ip_address", "mac_address", "state"}, r
        self.address(r, "ip_address", path, required=True)
        self.mac(r, path)
        self.text(r, "interface", path)
        self.text(r, "state", path, most=50)
        assert r["state"] is None or r["state"] == r["state"].lower()

    def more(self, *names):
        """Members of rows that only --extended-rows may send."""
        return set(names) if self.extended_rows else set()

    def connections(self, r, path):
        assert set(r) - self.more("interface", "owners") == {"local_ip", "local_port", "pid", "process_name", "protocol", "remote_ip", "remote_port", "state"}, r
        self.address(r, "local_ip", path, required=True, any_allowed=True)
        self.address(r, "remote_ip", path, required=True, any_allowed=True)
        self.number(r, "local_port", path, 0, 65535, required=True)
        self.number(r, "remote_port", path, 0, 65535)
        if (r["protocol"] or "").lower() not in ("tcp", "udp", "sctp", "ip", "icmp"):
            self.bad(path + "protocol", "unknown")
        if r["state"] is not None and r["state"].lower() not in STATES:
            self.bad(path + "state", f"unknown state {r['state']}")
        self.text(r, "process_name", path)

    def routes(self, r, path):
        assert set(r) - self.more("family", "metric", "nexthops", "table", "type") == {"destination", "gateway", "interface", "source_ip"}, r
        self.text(r, "destination", path, 1, 255, required=True)
        self.address(r, "gateway", path)
        self.address(r, "source_ip", path)
        self.text(r, "interface", path)

    def done(self):
        if self.errors:
            raise Refusal(422, "Validation failed", self.errors)


class Mock:
    def __init__(self):
        self.lock = threading.RLock()
        self.policies, self.keys, self.agents, self.checkins = {}, {}, {}, {}
        self.requests = []  # (method, path, headers, body decoded)
        self.faults = []  # each: a callable(handler) that answers instead, or None to answer as usual
        self.extended_rows = False
        self.refuse_wildcards = True
        self.extra = {}  # added to the answer of a check-in
        self.ids = 0
        mock = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do(self):
                mock.handle(self)

            do_GET = do_POST = do_PATCH = do

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def next_id(self):
        self.ids += 1
        return self.ids

    # -- HTTP
    def handle(self, h):
        raw = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        path = urlsplit(h.path)
        with self.lock:
            self.requests.append((h.command, path.path, dict(h.headers), raw))
            fault = self.faults.pop(0) if self.faults else None
        try:
            if fault and fault(h):
                return
            with self.lock:
                status, body = self.route(h, path.path, {k: v[0] for k, v in parse_qs(path.query).items()}, raw)
        except Refusal as e:
            status, body = e.status, e.body
        except AssertionError as e:
            status, body = 500, {"detail": f"the agent broke a promise: {e}"}
        self.reply(h, status, body)

    def reply(self, h, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        h.send_response(status)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        h.send_header("X-Request-ID", str(uuid.uuid4()))
        for k, v in headers:
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(data)

    def route(self, h, path, query, raw):
        if (h.command, path) == ("POST", "/api/agents/register"):
            return self.register(json.loads(raw))
        if (h.command, path) == ("POST", "/api/agents/check-in"):
            return self.checkin(h.headers, raw, h.client_address[0])
        if h.headers.get("Authorization") != f"Bearer {ADMIN}":
            raise Refusal(401, "no token")
        return self.console(h.command, path.removeprefix("/api/agents"), query, json.loads(raw) if raw else {})

    # -- the agent's two calls
    def register(self, b):
        c = Check(self.extended_rows)
        assert set(b) <= KNOWN_REGISTER, set(b) - KNOWN_REGISTER
        c.text(b, "enrollment_key", "", 1, 512, True)
        c.text(b, "agent_uuid", "", 1, 128, True)
        for k in ("display_name", "hostname", "site_name", "platform", "platform_release"):
            c.text(b, k, "")
        c.text(b, "agent_version", "", 0, 100)
        c.rows(b, "addresses")
        c.done()
        key = next((k for k in self.keys.values() if k["hash"] == sha(b["enrollment_key"]) and k["is_active"]), None)
        if not key:
            raise Refusal(401, "unknown enrollment key")
        a = next((a for a in self.agents.values() if a["agent_uuid"] == b["agent_uuid"]), None)
        if a and a["enrollment_state"] in ("rejected", "revoked"):
            raise Refusal(403, "agent is " + a["enrollment_state"])
        if a and a["enrollment_key_id"] not in (None, key["id"]):
            raise Refusal(409, "tied to another key")
        if not a:
            a = {"id": self.next_id(), "agent_uuid": b["agent_uuid"], "enrollment_key_id": key["id"], "policy_id": key["default_policy_id"],
                 "enrollment_state": "active" if key["auto_approve"] else "pending", "is_active": True, "api_key_hash": None, "register": b}
            self.agents[a["id"]] = a
            self.checkins[a["id"]] = []
        elif a["enrollment_state"] == "pending" and key["auto_approve"]:
            a["enrollment_state"] = "active"
        secret = None
        if a["enrollment_state"] == "active" and not a["api_key_hash"]:
            secret = self.issue(a)
        return 200, {"status": a["enrollment_state"], "approval_required": a["enrollment_state"] == "pending", "message": "", "api_key": secret,
                     "server_time": now(), "agent": self.shown(a), "policy": self.policies.get(a["policy_id"])}

    def issue(self, a):
        secret = "gpak_" + secrets.token_urlsafe(32)
        a["api_key_hash"], a["api_key_prefix"] = sha(secret), secret[:20]
        return secret

    def checkin(self, headers, raw, source):
        assert headers.get("Content-Type") == "application/json" and headers.get("Content-Length") and "Transfer-Encoding" not in headers
        key = headers.get("X-Agent-Api-Key")
        a = next((a for a in self.agents.values() if key and a["api_key_hash"] == sha(key) and a["is_active"]), None)
        if not a:
            raise Refusal(401, "bad key")
        if a["enrollment_state"] != "active":
            raise Refusal(403, "agent is " + a["enrollment_state"])
        if len(raw) > RAW_MAX:
            raise Refusal(413, "too large")
        encoding = headers.get("Content-Encoding")
        if encoding is not None and encoding.lower() != "gzip":
            raise Refusal(415, "encoding")
        try:
            text = gzip.decompress(raw) if encoding else raw
        except (OSError, zlib.error, EOFError):
            raise Refusal(400, "gzip") from None
        policy = self.policies.get(a["policy_id"])
        if len(text) > (policy or {}).get("max_report_bytes", 262144):
            raise Refusal(413, "decoded report too large")
        b = json.loads(text)
        assert set(b) <= KNOWN_CHECKIN, set(b) - KNOWN_CHECKIN
        c = Check(self.extended_rows)
        c.text(b, "agent_uuid", "", 1, 128, True)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b["observed_at"])
        c.number(b, "sequence_number", "", 0, 2**31)
        for k in ("hostname", "platform", "platform_release"):
            c.text(b, k, "")
        for s in ("addresses", "neighbors", "connections", "routes"):
            c.rows(b, s)
        c.done()
        if b["agent_uuid"] != a["agent_uuid"]:
            raise Refusal(409, "another agent's key")
        if self.refuse_wildcards and any(ipaddress.ip_address(r["local_ip"]).is_unspecified for r in b["connections"]):
            raise Refusal(422, "IP address must not be unspecified")
        row = {"id": self.next_id(), "agent_id": a["id"], "sequence_number": b["sequence_number"], "full_snapshot": b.get("full_snapshot", False),
               "content_encoding": "gzip" if encoding else "identity", "source_ip": source, "auth_method": "api_key", "report": b}
        self.checkins[a["id"]].insert(0, row)
        summary = {"hosts_created": 0, "arp_entries_created": 0, "connections_created": 0, "ip_addresses_seen": [], "mac_addresses_seen": [],
                   "neighbor_count": len(b["neighbors"]), "connection_count": len(b["connections"]), "route_count": len(b["routes"]), "raw_import_id": row["id"]}
        return 200, {"status": "accepted", "server_time": now(), "agent": self.shown(a), "policy": policy,
                     "checkin": {k: v for k, v in row.items() if k != "report"}, "summary": summary, **self.extra}

    # -- the console
    def shown(self, a):
        return {k: v for k, v in a.items() if k not in ("api_key_hash", "register")}

    def page(self, items):
        return 200, {"total": len(items), "skip": 0, "limit": 50, "items": items}

    def console(self, method, path, query, b):
        if (method, path) == ("POST", "/policies"):
            assert set(b.get("enabled_commands", {})) <= COMMANDS
            p = {"id": self.next_id(), "description": None, "checkin_interval_seconds": 3600, "jitter_seconds": 300, "command_timeout_seconds": 15,
                 "enabled_commands": {c: True for c in COMMANDS}, "max_report_bytes": 262144, "is_active": True, "agent_count": None, **b}
            self.policies[p["id"]] = p
            return 201, p
        if (method, path) == ("POST", "/enrollment-keys"):
            secret = "gaek_" + secrets.token_urlsafe(32)
            k = {"id": self.next_id(), "default_policy_id": None, "auto_approve": False, "is_active": True, "hash": sha(secret), **b}
            self.keys[k["id"]] = k
            return 201, {"enrollment_key": secret, "key": {n: v for n, v in k.items() if n != "hash"}}
        if method == "GET" and path == "":
            want = query.get("enrollment_state")
            return self.page([self.shown(a) for a in self.agents.values() if want in (None, a["enrollment_state"])])
        m = re.fullmatch(r"/(\d+)(/[a-z-]+)?", path)
        a = self.agents.get(int(m.group(1))) if m else None
        if m and m.group(0).startswith("/policies"):
            a = None
        if not a:
            raise Refusal(404, "not found")
        verb = m.group(2)
        if method == "GET" and verb == "/checkins":
            return self.page([{k: v for k, v in c.items() if k != "report"} for c in self.checkins[a["id"]]])
        if method == "POST" and verb == "/approve":
            a["enrollment_state"] = "active"
        elif method == "POST" and verb == "/reject":
            a["enrollment_state"] = "rejected"
        elif method == "POST" and verb == "/rotate-api-key":
            return 200, {"api_key": self.issue(a), "server_time": now(), "message": "", "agent": self.shown(a)}
        elif method == "PATCH" and not verb:
            a.update(b)
        elif method != "GET":
            raise Refusal(405, "method")
        return 200, self.shown(a)

    # -- faults
    def answers(self, status, body=b"{}", headers=()):
        """The next request gets exactly this."""
        def fault(h):
            self.reply(h, status, body, headers)
            return True
        self.faults.append(fault)

    def closes(self, after=False):
        """The next request's connection ends without an answer; with @after the request is handled first."""
        def fault(h):
            if after:
                with self.lock:
                    self.route(h, urlsplit(h.path).path, {}, self.requests[-1][3])
            h.close_connection = True
            return True
        self.faults.append(fault)

    def sleeps(self, seconds):
        def fault(h):
            time.sleep(seconds)
            h.close_connection = True
            return True
        self.faults.append(fault)

    def reports(self, agent_id=None):
        """Bodies of the check-ins that were taken, oldest first."""
        ids = [agent_id] if agent_id else list(self.checkins)
        return [c["report"] for i in ids for c in reversed(self.checkins[i])]

    def agent_requests(self):
        return [r for r in self.requests if r[1] in ("/api/agents/register", "/api/agents/check-in")]
