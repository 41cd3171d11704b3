#!/usr/bin/env python3
"""`make bench`: every figure of docs/performance.md, measured on this machine. Server on core 0, simulator on core 1.

    bench/run.py [FIGURE...] [--agents 10000] [--runs 5] [--peers DIR] [--out FILE.md]
    figures: start memory cpu burst storm checkin fanout command agent refused sigma grapheon ports personalities

Each figure is measured --runs times; median, minimum and maximum are a table row. With --peers (see bench/peers.py fetch) the peers that do
the same work are measured between our rounds, one round of ours, one of each of theirs. Nothing here is a test."""
import argparse
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import accents
import personalities
from measure import cpu_s, markdown, pinned, private_kb, row, smaps
from peers import WANTED, Agents, Peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("MUSTER_BUILD", ROOT / "build"))
STARTED = []  # simulators and agents, ended with the run however it ends
SETTLE = 15  # seconds between the last connect and the reading of memory, for us and for peers


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    def __init__(self, dir, base=18120, one_core=True):
        self.dir, self.base, self.p, self.one_core = pathlib.Path(dir), base, None, one_core

    def start(self):
        t0 = time.perf_counter()
        self.log = open(self.dir / "musterd.log", "ab")
        self.p = subprocess.Popen([BUILD / "musterd", "--dev", "--state-dir", self.dir / "state", "--listen", f"127.0.0.1:{self.base}",
                                   "--log-level", "warn"], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                  preexec_fn=pinned(0) if self.one_core else None)
        while True:
            try:
                c = http.client.HTTPConnection("127.0.0.1", self.base + 2, timeout=5)
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    return time.perf_counter() - t0
            except OSError:
                if self.p.poll() is not None:
                    sys.exit(f"musterd ended: {(self.dir / 'musterd.log').read_text()[-2000:]}")
            time.sleep(0.001)

    def call(self, method, path, body=None):
        c = Unix(self.dir / "state/musterd.sock")
        c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        r = c.getresponse()
        data = r.read()
        assert r.status < 300, (path, r.status, data[:300])
        return json.loads(data)

    def token(self):
        return self.call("POST", "/api/v1/tokens", {"uses": 0, "auto_approve": True, "ttl": "24h"})["token"]

    def stop(self, sig=signal.SIGTERM):
        if self.p:
            self.p.send_signal(sig)
            self.p.wait(30)
            self.p = None


class Sim:
    """fleetsim on core 1; its JSON summary at the end."""

    def __init__(self, server, agents, duration, *args):
        self.err = open(server.dir / "fleetsim.log", "ab")
        self.p = subprocess.Popen([BUILD / "fleetsim", "--server", f"127.0.0.1:{server.base}", "--token", server.sim_token, "--agents", str(agents),
                                   "--duration", f"{duration}s", "--keys-dir", server.dir / "keys", "--json", *map(str, args)],
                                  stdout=subprocess.PIPE, stderr=self.err, stdin=subprocess.DEVNULL, text=True, preexec_fn=pinned(1))
        STARTED.append(self.p)

    def result(self):
        out, _ = self.p.communicate(timeout=600)
        return json.loads(out.strip().splitlines()[-1])

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
        return self.result()


def connected(server, n, timeout=180):
    end = time.monotonic() + timeout
    got = 0
    while time.monotonic() < end:
        got = server.call("GET", "/api/v1/health")["agents"]["connected"]
        if got >= n:
            return
        time.sleep(0.1)
    sys.exit(f"only {got} of {n} agents connected in {timeout} s")


def prepared(s, agents):
    """Starts @s and enrols @agents hosts; the simulator's keys stay cached."""
    s.start()
    s.sim_token = s.token()
    print(f"enrolling {agents} simulated agents (once)", file=sys.stderr)
    sim = Sim(s, agents, 3600)
    connected(s, agents, 600)
    sim.stop()


def beside(s, a, figure, *args):
    """One round of the figure's peers, with our server out of the way."""
    if a.beside.root:
        s.stop()
        a.beside.round(figure, *args)
        s.start()


def fig_start(s, a):
    first = []
    for i in range(a.runs):
        d = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
        e = Server(d, base=18220)
        first.append(e.start() * 1000)
        e.stop()
        shutil.rmtree(d)
    row("first run from an empty directory to ready", "ms", first, "< 1000")
    again = []
    for i in range(a.runs):
        s.stop()
        again.append(s.start() * 1000)
    row(f"start to ready with {a.agents} hosts in the database", "ms", again, "< 250")


def fig_memory(s, a):
    per, cpu = [], []
    for i in range(a.runs):
        s.stop()
        s.start()
        before = private_kb(s.p.pid)
        sim = Sim(s, a.agents, 3600, "--heartbeat", "10s")
        connected(s, a.agents)
        time.sleep(SETTLE)
        per.append((private_kb(s.p.pid) - before) / a.agents)
        if "cpu" in a.figures or not a.figures:
            c0, t0 = cpu_s(s.p.pid), time.monotonic()
            time.sleep(a.cpu_seconds)
            cpu.append(100 * (cpu_s(s.p.pid) - c0) / (time.monotonic() - t0))
        sim.stop()
        beside(s, a, "memory", a.agents, SETTLE)
    row(f"private memory per connected idle agent ({a.agents})", "KB", per, "<= 24", "heartbeats, its row in the database, an open stream")
    a.beside.rows("memory", row)
    if cpu:
        row(f"server CPU, {a.agents} agents at 10 s heartbeats", "% core", cpu, "<= 8")


def fig_burst(s, a):
    ratio = []
    for i in range(min(a.runs, 3)):
        got = {}
        for label, rate in (("slow", 300), ("burst", 0)):
            s.stop()
            s.start()
            args = ["--connect-rate", rate] if rate else []
            sim = Sim(s, a.agents, 3600, "--heartbeat", "10s", *args)
            connected(s, a.agents)
            time.sleep(SETTLE)
            got[label] = private_kb(s.p.pid)
            sim.stop()
        ratio.append(100 * got["burst"] / got["slow"] - 100)
    row("memory after a connect burst over a slow ramp", "%", ratio, "<= 10")


def fig_storm(s, a):
    back, fails = [], []
    for i in range(a.runs):
        s.stop()
        s.start()
        sim = Sim(s, a.agents, 3600, "--mode", "storm", "--heartbeat", "10s")
        connected(s, a.agents)
        s.stop(signal.SIGKILL)
        t0 = time.monotonic()
        s.start()
        connected(s, a.agents)
        back.append(time.monotonic() - t0)
        r = sim.stop()
        fails.append(r.get("failed", 0))
    row(f"reconnect storm: {a.agents} mutual-TLS agents after kill -9, all back", "s", back, "<= 20", f"failed handshakes {fails}")


def fig_checkin(s, a):
    rate, p99 = [], []
    for i in range(a.runs):
        s.stop()
        s.start()
        sim = Sim(s, min(500, a.agents), 15, "--mode", "checkin", "--rate", "40000", "--heartbeat", "60s")
        r = sim.result()
        rate.append(r["acked_per_second"])
        sim = Sim(s, min(500, a.agents), 15, "--mode", "checkin", "--rate", "7500", "--heartbeat", "60s")
        p99.append(sim.result()["ack_ms"]["p99"])
        beside(s, a, "checkin", 200000)
    row("durable check-ins, acknowledged after fsync", "/s", rate, ">= 15000", f"{min(500, a.agents)} agents, mutual TLS, 40,000 a second offered")
    row("p99 acknowledgement at 7,500 durable check-ins a second", "ms", p99, "< 25", "open loop")
    a.beside.rows("checkin", row)


def fig_fanout(s, a):
    last_d, last_r = [], []
    for i in range(a.runs):
        s.stop()
        s.start()
        sim = Sim(s, a.agents, 3600, "--mode", "fanout", "--heartbeat", "10s")
        connected(s, a.agents)
        time.sleep(5)
        t0 = time.time()
        j = s.call("POST", "/api/v1/jobs", {"targets": {"all": True}, "argv": ["true"]})
        while True:
            job = s.call("GET", f"/api/v1/jobs/{j['id']}")
            if job["state"] != "running" or time.time() - t0 > 60:
                break
            time.sleep(0.02)
        last_r.append((time.time() - t0) * 1000)
        r = sim.stop()
        if r.get("last_offer_at"):
            last_d.append((r["last_offer_at"] - t0) * 1000)
        if job["state"] != "succeeded":
            print("fan-out job:", job["state"], job["counts"], file=sys.stderr)
        beside(s, a, "fanout", a.agents)
    if last_d:
        row(f"fan-out of `true` to {a.agents}: last delivery", "ms", last_d, "< 400", "mutual TLS, each offer committed before it is sent")
    row(f"fan-out of `true` to {a.agents}: last result", "ms", last_r, "< 1500", "polled every 20 ms")
    a.beside.rows("fanout", row)


def real_agent(s, dir):
    p = subprocess.Popen([BUILD / "muster-agent", "--state-dir", dir / "agent", "--server", f"127.0.0.1:{s.base}"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=open(dir / "agent.log", "ab"), env={**os.environ, "MUSTER_TOKEN": s.token()})
    STARTED.append(p)
    while True:
        hosts = [h for h in s.call("GET", "/api/v1/agents?status=ready")["agents"] if not h["name"].startswith("sim-")]
        if hosts:
            return p, hosts[0]["name"]
        time.sleep(0.05)


def fig_command(s, a):
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
    p, name = real_agent(s, d)
    p50, p99 = [], []
    c = Unix(s.dir / "state/musterd.sock")
    for _ in range(a.runs):
        times = []
        for i in range(220):
            t0 = time.perf_counter()
            c.request("POST", "/api/v1/jobs?follow=true", json.dumps({"targets": {"hosts": [name]}, "argv": ["true"]}), {"Accept": "text/event-stream"})
            c.getresponse().read()
            if i >= 20:
                times.append((time.perf_counter() - t0) * 1000)
        times.sort()
        p50.append(statistics.median(times))
        p99.append(times[int(len(times) * .99)])
        a.beside.round("command", 20)
    row("one command, one real agent, round trip p50", "ms", p50, "< 5", "200 a round, one kept HTTP connection, two commits each on the server")
    row("one command, one real agent, round trip p99", "ms", p99, "-")
    a.beside.rows("command", row)
    p.terminate()
    p.wait()
    shutil.rmtree(d, ignore_errors=True)


def fig_agent(s, a):
    """Our agent and theirs over the same seconds, --runs windows of --cpu-seconds after a minute of rest."""
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
    p, _ = real_agent(s, d)
    got = {}
    with Agents(a.beside) as theirs:
        notes = {"muster-agent": "heartbeats every 10 s over mutual TLS, inventory on", **{k: note for k, (_, _, note) in theirs.running.items()}}
        time.sleep(a.rest)
        for _ in range(a.runs):
            pids = {"muster-agent": [p.pid], **theirs.pids()}
            before, t0 = {k: cpu_s(*v) for k, v in pids.items()}, time.monotonic()
            time.sleep(a.cpu_seconds)
            took = time.monotonic() - t0
            for k, v in pids.items():
                try:
                    m = smaps(*v)
                    got.setdefault(k, []).append((m["Pss"] / 1024, m["Rss"] / 1024, m["Private_Dirty"] / 1024, 100 * (cpu_s(*v) - before[k]) / took))
                except OSError as e:
                    print(f"{k}: a process ended: {e}", file=sys.stderr)
    for k, rounds in got.items():
        who, ours = (k, True) if k == "muster-agent" else (f"peer: {k}", False)
        pss, rss, dirty, cpu = zip(*rounds)
        row(f"{who} idle PSS", "MB", pss, "<= 8" if ours else "-", f"RSS {statistics.median(rss):.1f}; {notes[k]}")
        row(f"{who} idle private dirty", "MB", dirty, "<= 2" if ours else "-")
        row(f"{who} idle CPU", "% core", cpu, "<= 0.05" if ours else "-", f"windows of {a.cpu_seconds} s, all agents over the same seconds")
    p.terminate()
    p.wait()
    shutil.rmtree(d, ignore_errors=True)


def fig_refused(s, a):
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
    os.environ["MUSTER_TEST_BACKOFF_MS"] = "1"
    p, _ = real_agent(s, d)
    s.stop()
    time.sleep(3)
    m0, f0 = private_kb(p.pid), len(os.listdir(f"/proc/{p.pid}/fd"))
    time.sleep(40)
    m1, f1 = private_kb(p.pid), len(os.listdir(f"/proc/{p.pid}/fd"))
    row("agent growth over thousands of refused reconnects", "KB", [m1 - m0], "<= 128", f"descriptors {f0} -> {f1}")
    p.terminate()
    p.wait()
    shutil.rmtree(d, ignore_errors=True)
    del os.environ["MUSTER_TEST_BACKOFF_MS"]
    s.start()


FIGURES = {"start": fig_start, "memory": fig_memory, "burst": fig_burst, "storm": fig_storm, "checkin": fig_checkin, "fanout": fig_fanout,
           "command": fig_command, "agent": fig_agent, "refused": fig_refused,
           "sigma": lambda s, a: accents.fig_sigma(accent_server, BUILD, a), "grapheon": lambda s, a: accents.fig_grapheon(accent_server, BUILD, a),
           "ports": lambda s, a: accents.fig_ports(BUILD, a), "personalities": lambda s, a: personalities.fig_personalities(BUILD, a)}


def accent_server(dir, one_core):
    """A server for the accents, beside the fleet's."""
    return Server(dir, 18140, one_core)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("figures", nargs="*")
    ap.add_argument("--agents", type=int, default=10000)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--cpu-seconds", type=int, default=30)
    ap.add_argument("--rest", type=int, default=60, help="seconds before an idle agent is measured")
    ap.add_argument("--peers", metavar="DIR", default=os.environ.get("MUSTER_BENCH_PEERS"), help="what bench/peers.py fetched [$MUSTER_BENCH_PEERS]")
    ap.add_argument("--out", metavar="FILE.md", type=pathlib.Path, help="write the table there")
    a = ap.parse_args()
    unknown = set(a.figures) - {*FIGURES, "cpu"}
    if unknown:
        ap.error(f"no such figure: {' '.join(sorted(unknown))}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything started here is ended
    began = time.monotonic()
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-bench-"))
    s = Server(d)
    try:
        a.beside = Peers(a.peers, d)
        prepared(s, a.agents)
        for name, fn in FIGURES.items():
            if not a.figures or name in a.figures or (name == "memory" and "cpu" in a.figures):
                fn(s, a)
                if a.out:
                    a.out.write_text(paper(a, began))
    finally:
        for p in STARTED:
            if p.poll() is None:
                p.kill()
                p.wait()
        s.stop()
        shutil.rmtree(d, ignore_errors=True)
    print("\n" + paper(a, began))


def paper(a, began):
    """The finished page: which machine, when, by which command, with which peers; then the table."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = int(open("/proc/meminfo").readline().split()[1]) / 1048576
    system = next((line.split("=")[1].strip().strip('"') for line in open("/etc/os-release") if line.startswith("PRETTY_NAME")), "unknown")
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    versions = ", ".join(f"{k} {v}" for k, v in sorted(a.beside.version.items()) if k in WANTED) or "none"
    return (f"Machine: {os.cpu_count()} x {cpu}, {memory:.0f} GiB, Linux {os.uname().release}, {system}. Date: {time.strftime('%Y-%m-%d')}. Commit: {commit}.\n"
            f"Command: `bench/run.py {' '.join(sys.argv[1:])}`; {(time.monotonic() - began) / 60:.0f} minutes. Peers: {versions}.\n\n" + markdown())


if __name__ == "__main__":
    main()
