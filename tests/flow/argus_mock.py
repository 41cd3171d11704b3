"""A small, strict Argus server, as the real one answers its agents and reporters: unknown keys are 422, there is no exit extension
unless a test asks for ours, and nothing is forgiven. In the test's own process, so that a test can look in and turn knobs."""
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse
import uuid

PARENT = "em_live_" + "p" * 27
VIEWER = "em_view_" + "v" * 27
EVENT_TYPES = {"batch_start", "batch_done", "batch_failed", "job_start", "job_epoch", "job_done", "job_failed", "resource_snapshot",
               "log_line", "env_snapshot"}
REGISTER = {"hostname": str, "version": (str, type(None)), "capabilities": list}
ACK = {"status": str, "pid": (int, type(None)), "error": (str, type(None))}
HEARTBEAT = {"note": (str, type(None))}
EXIT = {"exit_code": (int, type(None)), "signal": (int, type(None)), "runtime_s": (float, int), "log_tail": (str, type(None))}
EVENT = {"event_id": str, "schema_version": str, "event_type": str, "timestamp": str, "batch_id": str, "job_id": (str, type(None)),
         "source": dict, "data": dict}
SOURCE = {"project": str, "host": (str, type(None)), "user": (str, type(None)), "commit": (str, type(None)), "command": (str, type(None))}


def strict(body, shape, required):
    """The validation errors of a strict model, as a list."""
    if not isinstance(body, dict):
        return [{"type": "model_type", "loc": ["body"], "msg": "not an object"}]
    bad = [{"type": "extra_forbidden", "loc": ["body", k], "msg": "extra"} for k in body if k not in shape]
    bad += [{"type": "missing", "loc": ["body", k], "msg": "missing"} for k in required if k not in body]
    bad += [{"type": "type", "loc": ["body", k], "msg": repr(body[k])} for k in shape if k in body and not isinstance(body[k], shape[k])]
    return bad


class MockArgus:
    def __init__(self, extension=False, port=0, tls=None):
        self.extension, self.tls = extension, tls
        self.lock = threading.RLock()
        self.agents = {}      # token -> id
        self.ids = {}         # hostname -> id
        self.parents = {PARENT}
        self.jobs = []        # dicts with status
        self.acks, self.exits, self.exit_calls, self.heartbeats, self.polls, self.requests = [], [], [], [], [], []
        self.registers, self.events, self.stops = [], {}, set()
        self.fail = []        # (regex of the path, status, headers, body or None): used once each, in order
        self.stall = None     # (regex, threading.Event): the answer waits for it
        self.raw = None       # bytes of the next poll's answer
        self.skew_s = 0
        self.registered = {}  # over the members of the next answers to a registration
        self.port = port
        self.start()

    scheme = property(lambda s: "https" if s.tls else "http")
    url = property(lambda s: f"{s.scheme}://{'localhost' if s.tls else '127.0.0.1'}:{s.port}")

    def start(self):
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body in one segment

            def log_message(self, *a):
                pass

            def go(self):
                try:
                    mock.handle(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_POST = go

        class Srv(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            conns = set()

            def process_request(self, request, address):
                self.conns.add(request)
                super().process_request(request, address)

            def handle_error(self, request, address):
                pass

        self.srv = Srv(("127.0.0.1", self.port), Handler)
        self.port = self.srv.server_address[1]
        if self.tls:
            ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ctx.load_cert_chain(*self.tls)
            self.srv.socket = ctx.wrap_socket(self.srv.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.srv.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self):
        """As a server that was killed: nobody listens, open connections are broken."""
        self.srv.shutdown()
        self.srv.server_close()
        for c in list(self.srv.conns):
            try:
                c.shutdown(2)
            except OSError:
                pass
            c.close()

    # -- what tests do
    def rerun(self, command, cwd=None, env=None, batch=None, overrides=None, source="b-1"):
        job = {"id": str(uuid.uuid4()), "kind": "rerun", "batch_id": batch or "rerun-" + uuid.uuid4().hex[:12], "created_at": self.now(),
               "payload": {"source_batch_id": source, "command": command, "cwd": cwd, "env": env, "host": "h", "overrides": overrides,
                           "requested_by": 1}, "status": "pending"}
        with self.lock:
            self.jobs.append(job)
        return job

    def stop_batch(self, batch, **payload):
        job = {"id": str(uuid.uuid4()), "kind": "stop", "batch_id": batch, "created_at": self.now(),
               "payload": {"requested_by": 1, **payload}, "status": "pending"}
        with self.lock:
            self.jobs.append(job)
        return job

    def ack_of(self, job):
        return next((a for i, a in self.acks if i == job["id"]), None)

    def exit_of(self, job):
        return next((e for i, e in self.exits if i == job["id"]), None)

    def now(self):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.skew_s))

    # -- the wire
    def handle(self, h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(h.path)
        auth = h.headers.get("Authorization") or ""
        with self.lock:
            self.requests.append((h.command, h.path, auth, body, time.monotonic()))
        if self.stall and re.search(self.stall[0], parts.path):
            self.stall[1].wait(60)
        with self.lock:
            for i, f in enumerate(self.fail):
                if re.search(f[0], parts.path):
                    del self.fail[i]
                    return self.reply(h, f[1], f[3] if len(f) > 3 else {"detail": "made up"}, f[2])
            status, answer, headers = self.answer(h.command, parts.path, auth, body)
        return self.reply(h, status, answer, headers)

    def reply(self, h, status, answer, headers=None):
        raw = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        h.send_response(status)
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        if status != 204:
            h.send_header("Content-Type", "application/json")
            h.send_header("Content-Length", str(len(raw)))
        h.end_headers()
        h.wfile.write(raw)

    def answer(self, method, path, auth, body):
        no = (401, {"detail": "Not authenticated"}, {"WWW-Authenticate": "Bearer"})
        if not auth.lower().startswith("bearer "):
            return no
        token = auth[7:]
        if (method, path) == ("POST", "/api/agents/register"):
            return self.register(token, body) if token in self.parents else no
        m = re.fullmatch(r"/api/agents/([^/]+)/(jobs|heartbeat|jobs/([^/]+)/(ack|exit))", path)
        if m:
            if token not in self.agents:
                return no
            if self.agents[token] != m[1]:
                return 403, {"detail": "not your agent"}, {}
            return self.agent(method, m[2], m[3], m[4], body)
        if token not in self.parents:
            return no
        if (method, path) == ("POST", "/api/events"):
            return self.event(body)
        if (method, path) == ("POST", "/api/events/batch"):
            return self.event_batch(body)
        m = re.fullmatch(r"/api/batches/([^/]+)/stop-requested", path)
        if m and method == "GET":
            batch = urllib.parse.unquote(m[1])
            if batch not in {e["batch_id"] for e in self.events.values()}:
                return 404, {"detail": "Batch not found"}, {}
            return 200, {"requested": batch in self.stops, "requested_at": None, "requested_by": None}, {}
        return 404, {"detail": "Not Found"}, {}

    def parse(self, body, shape, required):
        try:
            doc = json.loads(body)
        except ValueError:
            return None, [{"type": "json_invalid", "loc": ["body"], "msg": "no JSON"}]
        return doc, strict(doc, shape, required)

    def register(self, token, body):
        doc, bad = self.parse(body, REGISTER, ["hostname"])
        if bad:
            return 422, {"detail": bad}, {}
        self.registers.append(doc)
        agent = self.ids.setdefault(doc["hostname"], "agent-" + uuid.uuid4().hex[:12])
        for old in [t for t, a in self.agents.items() if a == agent]:
            del self.agents[old]
        fresh = "ag_live_" + (uuid.uuid4().hex + uuid.uuid4().hex)[:43]
        self.agents[fresh] = agent
        answer = {"agent_id": agent, "agent_token": fresh, "poll_interval_s": 10, "server_time_utc": self.now()}
        if self.extension:
            answer["features"] = ["exit"]
        return 201, {**answer, **self.registered}, {}

    def agent(self, method, what, cmd, verb, body):
        if (method, what) == ("GET", "jobs"):
            self.polls.append(time.monotonic())
            if self.raw is not None:
                raw, self.raw = self.raw, None
                return 200, raw, {}
            pending = [{k: v for k, v in j.items() if k != "status"} for j in self.jobs if j["status"] == "pending"]
            return 200, {"jobs": pending}, {}
        if (method, what) == ("POST", "heartbeat"):
            if body:
                _, bad = self.parse(body, HEARTBEAT, [])
                if bad:
                    return 422, {"detail": bad}, {}
            self.heartbeats.append(time.monotonic())
            return 204, None, {}
        if method != "POST" or not verb or (verb == "exit" and not self.extension):
            if verb == "exit":
                self.exit_calls.append(cmd)
            return 404, {"detail": "Not Found"}, {}
        job = next((j for j in self.jobs if j["id"] == cmd), None)
        if not job:
            return 404, {"detail": "Command not found"}, {}
        if verb == "exit":
            doc, bad = self.parse(body, EXIT, [])
            if bad:
                return 422, {"detail": bad}, {}
            self.exits.append((cmd, doc))
            return 200, {"cmd_id": cmd, "status": "exited"}, {}
        doc, bad = self.parse(body, ACK, ["status"])
        if bad:
            return 422, {"detail": bad}, {}
        if doc["status"] not in ("started", "failed"):
            return 400, {"detail": "bad status"}, {}
        if job["status"] != "pending":
            return 409, {"detail": "no longer pending"}, {}
        job["status"] = doc["status"]
        self.acks.append((cmd, doc))
        return 200, {"cmd_id": cmd, "status": doc["status"]}, {}

    def check_event(self, doc):
        if isinstance(doc, dict) and doc.get("schema_version") != "1.1" and "schema_version" in doc:
            return 415, {"message": "schema", "received": doc["schema_version"], "supported": ["1.1"]}
        bad = strict(doc, EVENT, ["event_id", "schema_version", "event_type", "timestamp", "batch_id", "source"])
        bad = bad or strict(doc["source"], SOURCE, ["project"])
        if not bad and doc["event_type"] not in EVENT_TYPES:
            bad = [{"type": "enum", "loc": ["body", "event_type"], "msg": doc["event_type"]}]
        if not bad and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", doc["timestamp"]):
            bad = [{"type": "time", "loc": ["body", "timestamp"], "msg": doc["timestamp"]}]
        if bad:
            return 422, bad
        if doc["event_type"].startswith("job_") and not doc.get("job_id"):
            return 400, "job_id is required"
        return 200, None

    def keep(self, doc):
        seen = doc["event_id"] in self.events
        self.events.setdefault(doc["event_id"], doc)
        return seen, list(self.events).index(doc["event_id"]) + 1

    def event(self, body):
        try:
            doc = json.loads(body)
        except ValueError:
            return 422, {"detail": []}, {}
        status, why = self.check_event(doc)
        if status != 200:
            return status, {"detail": why}, {}
        seen, number = self.keep(doc)
        return 200, {"accepted": True, "event_id": number, "deduplicated": seen}, {}

    def event_batch(self, body):
        doc = json.loads(body)
        if set(doc) != {"events"} or not 1 <= len(doc["events"]) <= 500:
            return 422, {"detail": [{"type": "shape", "loc": ["body"], "msg": "events"}]}, {}
        results = []
        for e in doc["events"]:
            status, why = self.check_event(e)
            if status != 200:
                results.append({"event_id": e.get("event_id"), "status": "rejected", "db_id": None, "error": str(why)})
                continue
            seen, number = self.keep(e)
            results.append({"event_id": e["event_id"], "status": "deduplicated" if seen else "accepted", "db_id": number, "error": None})
        n = sum(r["status"] != "rejected" for r in results)
        return 200, {"accepted": n, "rejected": len(results) - n, "results": results}, {}
