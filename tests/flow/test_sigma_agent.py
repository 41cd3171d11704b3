"""muster-agent as sigma-agent against a strict server of nobody's: what goes over the wire, what it does when things go wrong, its metrics
server and its port scan."""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
import requests
from conftest import BUILD, ROOT, Proc, unsanitized, until
from sigma_mock import SigmaMock

J = {"Content-Type": "application/json"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Agent:
    def __init__(self, dir, name, url, *args, env=None, key="k1", wrap=(), lookups="", argv=None):
        self.metrics_port = free_port()
        self.args = ["--api-url", url, "--interval", "1", "--hostname", name, "--metrics-port", self.metrics_port, "--metrics-bind", "127.0.0.1",
                     "--public-ip-url", lookups, "--log", "debug", *args]
        self.env = {**({"SIGMA_API_KEY": key} if key else {}), **(env or {})}
        self.proc = Proc([*wrap, *(argv or [BUILD / "muster-agent", "sigma"]), *self.args], dir / f"{re.sub('[^a-z0-9]', '_', name)}.log", env=self.env)

    log = property(lambda s: s.proc.log)
    ends_with = 0

    def kill9(self):
        self.proc.kill9()
        self.ends_with = -9

    def url(self, path):
        return f"http://127.0.0.1:{self.metrics_port}{path}"

    def allocate(self, count, headers=None, **more):
        return requests.post(self.url("/ports/allocate"), data=json.dumps({"count": count, **more}), headers={**J, **(headers or {})}, timeout=20)

    def metrics(self):
        r = requests.get(self.url("/metrics"), timeout=10)
        assert r.status_code == 200 and r.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return dict(re.findall(r"^(\w+\{.*\}) (\S+)$", r.text, re.M))

    def value(self, name, **labels):
        for k, v in self.metrics().items():
            if k.startswith(name + "{") and all(f'{a}="{b}"' in k for a, b in labels.items()):
                return float(v)
        raise KeyError(name)


def cpu_ticks(proc):
    """What a process or a thread has used, children left out."""
    f = pathlib.Path(proc, "stat").read_text().rsplit(")", 1)[1].split()
    return int(f[11]) + int(f[12])


@pytest.fixture
def mock():
    made = []

    def make(**kw):
        made.append(SigmaMock(**kw))
        return made[-1]
    yield make
    for m in made:
        m.close()
    for m in made:
        assert not m.faults, "\n".join(m.faults)


@pytest.fixture
def agent(tmp):
    made = []

    def make(url, *args, name=f"h{os.getpid()}", **kw):
        made.append(Agent(tmp, name, url, *args, **kw))
        return made[-1]
    make.tmp = tmp
    yield make
    for a in made:
        assert a.proc.term() == a.ends_with, a.log[-3000:]


def tree(tmp, addresses=("10.1.2.3",), name="root"):
    root = tmp / name
    for path, text in {"/proc/cpuinfo": "processor : 0\nprocessor : 1\n", "/proc/meminfo": "MemTotal: 24683519 kB\n", "/proc/uptime": "2324.5 1.0\n",
                       "/proc/loadavg": "0.75 0.48 0.54 1/2 3\n"}.items():
        f = root / path[1:]
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text(text)
    trie(root, addresses)
    return root


def trie(root, addresses):
    text = "Main:\n" + "".join(f"     |-- {a}\n        /32 host LOCAL\n" for a in addresses)
    f = root / "proc/net/fib_trie"
    f.parent.mkdir(parents=True, exist_ok=True)
    new = f.with_suffix(".new")
    new.write_text(text + text.replace("Main", "Local"))
    new.rename(f)


# -- what goes over the wire

def test_register_and_heartbeats_are_the_seeds_byte_for_byte(mock, agent):
    m = mock(key="k1")
    root = tree(agent.tmp, ["203.0.113.7", "10.1.2.3"])
    a = agent(m.url + "///", "--root", root, "--alias", "a.example", "--ssh-port", "2222", name="h1")
    until(lambda: len(m.of("heartbeat")) >= 3, what=f"heartbeats; {a.log}")
    disk = os.statvfs(root)
    info = ('{"cpu_cores":2,"disk_gb":%d,"load_avg":[0.75,0.48,0.54],"metrics_port":%d,"ram_mb":24104,"uptime_seconds":2324}'
            % (disk.f_blocks * disk.f_frsize >> 30, a.metrics_port))
    first = m.requests[0]
    assert first.path == "/api/agent/register"
    assert first.raw.decode() == ('{"hostname":"h1","alias":"a.example","ip_addresses":[{"ip":"10.1.2.3","label":"internal"},{"ip":"203.0.113.7","label":""}],'
                                  '"ssh_port":2222,"system_info":%s}' % info)
    assert m.of("heartbeat")[0].raw.decode() == '{"hostname":"h1","system_info":%s}' % info
    assert len(m.of("register")) == 1
    assert len({r.conn for r in m.requests}) == 1, "one connection, kept"
    assert "metrics_port" in first.raw.decode() and "alias" in first.raw.decode()
    gaps = [y.at - x.at for x, y in zip(m.requests, m.requests[1:])]
    assert gaps[0] > 0.7, "the first heartbeat comes an interval after the registration"


def test_without_a_key_there_is_no_header_and_without_a_metrics_port_no_field(mock, agent):
    m = mock()
    agent(m.url, "--metrics-port", "0", key=None)
    until(lambda: m.of("heartbeat"), what="a heartbeat")
    assert all(r.header("x-api-key") is None for r in m.requests)
    assert all("metrics_port" not in r.json["system_info"] for r in m.of("register"))


def test_the_environment_says_everything_too(mock, tmp):
    m = mock(key="from env")
    port = free_port()
    p = Proc([BUILD / "muster-agent", "sigma"], tmp / "a.log", env={
        "SIGMA_API_URL": m.url, "SIGMA_API_KEY": "from env", "AGENT_INTERVAL": "1", "AGENT_HOSTNAME": "env-host", "AGENT_ALIAS": "al", "AGENT_SSH_PORT": "99",
        "AGENT_METRICS_PORT": str(port), "AGENT_PORT_SCAN": "true", "AGENT_PORT_SCAN_RANGE": "24000-24009", "AGENT_PORT_SCAN_INTERVAL": "1",
        "AGENT_PUBLIC_IP_URL": "none", "RUST_LOG": "sigma_agent=debug"})
    until(lambda: m.of("heartbeat"), what=f"a heartbeat; {p.log}")
    b = m.of("register")[0].json
    assert (b["hostname"], b["alias"], b["ssh_port"], b["system_info"]["metrics_port"]) == ("env-host", "al", 99, port)
    until(lambda: m.of("heartbeat")[-1].json["system_info"].get("port_scan"), what="the scan")
    scan = m.of("heartbeat")[-1].json["system_info"]["port_scan"]
    assert (scan["start"], scan["end"], scan["total"], scan["max_count"]) == (24000, 24009, 10, 100)
    assert "DEBUG" in p.log
    assert p.term() == 0


def test_exit_codes(tmp):
    def code(*args, argv=(BUILD / "muster-agent", "sigma"), **env):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("AGENT_", "SIGMA_"))}
        return subprocess.run([*map(str, argv), *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                              env={**full, **env}).returncode
    assert code("--help") == 0 and code("--version") == 0
    assert code("--nonsense") == 2 and code("word") == 2 and code("--interval", "x") == 2 and code("--ssh-port") == 2
    for bad in ("TRUE", "", "2"):
        assert code(AGENT_PORT_SCAN=bad) == 2, bad
    for bad in ("0-5", "7-6", "1-65536", "x", "5"):
        assert code("--port-scan", "--port-scan-range", bad) == 1, bad
    assert code("--api-url", "ftp://x") == 2
    link = tmp / "sigma-agent"
    link.symlink_to(BUILD / "muster-agent")
    r = subprocess.run([str(link), "--help"], stdout=subprocess.PIPE, text=True, timeout=30)
    assert r.returncode == 0 and "--port-scan-range" in r.stdout and "sigma" in r.stdout
    assert "sigma-agent" in subprocess.run([str(BUILD / "muster-agent"), "--help"], stdout=subprocess.PIPE, text=True, timeout=30).stdout


def test_a_bad_range_is_no_matter_while_the_scan_is_off(mock, agent):
    m = mock()
    agent(m.url, "--port-scan-range", "nonsense", key=None)
    until(lambda: m.of("register"), what="registering")


# -- when things go wrong

def test_a_failed_registration_is_tried_again_and_heartbeats_wait(mock, agent):
    m = mock()
    m.on("register", SigmaMock.error(500, "database on fire"), SigmaMock.error(500), None)
    a = agent(m.url)
    until(lambda: m.of("heartbeat"), what=f"a heartbeat; {a.log}")
    regs = m.of("register")
    assert len(regs) == 3 and regs[-1].at < m.of("heartbeat")[0].at
    assert regs[1].at - regs[0].at > 0.7 and regs[2].at - regs[1].at > 1.5, [r.at for r in regs]
    assert "database on fire" in a.log


def test_404_registers_anew(mock, agent):
    m = mock()
    a = agent(m.url)
    until(lambda: m.of("heartbeat"), what="a heartbeat")
    m.on("heartbeat", SigmaMock.error(404, "Not found"), None)
    until(lambda: len(m.of("register")) == 2, what=f"registering anew; {a.log}")
    n = len(m.of("heartbeat"))
    until(lambda: len(m.of("heartbeat")) > n + 1, what="heartbeats again")
    assert len(m.of("register")) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_and_not_repeated_at_once(mock, agent, status):
    m = mock()
    m.on("register", SigmaMock.error(status, "Unauthorized"), None)
    m.on("heartbeat", SigmaMock.error(status, "Unauthorized"), None)
    a = agent(m.url, "--auth-backoff", "2s")
    until(lambda: len(m.of("heartbeat")) >= 2, 20, what=f"heartbeats; {a.log}")
    regs, beats = m.of("register"), m.of("heartbeat")
    assert len(regs) == 2 and regs[1].at - regs[0].at > 1.9
    assert beats[1].at - beats[0].at > 1.9
    assert "refuses our key" in a.log and "Unauthorized" in a.log


def test_retry_after_is_honoured(mock, agent):
    m = mock()
    m.on("register", SigmaMock.error(503, "later", **{"retry-after": "3"}), None)
    m.on("heartbeat", SigmaMock.error(429, "slowly", **{"retry-after": "3"}), None)
    agent(m.url)
    until(lambda: len(m.of("heartbeat")) >= 2, 20, what="heartbeats")
    regs, beats = m.of("register"), m.of("heartbeat")
    assert regs[1].at - regs[0].at > 2.9
    assert beats[1].at - beats[0].at > 2.9


def test_a_silent_server_does_not_silence_the_agent(mock, agent):
    m = mock()
    m.on("register", "hang", None)
    m.on("heartbeat", "hang", None)
    a = agent(m.url, "--request-timeout", "1s")
    until(lambda: len(m.of("heartbeat")) >= 3, 20, what=f"heartbeats; {a.log}")
    assert a.log.count("does not answer") == 2


def test_a_server_that_breaks_off_or_answers_nonsense_is_met_again(mock, agent):
    m = mock()
    m.on("heartbeat", "drop", (200, {}, b"<html>"), (204, {}, b""), (200, {}, b'{"id":null,"hostname":"h","status":"active"}'),
         (200, {}, b'{"hostname":"h","status":"active"}'), (500, {}, b'{"error":{"not":"text"}}'), (201, {}, SigmaMock.vps("h")[2]), None)
    a = agent(m.url)
    until(lambda: len(m.of("heartbeat")) >= 8, 30, what=f"heartbeats; {a.log}")
    assert a.log.count("answer cannot be read") == 4, a.log
    assert "not" in a.log and "text" in a.log, "an error that is no text is shown as it is"
    assert len(m.of("register")) == 1


def test_the_key_stays_in_its_origin(mock, agent):
    m, stranger = mock(key="k1"), mock()
    m.on("register", (302, {"location": f"{m.url}/elsewhere"}, b""), (307, {"location": f"{stranger.url}/agent/register"}, b""),
         (308, {"location": f"//127.0.0.1:{stranger.port}/api/agent/register"}, b""), (307, {"location": "/api/agent/moved"}, b""))
    m.on("/api/agent/moved", (308, {"location": f"{m.url}/agent/moved2"}, b""))
    m.on("/api/agent/moved2", lambda r: m.vps(r.json["hostname"]))
    a = agent(m.url)
    until(lambda: m.of("heartbeat"), 30, what=f"a heartbeat; {a.log}")
    assert [r.method for r in m.of("moved2")] == ["POST"] and m.of("moved2")[0].raw == m.of("register")[-1].raw
    assert m.of("moved2")[0].header("x-api-key") == "k1"
    assert not m.of("elsewhere"), "a POST must not become a GET"
    assert stranger.requests == []
    assert "not followed" in a.log


def test_a_redirect_in_a_circle_ends(mock, agent):
    m = mock()
    m.on("register", (307, {"location": "/api/agent/register"}, b""))
    agent(m.url)
    until(lambda: len(m.of("register")) >= 12, what="two rounds")
    gaps = [y.at - x.at for x, y in zip(m.of("register"), m.of("register")[1:])]
    assert max(gaps[:12]) > 0.7, "after some hops it waits"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_with_0(mock, tmp, how):
    m = mock()
    m.on("register", "hang")
    a = Agent(tmp, "h", m.url, "--port-scan")
    until(lambda: m.of("register"), what="registering")
    a.proc.p.send_signal(how)
    assert a.proc.wait(10) == 0, "it does not wait for the server that hangs"


# -- addresses

def test_others_are_asked_for_the_address_in_turn(mock, agent):
    m = mock()
    asked = mock(prefix="")
    asked.on("/a", (503, {}, b"203.0.113.1"))
    asked.on("/b", (200, {}, b"<html>203.0.113.2</html>"))
    asked.on("/c", (200, {}, b"203.0.113.3" + b" " * 80))
    asked.on("/d", "drop")
    asked.on("/e/", (200, {}, b" 2001:db8::7\n"))
    asked.on("/f", (200, {}, b"203.0.113.6"))
    base = f"http://127.0.0.1:{asked.port}"
    root = tree(agent.tmp, ["10.1.2.3", "100.64.0.9", "172.17.0.1"])
    agent(m.url, "--root", root, lookups=",".join(base + p for p in ("/a", "/b", "/c", "/d", "/e/", "/f")))
    until(lambda: len(m.of("heartbeat")) >= 2, what="heartbeats")
    # a dropped idle connection may be opened anew once
    assert [r.path for i, r in enumerate(asked.requests) if i == 0 or asked.requests[i - 1].path != r.path] == ["/a", "/b", "/c", "/d", "/e/"]
    assert all(r.header("user-agent") is None and r.header("x-api-key") is None for r in asked.requests)
    assert m.of("register")[0].json["ip_addresses"] == [{"ip": "10.1.2.3", "label": "internal"}, {"ip": "100.64.0.9", "label": "cgnat"},
                                                        {"ip": "2001:db8::7", "label": ""}]
    assert len([r for r in asked.requests if r.path == "/e/"]) == 1, "once in ten minutes"


def test_nobody_is_asked_when_an_address_is_public_or_given(mock, agent):
    m, asked = mock(), mock(prefix="")
    url = f"http://127.0.0.1:{asked.port}/"
    agent(m.url, "--root", tree(agent.tmp, ["203.0.113.7"]), lookups=url, name="a")
    agent(m.url, "--root", tree(agent.tmp, ["10.0.0.1"], "r2"), "--public-ip", "198.51.100.9", lookups=url, name="b")
    until(lambda: len(m.of("register")) == 2, what="registering")
    assert asked.requests == []
    b = [r.json for r in m.of("register") if r.json["hostname"] == "b"][0]
    assert [x["ip"] for x in b["ip_addresses"]] == ["10.0.0.1", "198.51.100.9"]


def test_registering_goes_on_when_nobody_knows_the_address(mock, agent):
    m = mock()
    a = agent(m.url, "--root", tree(agent.tmp), lookups=f"http://127.0.0.1:{free_port()}/,nonsense://x")
    until(lambda: m.of("heartbeat"), what=f"a heartbeat; {a.log}")
    assert [x["ip"] for x in m.of("register")[0].json["ip_addresses"]] == ["10.1.2.3"]


def test_new_addresses_are_told_until_they_are_taken(mock, agent):
    m = mock()
    root = tree(agent.tmp, ["203.0.113.7"])
    agent(m.url, "--root", root)
    until(lambda: m.of("heartbeat"), what="a heartbeat")
    m.on("heartbeat", SigmaMock.error(500), None)
    trie(root, ["203.0.113.7", "203.0.113.8"])
    until(lambda: len([r for r in m.of("heartbeat") if "ip_addresses" in r.json]) == 2, what="the news, twice")
    n = len(m.of("heartbeat"))
    until(lambda: len(m.of("heartbeat")) >= n + 2, what="heartbeats")
    told = [r.json.get("ip_addresses") for r in m.of("heartbeat")]
    assert len([t for t in told if t]) == 2 and told[-1] is None
    assert [x["ip"] for x in [t for t in told if t][-1]] == ["203.0.113.7", "203.0.113.8"]


# -- the metrics server

def test_a_taken_metrics_port_is_no_reason_to_stay_away(mock, agent):
    m = mock()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        port = s.getsockname()[1]
        a = agent(m.url, "--metrics-port", port)
        until(lambda: m.of("heartbeat"), what="a heartbeat")
        assert "cannot listen" in a.log and "metrics_port" not in m.of("heartbeat")[-1].json["system_info"]
    until(lambda: m.of("heartbeat")[-1].json["system_info"].get("metrics_port") == port, what="the port, once it is free")
    assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=10).text == "ok"


def test_metrics_without_a_scan_are_zero_and_allocations_503(mock, agent):
    m = mock()
    a = agent(m.url, name='we"ird\\host')
    until(lambda: a.metrics(), what="metrics")
    text = requests.get(a.url("/metrics"), timeout=10).text
    assert 'sigma_ports_total{hostname="we\\"ird\\\\host"} 0' in text
    assert 'sigma_port_scan_duration_seconds{hostname="we\\"ird\\\\host"} 0.000' in text
    r = a.allocate(1)
    assert r.status_code == 503 and r.headers["content-type"].startswith("text/plain") and "not enabled" in r.text
    assert a.allocate(1, {"Accept": "application/json"}).json() == {"error": r.text}
    until(lambda: a.value("sigma_heartbeat_last_success_timestamp_seconds") > time.time() - 30, what="a heartbeat")
    assert a.value("sigma_heartbeat_failures_total") == 0


def listening(port=0, listen=True, reuse=False):
    s = socket.socket()
    if reuse:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    if listen:
        s.listen(5)
    return s


def quiet_range(n):
    """n ports in a row nobody has."""
    for base in range(24000, 30000, n):
        try:
            for p in range(base, base + n):
                listening(p).close()
            return base
        except OSError:
            continue
    raise AssertionError("no quiet range")


@pytest.mark.parametrize("method", ["bind", "strict", "netlink"])
def test_a_scan_sees_who_has_what_and_allocations_avoid_it(mock, agent, method):
    m = mock()
    base = quiet_range(20)
    with listening(base), listening(base + 2), listening(base + 4, listen=False, reuse=True):
        a = agent(m.url, "--port-scan", "--port-scan-range", f"{base}-{base + 19}", "--scan-method", method, "--port-scan-interval", "1", "--source",
                  "python=pytho")
        until(lambda: a.value("sigma_ports_total") == 20, what="a scan")
        used = 2 if method == "bind" else 3
        assert a.value("sigma_ports_available") == 20 - used and a.value("sigma_ports_in_use") == used
        by = {s: a.value("sigma_ports_used", source=s) for s in ("envoy", "sshd", "nginx", "node_exporter", "other", "unknown", "python")}
        assert by["python"] == 2 and sum(by.values()) == used and by["unknown"] == used - 2, by
        want = [base + 1, base + 3] + ([base + 4, base + 5] if method == "bind" else [base + 5, base + 6])
        for _ in range(3):
            r = a.allocate(4)
            assert r.status_code == 200 and r.json() == {"ports": want}
        r = a.allocate(21)
        assert r.status_code == 409 and str(20 - used) in r.text and "21" in r.text


def test_owners_by_the_words_of_ss(mock, agent):
    base = quiet_range(5)
    bin = agent.tmp / "bin"
    bin.mkdir()
    (bin / "ss").write_text("#!/bin/sh\necho heading\necho 'tcp LISTEN 0 5 0.0.0.0:%d 0.0.0.0:* users:((\"envoy\",pid=1,fd=3))'\n" % base)
    (bin / "ss").chmod(0o755)
    with listening(base), listening(base + 1):
        a = agent(mock().url, "--port-scan", "--port-scan-range", f"{base}-{base + 4}", "--scan-owners", "ss", env={"PATH": f"{bin}:{os.environ['PATH']}"})
        until(lambda: a.value("sigma_ports_used", source="envoy") == 1, what="envoy")
        assert a.value("sigma_ports_used", source="unknown") == 1


def test_two_callers_with_leases_never_get_the_same(mock, agent):
    base = quiet_range(20)
    a = agent(mock().url, "--port-scan", "--port-scan-range", f"{base}-{base + 19}", "--scan-method", "netlink", "--port-scan-interval", "1")
    until(lambda: a.value("sigma_ports_total") == 20, what="a scan")
    one, two = a.allocate(5, ttl_seconds=60, owner="one").json(), a.allocate(5, ttl_seconds=60, owner="two").json()
    assert not set(one["ports"]) & set(two["ports"]) and one["lease"] != two["lease"]
    until(lambda: a.value("sigma_ports_reserved") == 10, what="reserved")
    leases = requests.get(a.url("/ports/leases"), timeout=10).json()["leases"]
    assert {x["owner"]: x["ports"] for x in leases} == {"one": one["ports"], "two": two["ports"]}
    with listening(one["ports"][0]):
        until(lambda: a.value("sigma_ports_reserved") == 9, what="a bound port to leave its lease")
    assert requests.delete(a.url(f"/ports/leases/{two['lease']}"), timeout=10).status_code == 200
    assert requests.delete(a.url(f"/ports/leases/{two['lease']}"), timeout=10).status_code == 404
    again = until(lambda: (r := a.allocate(5)).status_code == 200 and r.json(), what="an allocation")
    assert set(two["ports"]) & set(again["ports"])


def test_the_token_is_for_ports_only(mock, agent):
    a = agent(mock().url, "--port-scan", "--port-scan-range", "24000-24009", "--metrics-token", "t0ken")
    until(lambda: a.metrics(), what="metrics")
    assert a.allocate(1).status_code == 401
    assert a.allocate(1, {"Authorization": "Bearer t0ken"}).status_code == 200
    assert b"t0ken" not in pathlib.Path(f"/proc/{a.proc.p.pid}/cmdline").read_bytes()


def test_leases_survive_a_kill(mock, agent):
    m = mock()
    base = quiet_range(10)
    args = ["--port-scan", "--port-scan-range", f"{base}-{base + 9}", "--state-dir", agent.tmp / "sigma-state"]
    a = agent(m.url, *args)
    until(lambda: a.value("sigma_ports_total") == 10, what="a scan")
    one = a.allocate(2, ttl_seconds=600, owner="me").json()
    a.kill9()
    b = agent(m.url, *args, name="again")
    until(lambda: b.value("sigma_ports_reserved") == 2, what="the lease")
    kept = requests.get(b.url("/ports/leases"), timeout=10).json()["leases"]
    assert [(x["id"], x["owner"], x["ports"], x["expires_at"]) for x in kept] == [(one["lease"], "me", [base, base + 1], one["expires_at"])]
    assert b.allocate(1).json() == {"ports": [base + 2]}
    blocked = agent.tmp / "sigma-state/port-leases.json.tmp~"
    blocked.mkdir()  # as on a full disk: what is still written down would come back
    r = requests.delete(b.url(f"/ports/leases/{one['lease']}"), timeout=10)
    assert r.status_code == 500 and "port-leases.json" in r.text and b.value("sigma_ports_reserved") == 2
    blocked.rmdir()
    assert requests.delete(b.url(f"/ports/leases/{one['lease']}"), timeout=10).json() == {"released": True}
    b.kill9()
    c = agent(m.url, *args, name="third")
    until(lambda: c.value("sigma_ports_total") == 10, what="a scan")
    assert requests.get(c.url("/ports/leases"), timeout=10).json() == {"leases": []}


def test_metrics_and_heartbeats_go_on_while_20001_ports_are_scanned(mock, agent):
    m = mock()
    a = agent(m.url, "--port-scan", "--port-scan-interval", "1", "--scan-method", "bind")
    until(lambda: a.value("sigma_ports_total") == 20001, what="a scan")
    pid = a.proc.p.pid
    loop, all_of_it = cpu_ticks(f"/proc/{pid}/task/{pid}"), cpu_ticks(f"/proc/{pid}")
    ends, beats = set(), len(m.of("heartbeat"))
    until(lambda: ends.add(a.value("sigma_port_scan_last_success_timestamp_seconds")) or len(ends) > 3, 60, "some scans")
    until(lambda: len(m.of("heartbeat")) > beats, what="a heartbeat")
    loop, all_of_it = cpu_ticks(f"/proc/{pid}/task/{pid}") - loop, cpu_ticks(f"/proc/{pid}") - all_of_it
    # Whose thread scans cannot answer meanwhile.
    assert loop < all_of_it / 2, f"the loop's thread used {loop} of {all_of_it} ticks"


@unsanitized
def test_the_agent_is_small(mock, agent):
    m = mock()
    a = agent(m.url, "--port-scan", "--port-scan-interval", "1", "--scan-method", "netlink")
    until(lambda: a.value("sigma_ports_total") == 20001 and len(m.of("heartbeat")) > 2, what="work")
    for _ in range(4):
        a.allocate(50)
    pss = int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{a.proc.p.pid}/smaps_rollup").read_text(), re.M).group(1))
    assert pss <= 8 * 1024, f"{pss} kB"


def test_every_metric_of_the_dashboard_is_one_of_ours(mock, agent):
    a = agent(mock().url)
    until(lambda: a.metrics(), what="metrics")
    ours = {k.split("{")[0] for k in a.metrics()}
    for file in ("port-scan.json", "port-scan-alerts.yaml"):
        text = (ROOT / "packaging/grafana" / file).read_text()
        names = set(re.findall(r"\bsigma_\w+", text))
        assert names and names <= ours, names - ours
    dash = json.loads((ROOT / "packaging/grafana/port-scan.json").read_text())
    assert dash["uid"] == "sigma-port-scan" and dash["title"] == "Sigma Port Scan" and dash["time"]["from"] == "now-6h"
    assert {"sigma", "port-scan", "envoy"} <= set(dash["tags"])
    ids = [p["id"] for p in dash["panels"]]
    assert len(ids) == len(set(ids))
    assert [p["title"] for p in dash["panels"] if p["type"] == "row"] == ["Overview", "Over time", "Details", "All Hosts"]
    for p in dash["panels"]:  # thresholds ascend, or Grafana picks the wrong colour
        steps = [s["value"] for s in p.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])]
        assert steps[1:] == sorted(steps[1:]) and (not steps or steps[0] is None), p["title"]


# -- questions that are fetched

def questions(*rows):
    return 200, {"content-type": "application/json"}, json.dumps({"requests": list(rows)}).encode()


def test_questions_are_fetched_and_answered(mock, agent):
    m = mock(key="k1")
    base = quiet_range(10)
    m.on("port-requests", questions({"id": 17, "count": 3, "ttl_seconds": 0, "owner": ""}, {"id": 18, "count": 2, "ttl_seconds": 60, "owner": "x"},
                                    {"id": 19, "count": 11, "ttl_seconds": 0, "owner": ""}, {"id": 20, "count": 101, "ttl_seconds": 0, "owner": ""}),
         "hang")
    m.on("port-answers", (200, {}, b'{"accepted":true}'))
    agent(m.url, "--port-scan", "--port-scan-range", f"{base}-{base + 9}", name="we ird/h")
    got = until(lambda: len(m.of("port-answers")) == 4 and [r.json for r in m.of("port-answers")], what="answers")
    assert m.of("port-requests")[0].path == "/api/agent/port-requests?hostname=we%20ird%2Fh&wait=30"
    assert m.of("port-requests")[0].header("x-api-key") == "k1"
    assert got[0] == {"hostname": "we ird/h", "id": 17, "ports": [base, base + 1, base + 2]}
    assert got[1]["ports"] == [base, base + 1] and len(got[1]["lease"]) == 36 and got[1]["expires_at"].endswith("Z") and "error" not in got[1]
    assert (got[2]["id"], got[2]["error"]) == (19, "ports.too_few") and "ports" not in got[2] and got[2]["message"]
    assert (got[3]["id"], got[3]["error"]) == (20, "ports.count")
    until(lambda: len(m.of("port-requests")) == 2, what="the next poll")
    beats = len(m.of("heartbeat"))
    until(lambda: len(m.of("heartbeat")) >= beats + 2, what="heartbeats beside a poll that hangs")


def test_a_server_without_the_route_is_asked_once_a_registration(mock, agent):
    m = mock()
    a = agent(m.url, "--port-scan", "--port-scan-range", "24000-24009")
    until(lambda: len(m.of("heartbeat")) >= 3, what="heartbeats")
    assert len(m.of("port-requests")) == 1, a.log
    m.on("heartbeat", SigmaMock.error(404), None)
    until(lambda: len(m.of("register")) == 2 and len(m.of("port-requests")) == 2, what="asked again")


def test_a_host_that_is_known_again_asks_at_once(mock, agent):
    m = mock()
    m.on("heartbeat", SigmaMock.error(500))
    m.on("port-requests", SigmaMock.error(409))
    agent(m.url, "--port-scan", "--port-scan-range", "24000-24009")
    until(lambda: len(m.of("port-requests")) == 3, 30, what="polls that rest longer and longer")
    m.on("port-requests", "hang")
    failed = len(m.of("heartbeat"))
    m.on("heartbeat", None)
    until(lambda: len(m.of("port-requests")) == 4, what="the next poll")
    assert len(m.of("heartbeat")) - failed <= 2, "it rested on: four seconds and more"


def test_a_front_page_for_everything_is_no_list_of_questions(mock, agent):
    m = mock()
    m.on("port-requests", (200, {"content-type": "text/html"}, b"<html>welcome</html>"))
    agent(m.url, "--port-scan", "--port-scan-range", "24000-24009")
    until(lambda: len(m.of("heartbeat")) >= 3, what="heartbeats")
    assert len(m.of("port-requests")) == 1


def test_a_server_that_does_not_wait_is_not_asked_in_circles(mock, agent):
    m = mock()
    m.on("port-requests", questions())
    agent(m.url, "--port-scan", "--port-scan-range", "24000-24009")
    until(lambda: len(m.of("heartbeat")) >= 3, what="heartbeats")
    assert len(m.of("port-requests")) <= 5


def test_without_a_scan_nothing_is_fetched(mock, agent):
    m = mock()
    agent(m.url)
    agent(m.url, "--port-scan", "--no-port-requests", "--port-scan-range", "24000-24009", name="other")
    until(lambda: len(m.of("heartbeat")) >= 4, what="heartbeats")
    assert not m.of("port-requests")
