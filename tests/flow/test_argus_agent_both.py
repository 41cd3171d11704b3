"""Our argus-agent and argus-report against our own server: from a token to a rerun that is stopped; kills of both sides; a network
that is cut in the middle."""
import http.client
import json
import os
import pathlib
import socket
import subprocess

import netns
import pytest
from argus_agent import now
from conftest import BUILD, Proc, Server, unsanitized, until
from netns import sh
from test_argus_agent import AGENT, ArgusAgent, certs, is_alive, lines, pss_kib  # noqa: F401 - a fixture

HOST = "gpu-1"


class LocalServer(Server):
    """Spoken to through its local socket: wherever its network is."""

    def call(self, method, path, body=None, token=None, expect=200):
        class Conn(http.client.HTTPConnection):
            def connect(conn):
                conn.sock = socket.socket(socket.AF_UNIX)
                conn.sock.settimeout(30)
                conn.sock.connect(str(self.sock))
        c = Conn("localhost")
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        c.request(method, path, json.dumps(body) if body is not None else None, headers)
        r = c.getresponse()
        text = r.read()
        assert expect is None or r.status == expect, f"{method} {path}: {r.status} {text[:500]}"
        return json.loads(text) if text else None

    def ready(self):
        self.call("GET", "/readyz")
        return True


class InNamespace(LocalServer):
    def __init__(self, dir, ns):
        super().__init__(dir, base=8120)
        self.ns = ns

    def start(self, wait=True):
        self.proc = Proc(["ip", "netns", "exec", self.ns, BUILD / "musterd", "--dev", "--state-dir", self.state, "--listen", "127.0.0.1:8120"],
                         self.dir / "musterd.log")
        until(self.ready, 20, "the server")
        return self


class Setting:
    """A server with a user, her reporter token, and her agent."""

    def __init__(self, server, dir, wrap=()):
        self.s, self.dir, self.wrap = server, dir, list(wrap)
        server.call("POST", "/api/v1/users", {"name": "ann", "role": "viewer", "password": "password of ann"}, expect=201)
        self.session = server.call("POST", "/api/auth/login", {"username_or_email": "ann", "password": "password of ann"})["access_token"]
        self.token = server.call("POST", "/api/tokens", {"name": "t", "scope": "reporter"}, self.session, 201)["token"]
        self.a = ArgusAgent(dir / "home", None, env={"ARGUS_URL": server.url, "ARGUS_AGENT_HOSTNAME": HOST, "ARGUS_AGENT_POLL_INTERVAL": "1s"})
        r = self.run("argus", "--register", ARGUS_TOKEN=self.token)
        assert r.returncode == 0, r.stderr
        assert (self.a.dir / "token.json").stat().st_mode & 0o777 == 0o600

    def run(self, *args, input=None, **env):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "ARGUS_"))}
        return subprocess.run([*self.wrap, BUILD / "muster-agent", *args], env={**full, **self.a.env, **env}, text=True, capture_output=True,
                              input=input or "", timeout=60)

    def start(self):
        self.a.proc = Proc([*self.wrap, *AGENT, "run"], self.a.home / "agent.log", env=self.a.env)
        until(lambda: [g for g in self.get("/api/agents") if g["online"]], what="the agent online")
        return self

    def get(self, path):
        return self.s.call("GET", path, token=self.token)

    def post(self, path, body=None, expect=200):
        return self.s.call("POST", path, body if body is not None else {}, self.token, expect)

    def report(self, *args, input=None, code=0, **env):
        r = self.run("argus-report", *args, input=input, ARGUS_TOKEN=self.token, ARGUS_PROJECT="vision", **env)
        assert r.returncode == code, f"{args}: {r.returncode} {r.stdout} {r.stderr}"
        return r

    def finished(self, batch, command, cwd=None, env=None):
        """A batch of the past, as a script with argus-report tells it."""
        self.report("event", "-b", batch, "-t", "batch_start", "--data", '{"experiment_type": "train", "n_total_jobs": 1}')
        self.report("event", "-b", batch, "-t", "env_snapshot", "--data", "-", input=json.dumps({"command": command, "cwd": cwd, "env": env or {}}))
        self.report("events", "-b", batch, input='{"event_type": "job_start", "job_id": "j1", "data": {"model": "m"}}\n'
                    '{"event_type": "job_done", "job_id": "j1", "data": {"status": "DONE"}}\n{"event_type": "batch_done"}\n')
        assert self.batch(batch)["status"] == "done"

    def batch(self, id):
        return self.get(f"/api/batches/{id}")

    def status(self, id, want, timeout=15):
        return until(lambda: (b := self.batch(id))["status"] == want and b, timeout, f"{id} {want}")

    def rerun(self, batch, **body):
        return self.post(f"/api/batches/{batch}/rerun", body, 201)["batch_id"]


@pytest.fixture
def setting(tmp):
    s = LocalServer(tmp / "s").start()
    x = Setting(s, tmp)
    yield x.start()
    x.a.proc.kill9()
    end_commands(x.a)
    s.kill9()


def end_commands(a):
    for c in a.state["commands"] if (a.dir / "state.json").exists() else []:
        if c["phase"] == "running" and c["pid"] > 1 and is_alive(c["pid"]):
            try:
                os.killpg(c["pid"], 9)
            except OSError:
                pass


# What a script does that reports by itself: until it is asked to stop, or signalled.
SCRIPT = """echo "$ARGUS_BATCH_ID" >> {dir}/runs
{report} event -t batch_start
{report} event -t job_start -j j1 --data '{{"model": "again"}}'
trap 'exit 0' TERM
while :; do sleep 1000 & wait; done"""


def script(x):
    report = f"env ARGUS_TOKEN_FILE={x.dir}/token ARGUS_PROJECT=vision {BUILD}/muster-agent argus-report"
    (x.dir / "token").write_text(x.token)
    return SCRIPT.format(dir=x.dir, report=report)


def test_from_token_to_stopped(setting):
    x = setting
    x.finished("b-1", script(x), cwd=str(x.dir), env={"EXTRA": "1"})
    assert x.batch("b-1")["rerun_allowed"] and x.batch("b-1")["agent_online"]
    child = x.rerun("b-1")
    x.status(child, "running")
    until(lambda: lines(x.dir / "runs"), what="the script")
    until(lambda: x.get(f"/api/batches/{child}/jobs"), what="events on the child")
    assert lines(x.dir / "runs") == [child]
    assert x.report("stopped", "-b", child, code=1).stdout == "go on\n"
    x.post(f"/api/batches/{child}/stop")
    x.report("wait-stopped", "-b", child, "--timeout", "30s", "--interval", "100ms")
    x.status(child, "stopped")
    assert x.report("stopped", "-b", child).stdout == "stop requested\n"
    assert lines(x.dir / "runs") == [child]
    hosts = json.loads(x.s.cli("hosts", "--json", check=0).stdout)
    assert "argus" in json.dumps(hosts) and HOST in json.dumps(hosts)


def test_a_script_that_asks_whether_to_stop_ends_itself_before_the_grace(setting):
    x = setting
    report = f"env ARGUS_TOKEN_FILE={x.dir}/token ARGUS_PROJECT=vision {BUILD}/muster-agent argus-report"
    (x.dir / "token").write_text(x.token)
    x.a.proc.term()
    x.a.env["ARGUS_AGENT_GRACE"] = "1h"
    x.start()
    x.finished("polite", f"trap '' TERM; {report} event -t batch_start; {report} wait-stopped --interval 100ms && {report} event -t batch_done; echo end >> {x.dir}/runs")
    child = x.rerun("polite")
    x.status(child, "running")
    x.post(f"/api/batches/{child}/stop")
    x.status(child, "stopped")
    until(lambda: lines(x.dir / "runs") == ["end"], what="its own end")


def test_over_https(tmp, certs):  # noqa: F811
    s = LocalServer(tmp / "s", args=["--tls-cert", certs[0], "--tls-key", certs[1]]).start()
    try:
        x = Setting(s, tmp)
        x.a.env["ARGUS_URL"] = f"https://localhost:{s.base + 2}"
        assert x.run("argus", "--reregister", ARGUS_TOKEN=x.token).returncode == 4  # signed by nobody the system knows
        x.a.env["ARGUS_CA_FILE"] = str(certs[0])
        r = x.run("argus", "--reregister", ARGUS_TOKEN=x.token)
        assert r.returncode == 0 and x.a.cache["argus_url"].startswith("https:"), r.stderr
        x.finished("b-6", "true")
        child = x.rerun("b-6")
        assert x.run("argus", "--once").returncode == 0
        until(lambda: x.run("argus", "--once").returncode == 0 and x.batch(child)["status"] == "done", what="its end told")
    finally:
        s.kill9()


def test_ends_become_states(setting):
    x = setting
    x.finished("good", "echo fine")
    x.finished("bad", "echo broken >&2; exit 3")
    x.finished("gone", "true", cwd="/nowhere/at/all")
    good, bad, gone = (x.rerun(b) for b in ("good", "bad", "gone"))
    x.status(good, "done")
    x.status(bad, "failed")
    until(lambda: "stale_env_path" in json.dumps(x.batch(gone)), what="the refusal")
    assert x.batch(gone)["status"] == "requested"


def test_kills_of_both_sides_run_it_once(setting):
    x = setting
    os.mkfifo(x.dir / "gate")
    x.finished("b-2", f"echo $$ >> {x.dir}/runs; cat {x.dir}/gate; exit 5")
    child = x.rerun("b-2")
    x.status(child, "running")
    until(lambda: lines(x.dir / "runs"))
    x.a.proc.kill9()
    x.s.kill9()
    x.s.start()
    x.start()
    x.s.kill9()
    (x.dir / "gate").write_text("ends while the server is away")
    until(lambda: x.a.state["commands"][-1]["phase"] == "over", what="its end")
    x.a.proc.kill9()
    x.s.start()
    x.start()
    assert "5" in json.dumps(x.status(child, "failed", 30))
    assert len(lines(x.dir / "runs")) == 1


def test_a_kill_of_the_server_before_it_hears_the_ack(setting):
    x = setting
    x.finished("b-3", f"echo ran >> {x.dir}/runs")
    child = x.rerun("b-3")
    x.s.kill9()  # before or after the poll, before or after the ack
    x.s.start()
    x.status(child, "done", 70)
    assert lines(x.dir / "runs") == ["ran"]


def test_a_revoked_agent_ends_itself(setting):
    x = setting
    agent = x.get("/api/agents")[0]["id"]
    x.post(f"/api/agents/{agent}/revoke", expect=204)
    assert x.a.proc.wait(60) == 3


def test_two_users_of_a_host_told_apart_by_label(setting):
    x = setting
    two = ArgusAgent(x.dir / "two", None, env={**x.a.env, "HOME": str(x.dir / "two"), "ARGUS_AGENT_LABEL": "bob"})
    full = {**os.environ, **two.env, "ARGUS_TOKEN": x.token}
    subprocess.run([*AGENT, "register"], env=full, check=True, capture_output=True, timeout=60)
    assert two.cache["agent_id"] != x.a.cache["agent_id"]
    two.proc = Proc([*AGENT, "run"], two.home / "agent.log", env=two.env)
    try:
        until(lambda: len([g for g in x.get("/api/agents") if g["online"]]) == 2, what="both")
        event = {"event_type": "batch_start", "batch_id": "of-bob", "source": {"project": "vision", "host": HOST, "user": "bob"}}
        done = {**event, "event_type": "batch_done"}
        snap = {**event, "event_type": "env_snapshot", "data": {"command": f'echo "$HOME" > {x.dir}/who'}, "timestamp": now()}
        x.report("events", input="\n".join(map(json.dumps, (event, snap, done))))
        x.status(x.rerun("of-bob"), "done")
        assert lines(x.dir / "who") == [str(x.dir / "two")]
    finally:
        two.proc.kill9()


@unsanitized
def test_memory_on_a_long_poll(setting):
    x = setting
    x.finished("b-4", "echo hello")
    for _ in range(5):
        x.status(x.rerun("b-4"), "done")
    pss = pss_kib(x.a.proc.p.pid)
    print(f"argus-agent: {pss} KiB PSS")
    assert pss <= 8192


# -- a network that is cut

@pytest.fixture
def island(tmp):
    """Server and agent in a network of their own, whose loopback can be cut."""
    ns = netns.new()
    sh("ip", "-n", ns, "link", "set", "lo", "up")
    s = InNamespace(tmp / "s", ns).start()
    x = Setting(s, tmp, wrap=["ip", "netns", "exec", ns])
    x.cut = lambda: sh("ip", "netns", "exec", ns, "iptables", "-I", "INPUT", "-j", "DROP")
    x.mend = lambda: sh("ip", "netns", "exec", ns, "iptables", "-F", "INPUT")
    yield x.start()
    x.a.proc.kill9()
    end_commands(x.a)
    s.kill9()
    netns.free(ns)


def test_a_cut_network_loses_nothing_and_runs_nothing_twice(island):
    x = island
    os.mkfifo(x.dir / "gate")
    x.finished("b-5", f"echo ran >> {x.dir}/runs; cat {x.dir}/gate; exit 8")
    child = x.rerun("b-5")
    x.status(child, "running")
    assert x.cut().returncode == 0
    (x.dir / "gate").write_text("ends while nobody can be told")
    until(lambda: x.a.state["commands"][-1]["phase"] == "over", what="its end")
    assert x.rerun("b-5") == child, "for all that the server knows it runs: this is the same wish"
    other = x.rerun("b-5", name="again")
    r = x.report("event", "-b", child, "-t", "log_line", "--data", '{"line": "kept"}')
    assert "kept for later" in r.stderr
    spool = list((x.a.home / ".argus-reporter").glob("*.jsonl"))
    assert len(spool) == 1 and pathlib.Path(spool[0]).stat().st_mode & 0o777 == 0o600
    x.mend()
    x.status(child, "failed", 120)
    x.status(other, "running", 120)
    (x.dir / "gate").write_text("and again")
    x.status(other, "failed", 60)
    x.report("flush")
    assert not list((x.a.home / ".argus-reporter").glob("*.jsonl"))
    assert "kept" in json.dumps(x.get(f"/api/batches/{child}/log-lines"))
    assert lines(x.dir / "runs") == ["ran", "ran"]
