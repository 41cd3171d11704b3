"""Real processes on loopback: a server, agents, the command line. Every wait is on a condition, with a deadline."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("MUSTER_BUILD", ROOT / "build"))
SLOW = 4 if "asan" in BUILD.name else 1  # sanitized binaries get longer deadlines, never other conditions


# Memory figures and preloaded libraries mean nothing in a sanitized binary.
unsanitized = pytest.mark.skipif("asan" in BUILD.name, reason="not with a sanitized build")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: long; left out of the sanitized run")


def until(cond, timeout=15, what="condition"):
    """Waits until cond() is truthy and returns it; AssertionError after the deadline."""
    end = time.monotonic() + timeout * SLOW
    last = None
    while time.monotonic() < end:
        try:
            got = cond()
            if got:
                return got
        except (requests.RequestException, OSError, KeyError, IndexError, TypeError, json.JSONDecodeError) as e:
            last = e
        time.sleep(0.02)
    raise AssertionError(f"timed out after {timeout * SLOW} s waiting for {what}; last error: {last!r}")


# Below the ports that connections get by themselves (32768), or one of those has taken ours when a server comes back; and not
# where test_sigma_agent.py counts what is used.
BASES = [*range(10000, 24000, 4), *range(30000, 32700, 4)]


def free_base():
    """A base port whose two successors are free too."""
    for base in random.sample(BASES, 200):
        with contextlib.ExitStack() as st:
            try:
                for p in (base, base + 1, base + 2):
                    s = st.enter_context(socket.socket())
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind(("127.0.0.1", p))
                return base
            except OSError:
                continue
    raise AssertionError("no free ports")


class Proc:
    """One child process with its output in a file."""

    def __init__(self, argv, log, env=None, cwd=None, **kw):
        self.log_path = pathlib.Path(log)
        self.argv = [str(a) for a in argv]
        self._out = open(log, "ab")
        full = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_") or k == "MUSTER_BUILD"}
        full.update(env or {})
        self.p = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self._out, stderr=subprocess.STDOUT, env=full,
                                  cwd=cwd, **kw)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.p.poll() is None

    def wait(self, timeout=15):
        try:
            return self.p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv[0]} did not end in time; log:\n{self.log[-3000:]}") from None

    def term(self, timeout=15):
        if self.alive():
            self.p.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill9(self):
        if self.alive():
            self.p.kill()
        self.p.wait()
        self._out.close()


class Server:
    def __init__(self, dir, base=None, args=(), host="127.0.0.1", env=None):
        self.dir = pathlib.Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.state = self.dir / "server"
        self.base = base or free_base()
        self.host = host
        self.args = list(args)
        self.env = env or {}
        self.proc = None

    url = property(lambda s: f"http://{s.host}:{s.base + 2}")
    sock = property(lambda s: s.state / "musterd.sock")
    log = property(lambda s: s.proc.log)

    def start(self, wait=True):
        self.proc = Proc([BUILD / "musterd", "--dev", "--state-dir", self.state, "--listen", f"{self.host}:{self.base}",
                          *self.args], self.dir / "musterd.log", env=self.env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            assert self.proc.alive(), f"musterd ended with {self.proc.p.returncode}:\n{self.proc.log[-4000:]}"
            return requests.get(self.url + "/readyz", timeout=5).status_code == 200
        until(ready, 20, "server ready")

    def stop(self):
        return self.proc.term()

    def kill9(self):
        self.proc.kill9()

    def api(self, method, path, body=None, expect=None, **kw):
        r = requests.request(method, self.url + path, json=body, timeout=30 * SLOW, **kw)
        if expect:
            assert r.status_code == expect, f"{method} {path}: {r.status_code} {r.text[:500]}"
        return r

    def get(self, path, **kw):
        return self.api("GET", path, expect=200, **kw).json()

    def agents(self):
        return self.get("/api/v1/agents")["agents"]

    def where_is_it(self):
        """What the newest job is waiting for, as far as the server knows."""
        try:
            job = self.get("/api/v1/jobs?limit=1")["jobs"][0]
            return f"job {job}\ntasks {tasks_of(self, job['id'])}\nagents {self.agents()}\nlog {self.log[-2000:]}"
        except Exception as e:  # noqa: BLE001 - only decoration of a failure that is being reported
            return f"(the server could not be asked: {e!r})"

    def token(self, **kw):
        body = {"uses": 1, "ttl": "10m", "auto_approve": True, **kw}
        return self.api("POST", "/api/v1/tokens", body, expect=201).json()["token"]

    def cli(self, *args, input=None, timeout=60, check=None, env=None, text=True):
        """Runs `muster`; check=N asserts the exit code."""
        full = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
        full.update({"MUSTER_SERVER": f"unix:{self.sock}", "HOME": str(self.dir), "LC_ALL": "C.UTF-8"})
        full.update(env or {})
        kw = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        # The short-lived command line is not looked at for leaks: the checker stops the world with ptrace, once per call.
        full["ASAN_OPTIONS"] = full.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        try:
            r = subprocess.run([str(BUILD / "muster"), *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text,
                               timeout=timeout * SLOW, env=full, **kw)
        except subprocess.TimeoutExpired as e:
            raise AssertionError(f"muster {args} hangs; stdout {e.stdout!r}, stderr {e.stderr!r}\n{self.where_is_it()}") from None
        if check is not None:
            assert r.returncode == check, f"muster {args}: exit {r.returncode}\nstdout: {r.stdout[-2000:]}\nstderr: {r.stderr[-2000:]}"
        return r


class Agent:
    def __init__(self, server, dir, name=None, args=(), env=None, wrap=()):
        self.server = server
        self.dir = pathlib.Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.state = self.dir / "agent"
        self.args = list(args)
        self.env = env or {}
        self.wrap = list(wrap)
        self.proc = None

    log = property(lambda s: s.proc.log)

    def start(self, token=None, server_addr=None, extra=()):
        env = dict(self.env)
        if token:
            env["MUSTER_TOKEN"] = token
        addr = server_addr or f"127.0.0.1:{self.server.base}"
        self.proc = Proc([*self.wrap, BUILD / "muster-agent", "--state-dir", self.state, "--server", addr, *self.args, *extra],
                         self.dir / "agent.log", env=env)
        return self

    def stop(self):
        return self.proc.term()

    def kill9(self):
        self.proc.kill9()

    @property
    def uuid(self):
        ids = [json.loads(f.read_text()).get("host_id") for f in self.state.glob("*.json") if "host_id" in f.read_text()]
        return ids[0] if ids else None

    def wait_ready(self):
        def ready():
            assert self.proc.alive(), f"agent ended with {self.proc.p.returncode}:\n{self.proc.log[-4000:]}"
            return [a for a in self.server.agents() if a["status"] in ("ready", "busy") and a["id"] == self.uuid]
        return until(ready, 20, f"agent ready; log:\n{self.proc.log[-2000:]}")[0]


def reap_holds(dir):
    """Ends the holds and commands a test left behind: by the pids in its own task directories only."""
    for started in pathlib.Path(dir).rglob("tasks/*/started"):
        try:
            pid = int(started.read_text().split()[0])
            os.killpg(pid, signal.SIGKILL)
        except (OSError, ValueError, IndexError):
            pass


@pytest.fixture
def tmp(request):
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-flow-"))
    yield d
    reap_holds(d)
    if not os.environ.get("MUSTER_KEEP"):
        shutil.rmtree(d, ignore_errors=True)


@pytest.fixture
def fleet(tmp):
    """Makes servers and agents that are ended with the test."""
    made = []

    class Fleet:
        dir = tmp

        @staticmethod
        def server(name="s", start=True, **kw):
            s = Server(tmp / name, **kw)
            made.append(s)
            return s.start() if start else s

        @staticmethod
        def agent(server, name="a", token=True, start=True, **kw):
            a = Agent(server, tmp / name, **kw)
            made.append(a)
            if start:
                a.start(token=server.token() if token is True else token)
                if token is True:
                    a.host = a.wait_ready()
            return a

    yield Fleet
    problems = []
    for m in reversed(made):
        if m.proc and not m.proc.alive() and m.proc.p.returncode == 99:
            problems.append(m.proc.log[-6000:])
        if m.proc and m.proc.alive():
            m.proc.p.send_signal(signal.SIGTERM)
            try:
                m.proc.p.wait(15 * SLOW)
            except subprocess.TimeoutExpired:
                problems.append(f"{m.proc.argv} did not stop on SIGTERM; log:\n{m.proc.log[-3000:]}")
                m.proc.p.kill()
                m.proc.p.wait()
            if m.proc.p.returncode == 99:
                problems.append(m.proc.log[-6000:])
    assert not problems, "\n".join(problems)


@pytest.fixture
def pair(fleet):
    """A server and one approved agent, ready."""
    s = fleet.server()
    a = fleet.agent(s)
    return s, a


def job_done(server, job_id, timeout=20):
    return until(lambda: (j := server.get(f"/api/v1/jobs/{job_id}"))["state"] != "running" and j, timeout, f"job {job_id} done")


def tasks_of(server, job_id):
    return server.get(f"/api/v1/jobs/{job_id}/tasks")["tasks"]
