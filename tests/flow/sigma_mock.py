"""A sigma server as its agents know it, from the wire's description: strict about every header and key, and scripted where a test wants it to
misbehave."""
import http.server
import json
import threading
import time

REGISTER = [["hostname", "alias", "ip_addresses", "ssh_port", "system_info"], ["hostname", "ip_addresses", "ssh_port", "system_info"]]
INFO = ["cpu_cores", "disk_gb", "load_avg", "metrics_port", "port_scan", "ram_mb", "uptime_seconds"]


class Request:
    def __init__(self, handler, body):
        self.method, self.path = handler.command, handler.path
        self.headers = [(k.lower(), v) for k, v in handler.headers.items()]
        self.raw = body
        self.at = time.monotonic()
        self.conn = handler.client_address

    def header(self, name):
        got = [v for k, v in self.headers if k == name]
        assert len(got) <= 1, f"{name} came {len(got)} times"
        return got[0] if got else None

    @property
    def pairs(self):
        return json.loads(self.raw, object_pairs_hook=lambda p: p)

    @property
    def json(self):
        return json.loads(self.raw)


class SigmaMock:
    """answers: path -> a function(request) giving (status, headers, body bytes), or "hang", or "drop"."""

    def __init__(self, prefix="/api", key=None):
        self.prefix, self.key = prefix, key
        self.requests, self.faults, self.answers = [], [], {}
        self.release = threading.Event()
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                r = Request(self, body)
                mock.requests.append(r)
                path = r.path.split("?")[0]
                act = mock.answers.get(path, mock.usual)
                try:
                    got = act(r)
                except AssertionError as e:
                    mock.faults.append(f"{r.method} {r.path} {r.raw[:300]}: {e}")
                    got = (422, {}, b'{"error":"bad"}')
                if got == "hang":
                    mock.release.wait(60)
                    got = "drop"
                if got == "drop":
                    self.close_connection = True
                    return
                status, headers, out = got
                self.send_response_only(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                self.send_header("content-length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do_PUT = do_DELETE = serve

            def log_message(self, *a):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that went away

        self.http = Server(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{prefix}"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()

    def of(self, what):
        return [r for r in self.requests if r.path.split("?")[0] == f"{self.prefix}/agent/{what}"]

    def on(self, what, *answers):
        """The next requests get these in turn, the last one for ever; None: the usual."""
        left = list(answers)

        def act(r):
            a = left.pop(0) if len(left) > 1 else left[0]
            a = a(r) if callable(a) else a
            return a if a is not None else self.usual(r)
        self.answers[what if what.startswith("/") else f"{self.prefix}/agent/{what}"] = act

    @staticmethod
    def vps(hostname):
        return 200, {"content-type": "application/json"}, json.dumps(
            {"id": "0b1c2d3e-0000-4000-8000-000000000001", "hostname": hostname, "status": "active", "tags": []}).encode()

    @staticmethod
    def error(status, text="no", **headers):
        return status, {"content-type": "application/json", **headers}, json.dumps({"error": text}).encode()

    def usual(self, r):
        path = r.path.split("?")[0]
        if self.key and r.header("x-api-key") != self.key:
            return self.error(401, "Unauthorized")
        if path == f"{self.prefix}/agent/register":
            self.check(r)
            keys = [k for k, _ in r.pairs]
            assert keys in REGISTER, keys
            b = r.json
            assert isinstance(b["ssh_port"], int) and isinstance(b["ip_addresses"], list)
            for row in dict(r.pairs)["ip_addresses"]:
                assert [k for k, _ in row] == ["ip", "label"] and all(isinstance(v, str) for _, v in row), row
            self.check_info(r)
            return self.vps(b["hostname"])
        if path == f"{self.prefix}/agent/heartbeat":
            self.check(r)
            keys = [k for k, _ in r.pairs]
            assert keys in (["hostname", "system_info"], ["hostname", "system_info", "ip_addresses"]), keys
            self.check_info(r)
            if not self.of("register"):
                return self.error(404, "Not found")
            return self.vps(r.json["hostname"])
        return 404, {}, b""

    @staticmethod
    def check(r):
        assert r.method == "POST"
        names = sorted(k for k, _ in r.headers)
        assert names in (["accept", "content-length", "content-type", "host"], ["accept", "content-length", "content-type", "host", "x-api-key"]), names
        assert r.header("content-type") == "application/json" and r.header("accept") == "*/*"
        assert int(r.header("content-length")) == len(r.raw)

    @staticmethod
    def check_info(r):
        info = dict(r.pairs)["system_info"]
        keys = [k for k, _ in info]
        assert keys == sorted(keys) and set(keys) <= set(INFO), keys
        assert set(INFO) - set(keys) <= {"metrics_port", "port_scan"}, keys
        d = dict(info)
        for k in ("cpu_cores", "disk_gb", "ram_mb", "uptime_seconds"):
            assert type(d[k]) is int and d[k] >= 0, (k, d[k])
        assert len(d["load_avg"]) in (0, 3) and all(type(x) is float for x in d["load_avg"]), d["load_avg"]
