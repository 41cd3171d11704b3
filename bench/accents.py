"""Figures of the foreign accents for run.py: durable check-ins over keep-alive HTTP, by bench/accentsim (unmodified agents' bodies)."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from measure import pinned, row

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
