"""A stand-in for musterd's REST surface, for the command line's own tests: it says exactly what a test wants, breaks streams
where a test wants, and keeps every request it got. Loopback only."""
import base64
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

NOW = "2026-11-22T06:00:00Z"


def agent(name, n, **kw):
    return {"id": f"00000000-0000-4000-8000-{n:012d}", "instance_id": "", "name": name, "hostname": name, "ip_address": f"10.0.0.{n}",
            "status": "ready", "state": "approved", "presence": "online", "dialect": "native", "connected_at": 1790000000000,
            "last_heartbeat": 1790000000000, "last_seen": NOW, "metrics": {"cpu_percent": 1.5, "memory_used_bytes": 1, "load_avg": [0, 0, 0]},
            "system_info": {"os": "Debian 12", "kernel": "6.1", "cpu_cores": 2, "memory_bytes": 1 << 31, "disk_bytes": 1 << 40},
            "labels": {"role": "web"}, "claimed_labels": {}, "fingerprint": "sha256:" + "ab" * 32, "agent_version": "0.1.0",
            "certificate_expires_at": NOW, "clone_suspected": None, "current_task": None, "sessions": [], "active_commands": 0,
            "created_at": NOW, "approved_by": "root", "approved_at": NOW, **kw}


def task(i, host, state="done", outcome="exited", code=0, **kw):
    done = state == "done"
    return {"id": i, "job_id": 7, "host_id": f"00000000-0000-4000-8000-{i:012d}", "host": host, "state": state,
            "outcome": outcome if done else None, "exit_code": code if done and outcome == "exited" else None, "signal": None,
            "shell_code": None, "message": None, "created_at": NOW, "offered_at": None, "started_at": NOW if state != "queued" else None,
            "finished_at": NOW if done else None, "stdout_bytes": 0, "stderr_bytes": 0, "stdout_truncated": False,
            "stderr_truncated": False, "stdout_total_bytes": 0, "stderr_total_bytes": 0, **kw}


def job(total, state="running", **counts):
    zero = dict.fromkeys(("queued", "offered", "accepted", "running", "succeeded", "failed", "cancelled", "expired", "lost"), 0)
    return {"id": 7, "state": state, "created_at": NOW, "finished_at": None, "deadline": NOW, "principal": "root", "argv": ["true"],
            "shell": None, "user": None, "cwd": None, "timeout": None, "max_parallel": 0, "cancel_requested": False,
            "counts": {**zero, "total": total, **counts}}


def output(i, host, data, offset=0, stream="stdout"):
    if isinstance(data, str):
        data = data.encode()
    return {"task_id": i, "host": host, "host_id": f"00000000-0000-4000-8000-{i:012d}", "stream": stream, "offset": offset,
            "data": base64.b64encode(data).decode()}


class Break(Exception):
    """In a stream: cut the connection here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *a):
        pass

    def address_string(self):
        return "mock"

    def reply(self, status, body, ctype="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", ctype)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def error(self, status, code, message, **more):
        self.reply(status, {"error": {"code": code, "message": message, **more}})

    def stream(self, status, events):
        """events: (name, object), or a callable run in between, or Break."""
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def chunk(b):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(b), b))
            self.wfile.flush()
        try:
            for e in events:
                if e is Break:
                    self.close_connection = True
                    return
                if callable(e):
                    e()
                    continue
                name, obj = e
                head = f"event: {name}\n" if name else ""
                ident = f"id: {obj['id']}\n" if not name else ""
                chunk(f"{head}{ident}data: {json.dumps(obj)}\n\n".encode())
            self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def handle_any(self):
        n = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(n)
        path, _, query = self.path.partition("?")
        rec = {"method": self.command, "path": path, "query": query, "headers": {k.lower(): v for k, v in self.headers.items()},
               "body": body}
        with self.server.lock:
            self.server.requests.append(rec)
        fn = self.server.routes.get((self.command, path))
        if fn is None:
            self.error(404, "route.unknown", f"no route {path}")
        elif callable(fn):
            fn(self, rec)
        else:
            self.reply(200, fn)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any


class Common(socketserver.ThreadingMixIn):
    daemon_threads = True

    def begin(self):
        self.routes, self.requests, self.lock = {}, [], threading.Lock()
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.closing.set()
        self.shutdown()
        self.server_close()

    def hold(self):
        """In a stream: stay open until the test is over."""
        self.closing.wait(60)

    def handle_error(self, request, client_address):
        pass  # a client that left is part of the tests

    def of(self, method, path):
        with self.lock:
            return [r for r in self.requests if r["method"] == method and r["path"] == path]


class Mock(Common, socketserver.TCPServer):
    allow_reuse_address = True

    def __init__(self, addr=("127.0.0.1", 0), tls=None):
        super().__init__(addr, Handler)
        self.tls = tls
        self.begin()

    def finish_request(self, request, client_address):
        """The handshake belongs to the connection's own thread: a client that gives up must not stop the others."""
        if self.tls:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    url = property(lambda s: f"{'https' if s.tls else 'http'}://127.0.0.1:{s.server_address[1]}")


class UnixMock(Common, socketserver.UnixStreamServer):
    def __init__(self, path):
        super().__init__(str(path), Handler)
        self.path = path
        self.begin()

    url = property(lambda s: f"unix:{s.path}")

    def get_request(self):
        sock, _ = super().get_request()
        return sock, ("unix", 0)


def wait_for(cond, timeout=10):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if cond():
            return True
        time.sleep(0.01)
    return False
