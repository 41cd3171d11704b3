"""Our Graphēon agent in front of our server: what one tells the other records, through kills, cuts and lost answers."""
import json
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import BUILD, SLOW, unsanitized, until

from grapheon_mock import ADMIN, Mock
from test_grapheon_agent import IP_NEIGH, IP_ROUTE, SECTIONS, SS, Console, Host, many, prepared

THEIRS = {"addresses": "addresses", "neighbors": "neighbours", "connections": "connections", "routes": "routes"}


@pytest.fixture
def server(fleet):
    return fleet.server()


@pytest.fixture
def host(server, tmp_path):
    h = Host(tmp_path, server.url)
    h.policy, h.enrollment_key = prepared(Console(server.url))
    h.run("--enrollment-key", h.enrollment_key, "--register-only", "--hostname", "host-a")
    return h


def recorded(server, section):
    h = next(x for x in server.agents() if x["dialect"] == "grapheon")
    r = server.api("GET", f"/api/v1/agents/{h['id']}/inventory/{THEIRS[section]}?limit=1000")
    return len(r.json()["rows"]) if r.status_code == 200 else 0


def checkins(server):
    api = Console(server.url)
    return api("GET", f"/{api('GET', '')['items'][0]['id']}/checkins")["items"]


def agree(server, host):
    last = host.json()["last_snapshot"]
    assert last, "the server asked for everything anew"
    for s in SECTIONS:
        assert recorded(server, s) == len(last[s]), s


def test_a_random_life_never_needs_a_resync(server, host):
    rnd = random.Random(7)
    for _ in range(15):
        n = rnd.randrange(0, 60)
        host.tools.set(ss=SS * rnd.randrange(2) + many(n, rnd.randrange(0, 40)), neigh=rnd.sample(IP_NEIGH, rnd.randrange(3)))
        out = host.run("--force").stderr
        assert "anew" not in out and "refused" not in out, out
        agree(server, host)
    assert [c["sequence_number"] for c in checkins(server)] == list(range(15, 0, -1))


def keys(server, section):
    h = next(x for x in server.agents() if x["dialect"] == "grapheon")
    return [r["key"] for r in server.get(f"/api/v1/agents/{h['id']}/inventory/{THEIRS[section]}?limit=1000")["rows"]]


def test_listeners_on_every_address_are_taken_as_rows_and_as_texts(server, host):
    host.tools.set(ss=SS)
    assert "without them" not in host.run("--force").stderr
    assert recorded(server, "connections") == 4
    assert "sshd" in server.cli("inventory", "host-a", "connections", check=0).stdout

    plain = host.json()["last_snapshot"]
    host.tools.set(route=[*IP_ROUTE, {"dst": "2001:db8::/48", "metric": 5, "pref": "medium", "nexthops": [{"gateway": "2001:db8::1", "dev": "eth0", "weight": 1},
                                                                                                   {"gateway": "2001:db8::2", "dev": "eth0", "weight": 3}]}])
    for more in ([], ["--extended-rows"], [], ["--extended-rows"]):  # other rows, and what they take the place of is gone
        assert "anew" not in host.run("--force", *more).stderr
        agree(server, host)
        assert ("2001:db8::/48 metric 5" in keys(server, "routes")) == bool(more)
        assert more or {**host.json()["last_snapshot"], "routes": 0} == {**plain, "routes": 0}
    shown = {s: server.cli("inventory", "host-a", s, "-o", "json", check=0).stdout for s in ("routes", "connections")}
    assert '"nexthops":[{"gateway":"2001:db8::1","interface":"eth0","weight":1},{' in shown["routes"].replace(" ", "")
    assert '"owners":[{"pid":1,"process":"systemd"},{"pid":900,"process":"sshd"}]' in shown["connections"].replace(" ", "")
    assert "NEXTHOPS" in server.cli("inventory", "host-a", "routes", check=0).stdout

    rows = {s: keys(server, s) for s in SECTIONS}
    assert "refused" not in host.run("--force", "--raw", "--extended-rows").stderr  # what the server reads is what the agent read
    assert {s: keys(server, s) for s in SECTIONS} == rows and not host.json()["last_snapshot"]
    last = max(checkins(server), key=lambda c: c["sequence_number"])
    assert not last["full_snapshot"] and last["content_encoding"] == "gzip" and not last["flags"]
    host.tools.set(neigh=IP_NEIGH[:1], ss=SS + "nonsense\n")
    assert "refused 1 rows" in host.run("--force", env={"GRAPHEON_AGENT_RAW": "yes"}).stderr
    assert len(keys(server, "neighbors")) == 1 and keys(server, "connections") == rows["connections"]
    host.tools.put("ip", "exit 3")  # no text: what is recorded stays
    assert "failed with code 3" in host.run("--force", "--raw").stderr
    assert len(keys(server, "neighbors")) == 1 and keys(server, "routes") == rows["routes"]
    host.tools.put("ip", 'cat "$D/$2.out"')
    host.run("--force")  # and back: a full report of rows
    agree(server, host)

    # too much for one report: rows, in pieces
    Console(server.url)("PATCH", f"/policies/{host.policy}", {"max_report_bytes": 16384, "collectors": ["ip_neigh", "ss_tunap", "docker_ps"]})
    host.run("--force", "--raw")
    host.tools.set(ss=many(400))
    out = host.run("--force", "--raw").stderr
    assert "do not fit into one report: sending rows" in out and "in pieces" in out
    assert recorded(server, "connections") == 400

    # what the policy lists runs, and nothing else
    status = host.run("status").stdout
    assert "ip_neigh: runs" in status and "ip_addr: disabled" in status and "docker_ps: missing" in status
    host.tools.set(addr=[], neigh=[])
    host.run("--force")
    assert keys(server, "addresses") == rows["addresses"] and not keys(server, "neighbors")
    assert checkins(server)[0]["flags"] == ["collectors_missing"]


def test_a_large_report_arrives_in_pieces_and_whole(server, host):
    api = Console(server.url)
    api("PATCH", f"/policies/{host.policy}", {"max_report_bytes": 65536, "target_version": "9.9"})
    # on the way: which version is wanted, said by both
    assert "Version 9.9 is wanted here" in host.run("--force").stderr and "9.9 is wanted here, this is" in host.run("status").stdout
    assert api("GET", "")["items"][0]["version_skew"] is True
    api("PATCH", f"/policies/{host.policy}", {"target_version": None})
    assert "wanted" not in host.run("--force").stderr and "wanted" not in host.run("status").stdout
    host.tools.set(ss=many(900))
    assert "in pieces" in host.run("--force").stderr
    agree(server, host)
    host.tools.set(ss=many(400, 700))
    host.run("--force")
    agree(server, host)


def test_a_killed_server_is_told_on_the_next_run(server, host):
    host.run("--force")
    server.kill9()
    before = host.snapshot()
    host.run("--force", expect=1)
    assert host.snapshot() == before
    server.start()
    host.tools.set(neigh=IP_NEIGH[:1])
    assert "anew" not in host.run("--force").stderr
    agree(server, host)


class Cut:
    """A way to the server that can lose the answer: the request arrives, the connection ends."""

    def __init__(self, port):
        self.port, self.lose = port, 0
        self.s = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.s.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        with c, socket.create_connection(("127.0.0.1", self.port)) as up:
            head = b""
            while b"\r\n\r\n" not in head:
                head += c.recv(65536)
            want = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            body = head.split(b"\r\n\r\n", 1)[1]
            while len(body) < want:
                more = c.recv(65536)
                head, body = head + more, body + more
            up.sendall(head)
            answer = up.recv(1 << 20)
            if self.lose:
                self.lose -= 1
                return
            while answer:
                c.sendall(answer)
                up.settimeout(0.3)
                try:
                    answer = up.recv(1 << 20)
                except TimeoutError:
                    return


def test_a_lost_answer_loses_nothing(server, host):
    way = Cut(server.base + 2)
    host.url = way.url
    host.run("--force")
    host.tools.set(neigh=[])
    way.lose = 1
    host.run("--force", expect=1)  # the server has it, the agent does not know
    host.tools.set(neigh=IP_NEIGH[:1], ss="")
    assert "under the next number" in host.run("--force").stderr
    agree(server, host)
    assert [c["sequence_number"] for c in checkins(server)] == [3, 2, 1]
    way.lose = 1  # and within one run: the same body again is the same report
    host.tools.set(ss=SS)
    assert "anew" not in host.run("--force", "--retries", "2").stderr
    agree(server, host)
    assert [c["sequence_number"] for c in checkins(server)] == [4, 3, 2, 1]


def test_a_key_whose_answer_was_lost_is_issued_anew(server, host):
    first = host.key
    (host.state / "api_key").unlink()
    host.run("--enrollment-key", host.enrollment_key, "--register-only")
    assert host.key != first
    host.run("--force")
    second = host.key
    (host.state / "api_key").write_text(first + "\n")
    assert "HTTP 40" in host.run("--force", expect=1).stderr
    (host.state / "api_key").write_text(second + "\n")
    host.run("--force")


def test_a_link_takes_what_was_told_along_and_the_agent_goes_on(fleet, server, host):
    host.run("--force")
    a = fleet.agent(server, "native")
    server.cli("link", a.host["name"], "host-a", check=0)
    server.kill9()
    server.start()
    api = f"/api/v1/agents/{a.host['id']}"
    assert a.wait_ready()["status"] == "ready"  # at once: it has another agent, which is not late
    until(lambda: server.get(api)["connected_at"], what="our agent to be back")
    assert [h["name"] for h in server.agents()] == [a.host["name"]] and "native+grapheon" in server.cli("hosts", check=0).stdout
    assert server.get(api + "/history?section=reported_routes")["changes"] == []  # a first report is no change

    def told(section):
        return len(server.get(f"{api}/inventory/reported_{THEIRS[section]}?limit=1000")["rows"])
    for n in range(2):  # the first run tells what is new only
        host.tools.set(neigh=IP_NEIGH[:n], ss=SS if n else "")
        assert "anew" not in host.run("--force").stderr
        last = host.json()["last_snapshot"]
        assert last and all(told(s) == len(last[s]) for s in SECTIONS)
    assert any(c["section"] == "reported_neighbours" for c in server.get(api + "/history?limit=100")["changes"])
    own = server.get(f"{api}/inventory/addresses")["rows"]
    assert any(r["key"].startswith("lo ") or "127.0.0.1" in r["key"] for r in own)


def test_muster_revoke_reaches_the_agent(server, host):
    host.run("--force")
    server.cli("revoke", "host-a", check=0)
    assert "HTTP 403" in host.run("--force", expect=1).stderr


# -- against the mock: TLS and size

@pytest.fixture
def mock():
    m = Mock()
    yield m
    m.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes a certificate")
def test_a_self_signed_server_needs_its_ca_or_no_check(mock, tmp_path):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=t", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    _, enrollment = prepared(Console(mock.url, ADMIN))
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert, key)
    mock.server.socket = ctx.wrap_socket(mock.server.socket, server_side=True)
    h = Host(tmp_path, mock.url.replace("http:", "https:"))
    assert "certificate" in h.run("--enrollment-key", enrollment, expect=1).stderr
    h.run("--enrollment-key", enrollment, "--ca-file", cert)
    h.run("--force", "--insecure-skip-verify")
    h.url = h.url.replace("127.0.0.1", "localhost")
    assert "not for" in h.run("--force", "--ca-file", cert, expect=1).stderr
    assert "CA" in h.run("--force", "--ca-file", key, expect=1).stderr


@unsanitized
def test_a_waiting_run_is_small(mock, tmp_path):
    h = Host(tmp_path, mock.url)
    _, enrollment = prepared(Console(mock.url, ADMIN))
    h.run("--enrollment-key", enrollment, "--register-only")
    mock.sleeps(3)
    p = subprocess.Popen(h.argv("--force", "--collector", "netlink"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**h.env, "PATH": str(h.tools.dir)})
    n = len(mock.requests)
    until(lambda: len(mock.requests) > n, what="the report")
    rollup = pathlib.Path(f"/proc/{p.pid}/smaps_rollup").read_text()
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    p.wait(30 * SLOW)
    print(f"{pss} KiB")
    assert pss < 8192
