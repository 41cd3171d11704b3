"""A bad network, made with network namespaces: cut cables, half-open connections, a server that is gone."""
import pathlib
import time

import netns
import pytest
from conftest import Server, job_done, tasks_of, unsanitized, until
from netns import sh


@pytest.fixture
def cable(tmp):
    """Two namespaces with a veth pair: server 10.99.0.1, agent 10.99.0.2."""
    ns_s = netns.new()
    ns_a = netns.new()
    r = sh("ip", "link", "add", "vs", "netns", ns_s, "type", "veth", "peer", "name", "va", "netns", ns_a)
    assert r.returncode == 0, r.stdout
    for ns, dev, addr in ((ns_s, "vs", "10.99.0.1/24"), (ns_a, "va", "10.99.0.2/24")):
        sh("ip", "-n", ns, "addr", "add", addr, "dev", dev)
        sh("ip", "-n", ns, "link", "set", dev, "up")
        sh("ip", "-n", ns, "link", "set", "lo", "up")

    class Cable:
        server_ns, agent_ns = ns_s, ns_a

        @staticmethod
        def down():
            """Packets vanish: neither side hears a FIN or a reset."""
            for ns in (ns_s, ns_a):
                sh("ip", "netns", "exec", ns, "iptables", "-I", "INPUT", "!", "-i", "lo", "-j", "DROP")

        @staticmethod
        def up():
            for ns in (ns_s, ns_a):
                sh("ip", "netns", "exec", ns, "iptables", "-F", "INPUT")

    yield Cable
    netns.free(ns_s, ns_a)


def test_a_name_that_somebody_has_is_no_reason_to_skip():
    taken = netns.new()
    ours = taken
    try:
        ours = netns.new(iter([taken, f"{taken}-b"]))
        assert ours == f"{taken}-b"
    finally:
        netns.free(taken, ours)


class NsServer(Server):
    """Runs in the namespace; spoken to over its local socket by the command line."""

    def __init__(self, dir, ns, **kw):
        super().__init__(dir, base=8120, **kw)
        self.ns = ns

    def start(self, wait=True):
        from conftest import BUILD, Proc
        self.proc = Proc(["ip", "netns", "exec", self.ns, BUILD / "musterd", "--state-dir", self.state, "--listen", "0.0.0.0:8120"],
                         self.dir / "musterd.log")
        until(lambda: self.cli("status").returncode == 0, 20, f"the server; log: {self.proc.log[-2000:]}")
        return self

    def api(self, method, path, body=None, expect=None, **kw):
        raise NotImplementedError

    def get(self, path, **kw):
        import http.client, json, socket

        class C(http.client.HTTPConnection):
            def connect(conn):
                conn.sock = socket.socket(socket.AF_UNIX)
                conn.sock.connect(str(self.sock))
        c = C("localhost")
        c.request("GET", path)
        r = c.getresponse()
        assert r.status == 200, r.read()
        return json.loads(r.read())


@pytest.fixture
def apart(cable, fleet):
    import json
    s = NsServer(fleet.dir / "s", cable.server_ns)
    s.start()
    token = json.loads(s.cli("token", "create", "--auto-approve", "--json", check=0).stdout)["token"]
    a = fleet.agent(s, token=None, start=False, wrap=["ip", "netns", "exec", cable.agent_ns])
    a.start(token=token, server_addr="10.99.0.1:8120")
    a.host = a.wait_ready()
    yield s, a, cable
    if s.proc.alive():
        s.stop()


def test_a_half_open_connection_is_noticed_within_30_seconds_on_both_sides(apart):
    s, a, cable = apart
    hid = a.host["id"]
    cable.down()
    t0 = time.monotonic()
    until(lambda: s.get(f"/api/v1/agents/{hid}")["status"] in ("stale", "disconnected"), 30, "the server to notice")
    until(lambda: "connection lost" in a.log or "disconnected" in a.log or "link" in a.log.split("connected", 1)[-1], 30, "the agent to notice")
    until(lambda: any(e["event_type"] == "agent.disconnected" and e["details"]["code"] == "net.timeout"
                      for e in s.get("/api/v1/events")["events"]), 30, "the server to say what it knows")
    assert time.monotonic() - t0 < 35  # the wall clock is the promise here
    cable.up()
    until(lambda: s.get(f"/api/v1/agents/{hid}")["status"] == "ready", 70, "the host to be back")


def test_a_cut_in_the_middle_of_a_command_loses_no_output(apart, tmp):
    s, a, cable = apart
    import json
    go = tmp / "go"
    r = s.cli("run", a.host["name"], "--detach", "--json", "--", "sh", "-c",
              f"seq 1 1000; while [ ! -e {go} ]; do sleep 0.1; done; seq 1001 2000; exit 5", check=0)
    j = json.loads(r.stdout)["id"]
    until(lambda: tasks_of(s, j)[0]["stdout_bytes"] > 0, what="output")
    cable.down()
    go.touch()
    until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["status"] in ("stale", "disconnected"), 40, "the server to notice")
    cable.up()
    job_done(s, j, 90)
    assert tasks_of(s, j)[0]["exit_code"] == 5
    assert s.cli("job", j, "--logs").stdout == "".join(f"{i}\n" for i in range(1, 2001))


def test_beyond_loopback_http_is_https_and_needs_a_credential(apart):
    s, a, cable = apart
    r = sh("ip", "netns", "exec", cable.agent_ns, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "http://10.99.0.1:8122/api/v1/agents")
    assert r.stdout != "200"
    r = sh("ip", "netns", "exec", cable.agent_ns, "curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "https://10.99.0.1:8122/api/v1/agents")
    assert r.stdout == "401"
    r = sh("ip", "netns", "exec", cable.agent_ns, "curl", "-sk", "-m", "5", "https://10.99.0.1:8122/healthz")
    assert r.stdout == "ok"


@unsanitized
def test_an_agent_whose_server_is_gone_stays_flat(fleet):
    s = fleet.server()
    a = fleet.agent(s, start=False, env={"MUSTER_TEST_BACKOFF_MS": "2"})
    a.start(token=s.token())
    a.wait_ready()
    s.stop()
    pid = a.proc.p.pid

    # Clean pages of libraries count as private, too, once no other process has them mapped: not ours to judge.
    def private_kb():
        return sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Private_Dirty"))

    def fds():
        return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
    # Its first inventory may still be under way on a busy machine: from when nothing has grown for two seconds.
    seen = [(time.monotonic(), private_kb())]

    def is_settled():
        now, kb = time.monotonic(), private_kb()
        if kb > seen[-1][1] + 16:
            seen.append((now, kb))
        return now - seen[-1][0] > 2
    until(is_settled, 60, what="memory that stays")
    before, f0 = private_kb(), fds()
    end = time.monotonic() + 8
    until(lambda: time.monotonic() > end, what="thousands of attempts")
    # A collector that is at work just now gives back what it took; what attempts leave behind would only grow.
    most = before + 128 * (10 if "asan" in str(a.proc.argv[0]) else 1)
    until(lambda: private_kb() <= most and abs(fds() - f0) <= 2, 60, what=f"at most {most} KB and {f0} descriptors again")
