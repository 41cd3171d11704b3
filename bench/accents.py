"""Figures of the foreign accents for run.py: durable check-ins over keep-alive HTTP, by bench/accentsim (unmodified agents' bodies)."""
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from measure import absent, pinned, row, smaps

AGENTS = 500


def sim(build, server, accent, key, count, rate=0, core=1):
    args = [build / "bench/accentsim", "--http", f"127.0.0.1:{server.base + 2}", "--accent", accent, "--key", key, "--agents", AGENTS, "--count", count]
    if rate:
        args += ["--rate", rate]
    r = subprocess.run(list(map(str, args)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600, preexec_fn=pinned(core))
    if r.returncode:
        sys.exit(f"accentsim {accent}: {r.stderr}")
    return json.loads(r.stdout)


def sigma_key(server):
    return server.call("POST", "/api/api-keys", {"name": "bench", "role": "agent"})["key"]


def grapheon_key(server):
    policy = server.call("POST", "/api/agents/policies", {"name": "bench", "jitter_seconds": 0})["id"]
    return server.call("POST", "/api/agents/enrollment-keys", {"name": "bench", "auto_approve": True, "default_policy_id": policy})["enrollment_key"]


def rounds(make_server, build, a, accent, key_of, per_run, half, on_one_core):
    """One fresh server a round: its greatest rate, then the wait at half of the goal."""
    full, p50, p99 = [], [], []
    for _ in range(a.runs):
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as d:
            s = make_server(pathlib.Path(d), on_one_core)
            try:
                s.start()
                key = key_of(s)
                full.append(sim(build, s, accent, key, per_run)["per_s"])
                r = sim(build, s, accent, key, 10 * half, half)
                p50.append(r["p50_ms"])
                p99.append(r["p99_ms"])
            finally:
                s.stop()
    return full, p50, p99


def fig_sigma(make_server, build, a):
    full, p50, p99 = rounds(make_server, build, a, "sigma", sigma_key, 200000, 7500, True)
    row("sigma: durable heartbeats, server on one core", "/s", full, ">= 15000", f"{AGENTS} keep-alive connections, one outstanding each")
    row("sigma: p50 at 7,500 a second", "ms", p50, "-", "open loop")
    row("sigma: p99 at 7,500 a second", "ms", p99, "< 50", "open loop")


def fig_grapheon(make_server, build, a):
    full, p50, p99 = rounds(make_server, build, a, "grapheon", grapheon_key, 40000, 1750, True)
    row("Graphēon: durable gzip check-ins of 40 rows, one core", "/s", full, ">= 3500", f"{AGENTS} keep-alive connections, one outstanding each")
    row("Graphēon: p50 at 1,750 a second, one core", "ms", p50, "-", "open loop")
    row("Graphēon: p99 at 1,750 a second, one core", "ms", p99, "< 50", "open loop")
    full, p50, p99 = rounds(make_server, build, a, "grapheon", grapheon_key, 40000, 3000, False)
    row("Graphēon: the same, both cores", "/s", full, ">= 6000", f"the simulator has {1 if os.cpu_count() > 1 else 'no'} of them")
    row("Graphēon: p99 at 3,000 a second, both cores", "ms", p99, "< 50", "open loop")


# -- the sigma agent: its port scan, and what it weighs

class Taker(http.server.BaseHTTPRequestHandler):
    """Takes every registration and heartbeat; knows no questions."""
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response_only(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, b'{"id":"x","hostname":"x","status":"active"}')

    def do_GET(self):
        self.answer(404, b"")

    def log_message(self, *a):
        pass


def scan(build, listeners):
    """One round in a network namespace of its own: {method: {...}}."""
    inner = f"ip link set lo up && exec '{build}/bench/port_scan' -l {listeners} -r 5"
    r = subprocess.run(["unshare", "-n", "sh", "-c", inner], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, preexec_fn=pinned(0))
    return json.loads(r.stdout) if r.returncode == 0 else r.stderr


def agent_kb(build, method):
    """PSS of the agent once it has registered, scanned 20,001 ports and beaten for a while."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    port = 29102
    p = subprocess.Popen([str(build / "muster-agent"), "sigma", "--api-url", f"http://127.0.0.1:{server.server_address[1]}/api", "--interval", "1",
                          "--port-scan", "--port-scan-interval", "1", "--scan-method", method, "--public-ip-url", "", "--metrics-bind", "127.0.0.1",
                          "--metrics-port", str(port), "--log", "error"], stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.1)
            try:
                text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            except OSError:
                continue
            if re.search(r"^sigma_ports_total\S+ 20001$", text, re.M) and not re.search(r"heartbeat_last_success\S+ 0\.", text):
                break
        time.sleep(3)
        return smaps(p.pid)["Pss"]
    finally:
        p.terminate()
        p.wait()
        server.shutdown()
        server.server_close()


def fig_ports(build, a):
    goals = {"bind": "<= 200", "strict": "-", "netlink": "<= 5"}
    for listeners in (0, 5000):
        got = [scan(build, listeners) for _ in range(a.runs)]
        if isinstance(got[0], str):
            absent(f"scan of 20,001 ports, {listeners} listeners", got[0])
            continue
        for method, goal in goals.items():
            row(f"scan of 20,001 ports by {method}, {listeners:,} listeners", "ms", [g[method]["median_ms"] for g in got],
                goal if listeners == 0 else "-", f"{got[0][method]['used']:,} used; without owners")
    for method in ("bind", "netlink"):
        row(f"sigma agent: memory, scanning by {method}", "MiB PSS", [agent_kb(build, method) / 1024 for _ in range(a.runs)], "<= 8",
            "registered, a scan and a heartbeat a second")
