"""A sigma agent as the wire knows it (docs/wire/sigma.md): one keep-alive connection, exactly its headers in lower case, no User-Agent,
one register at the start and heartbeats for ever after, and its metrics port with /ports/allocate."""
import http.client
import json
import socket
import threading


class SigmaAgent:
    def __init__(self, base, hostname, key=None, alias=None, ips=(("203.0.113.7", ""),), ssh_port=22, metrics_port=9102):
        host = base.split("//")[1]
        self.authority = host
        self.conn = http.client.HTTPConnection(*host.split(":"), timeout=60)
        self.hostname, self.key, self.alias, self.ssh_port = hostname, key, alias, ssh_port
        self.ips = [{"ip": a, "label": b} for a, b in ips]
        self.info = {"cpu_cores": 2, "disk_gb": 251, "load_avg": [0.75, 0.48, 0.54], "metrics_port": metrics_port, "ram_mb": 24105,
                     "uptime_seconds": 2324}
        if not metrics_port:
            del self.info["metrics_port"]

    def post(self, path, body):
        """Status and document; the connection stays."""
        raw = json.dumps(body, separators=(",", ":")).encode()
        c = self.conn
        c.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for k, v in (("content-type", "application/json"), ("x-api-key", self.key), ("accept", "*/*"), ("host", self.authority),
                     ("content-length", str(len(raw)))):
            if v is not None:
                c.putheader(k, v)
        c.endheaders(raw)
        r = c.getresponse()
        text = r.read()
        self.headers = r.headers
        return r.status, json.loads(text)

    def register(self):
        body = {"hostname": self.hostname}
        if self.alias:
            body["alias"] = self.alias
        body.update({"ip_addresses": self.ips, "ssh_port": self.ssh_port, "system_info": self.info})
        return self.post("/api/agent/register", body)

    def heartbeat(self, **more):
        return self.post("/api/agent/heartbeat", {"hostname": self.hostname, "system_info": self.info, **more})

    def poll(self, wait=30):
        """Our extension: the questions about ports that wait."""
        self.conn.request("GET", f"/api/agent/port-requests?hostname={self.hostname}&wait={wait}", headers={"x-api-key": self.key})
        r = self.conn.getresponse()
        return r.status, json.loads(r.read())

    def close(self):
        self.conn.close()


class PortsStub:
    """The metrics port of an agent, answering POST /ports/allocate as @answer says: bytes of a whole HTTP reply, or a function of the
    request's document that returns (status, body)."""

    def __init__(self, answer, family=socket.AF_INET, addr="127.0.0.1"):
        self.answer, self.seen = answer, []
        self.sock = socket.socket(family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((addr, 0))
        self.sock.listen(16)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = s.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, body = data.partition(b"\r\n\r\n")
                want = 0
                for line in head.decode().split("\r\n")[1:]:
                    if line.lower().startswith("content-length:"):
                        want = int(line.split(":")[1])
                while len(body) < want:
                    body += s.recv(65536)
                self.seen.append((head.decode(), body.decode()))
                if callable(self.answer):
                    got = self.answer(json.loads(body))
                    if got is None:  # holds its tongue
                        while s.recv(4096):
                            pass
                        return
                    status, text = got
                    s.sendall(f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
                else:
                    s.sendall(self.answer)
            except OSError:
                pass

    def close(self):
        self.sock.close()
