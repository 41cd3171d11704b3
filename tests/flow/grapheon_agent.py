"""A Graphēon agent of its own: standard library only, urllib as the foreign one uses it, and its delta algorithm written from the
description (docs/wire/grapheon.md), not from our code. With ext=True it keeps digests and tells removals; else it is as upstream."""
import gzip
import hashlib
import json
import urllib.error
import urllib.request
import uuid

SECTIONS = ("addresses", "neighbors", "connections", "routes")
VERSION = "0.3.0"

# As captured from an agent with fixture tools.
ADDRESSES = [
    {"interface": "eth0", "ip_address": "192.0.2.5", "mac_address": "02:00:00:00:00:05", "prefix_length": 24},
    {"interface": "eth0", "ip_address": "fe80::5", "mac_address": "02:00:00:00:00:05", "prefix_length": 64},
    {"interface": "tun0", "ip_address": "198.51.100.9", "mac_address": None, "prefix_length": 32},
]
NEIGHBORS = [
    {"interface": "eth0", "ip_address": "192.0.2.1", "mac_address": "02:00:00:00:00:01", "state": "reachable"},
    {"interface": "eth0", "ip_address": "192.0.2.77", "mac_address": None, "state": "failed"},
]
CONNECTIONS = [
    {"local_ip": "0.0.0.0", "local_port": 22, "pid": 900, "process_name": "sshd", "protocol": "tcp", "remote_ip": "0.0.0.0",
     "remote_port": None, "state": "listen"},
    {"local_ip": "127.0.0.53", "local_port": 53, "pid": 620, "process_name": "systemd-resolve", "protocol": "udp",
     "remote_ip": "0.0.0.0", "remote_port": None, "state": "unknown"},
    {"local_ip": "192.0.2.5", "local_port": 443, "pid": None, "process_name": None, "protocol": "tcp", "remote_ip": "198.51.100.21",
     "remote_port": 40001, "state": "time_wait"},
    {"local_ip": "::ffff:c000:205", "local_port": 8080, "pid": 77, "process_name": "java", "protocol": "tcp",
     "remote_ip": "::ffff:c633:6418", "remote_port": 41000, "state": "established"},
]
ROUTES = [
    {"destination": "192.0.2.0/24", "gateway": None, "interface": "eth0", "source_ip": "192.0.2.5"},
    {"destination": "default", "gateway": "192.0.2.1", "interface": "eth0", "source_ip": "192.0.2.5"},
]


def canonical(row):
    return json.dumps(row, sort_keys=True, separators=(",", ":"))


def digest(section, rows):
    """As the page defines it."""
    total, n = 0, 0
    for text in sorted({canonical(r) for r in rows}):
        h = hashlib.sha256(b"muster.row\0" + section.encode() + b"\0" + text.encode()).digest()
        total = (total + int.from_bytes(h, "little")) % (1 << 256)
        n += 1
    return {"count": n, "sha256": total.to_bytes(32, "little").hex()}


class Refused(Exception):
    def __init__(self, status, body, headers):
        super().__init__(f"{status}: {body[:300]!r}")
        self.status, self.body, self.headers = status, body, headers

    json = property(lambda s: json.loads(s.body))


def call(url, path, body, headers=None, raw=None):
    data = raw if raw is not None else json.dumps(body).encode()
    req = urllib.request.Request(url + path, data=data, headers={"Content-Type": "application/json", **(headers or {})}, method="POST")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(req, timeout=60) as r:
            got = json.loads(r.read().decode("utf-8"))
            assert isinstance(got, dict), got
            got["_headers"] = dict(r.headers)
            return got
    except urllib.error.HTTPError as e:
        raise Refused(e.code, e.read(), e.headers) from None


class GrapheonAgent:
    def __init__(self, server, hostname="host-a", ext=False, claim=None, agent_uuid=None):
        self.url, self.hostname, self.ext, self.claim = server.url, hostname, ext, claim
        self.uuid = agent_uuid or str(uuid.uuid4())
        self.api_key, self.sequence, self.last, self.epoch = None, 0, None, uuid.uuid4().hex
        self.want_full = False
        self.now = {"addresses": list(ADDRESSES), "neighbors": list(NEIGHBORS), "connections": list(CONNECTIONS), "routes": list(ROUTES)}

    def register(self, enrollment_key, **more):
        body = {"enrollment_key": enrollment_key, "agent_uuid": self.uuid, "display_name": None, "hostname": self.hostname,
                "site_name": "S", "agent_version": VERSION, "platform": "linux", "platform_release": "6.1.0",
                "metadata": {"runtime": "python-stdlib", "timer_model": "systemd-oneshot"}, "addresses": self.now["addresses"]}
        if self.claim:
            body.update(claim=self.claim, claim_sha256=hashlib.sha256(self.claim.encode()).hexdigest())
        got = call(self.url, "/api/agents/register", {**body, **more})
        if got["status"] == "active" and got["api_key"]:
            self.api_key = got["api_key"]
        return got

    def report(self, **more):
        """What the next check-in would say, and the snapshot it stands for."""
        snapshot = {s: sorted(self.now[s], key=canonical) for s in SECTIONS}
        full = self.last is None or self.want_full
        body = {"agent_uuid": self.uuid, "observed_at": utc(), "sequence_number": self.sequence + 1, "full_snapshot": full,
                "hostname": self.hostname, "agent_version": VERSION, "platform": "linux", "platform_release": "6.1.0",
                "metadata": {"runtime": "python-stdlib", "delta_mode": "set-diff"}}
        old = {s: set() if full else {canonical(r) for r in self.last[s]} for s in SECTIONS}
        for s in SECTIONS:
            body[s] = [r for r in snapshot[s] if canonical(r) not in old[s]]
        if self.ext:
            body["state_epoch"] = self.epoch
            body["digest"] = {s: digest(s, snapshot[s]) for s in SECTIONS}
            if not full:
                body["removed"] = {s: [r for r in self.last[s] if canonical(r) not in {canonical(x) for x in snapshot[s]}]
                                   for s in SECTIONS}
        return {**body, **more}, snapshot

    def send(self, body, **headers):
        h = {"X-Agent-Api-Key": self.api_key, "Content-Encoding": "gzip", **headers}
        return call(self.url, "/api/agents/check-in", None, h, raw=gzip.compress(json.dumps(body).encode()))

    def check_in(self, **more):
        body, snapshot = self.report(**more)
        got = self.send(body)
        self.last, self.sequence = snapshot, body["sequence_number"]
        self.want_full = bool(got.get("resync"))
        return got


def utc():
    import datetime
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
