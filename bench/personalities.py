"""What the agent weighs as argus-agent and grapheon-agent, for run.py; their servers are the strict ones of tests/flow. (sigma: accents.py)"""
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from measure import pinned, row, smaps

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/flow"))
from argus_mock import PARENT, MockArgus  # noqa: E402
from grapheon_mock import Mock  # noqa: E402

RERUNS, ONE_SHOTS, ORDINARY_WAITING = 20, 15, 100


def until(what, timeout=60):
    end = time.monotonic() + timeout
    while not what():
        if time.monotonic() > end:
            sys.exit("personalities: the agent does not do what it is asked")
        time.sleep(0.02)


def argus_kb(build, home):
    """PSS after RERUNS reruns with an environment of 10 KB each."""
    server = MockArgus(extension=True)
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "ARGUS_URL": server.url, "ARGUS_TOKEN": PARENT, "ARGUS_AGENT_POLL_INTERVAL": "200ms",
           "ARGUS_AGENT_LOG_LEVEL": "error"}
    agent = [str(build / "muster-agent"), "argus"]
    subprocess.run([*agent, "register"], env=env, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    p = subprocess.Popen([*agent, "run"], env=env, stdin=subprocess.DEVNULL)
    try:
        for _ in range(RERUNS):
            job = server.rerun("echo hello", env={f"VARIABLE_{n}": "x" * 100 for n in range(100)})
            until(lambda: server.exit_of(job))  # noqa: B023
        return smaps(p.pid)["Pss"]
    finally:
        p.terminate()
        p.wait()
        server.stop()


def cpu_of(argv):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, preexec_fn=pinned(1))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def grapheon_run(build, home):
    """One registered agent: milliseconds of processor of each one-shot run (rows by netlink, delta, report, state), and KB of PSS while it
    waits for the answer."""
    server = Mock()
    server.refuse_wildcards = False
    p = None
    try:
        policy = server.console("POST", "/policies", {}, {"name": "p", "jitter_seconds": 0})[1]["id"]
        key = server.console("POST", "/enrollment-keys", {}, {"name": "k", "default_policy_id": policy, "auto_approve": True})[1]["enrollment_key"]
        run = [str(build / "muster-agent"), "grapheon", "--config", "/nonexistent", "--state-dir", str(home), "--server-url", server.url]
        subprocess.run([*run, "--enrollment-key", key, "--register-only"], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        run += ["--force", "--collector", "netlink"]
        cpu = [cpu_of(run) * 1000 for _ in range(ONE_SHOTS)]
        asked = len(server.requests)
        server.sleeps(2)
        p = subprocess.Popen(run, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: len(server.requests) > asked)
        kb = smaps(p.pid)["Pss"]
        p.wait(60)
        return cpu, kb
    finally:
        if p and p.poll() is None:
            p.kill()
            p.wait()
        server.close()


def n_waiting():
    """Sockets that wait out their time: what the figures before left, by the thousand, would be in every report."""
    words = pathlib.Path("/proc/net/sockstat").read_text().split()
    return int(words[words.index("tw") + 1])


def fig_personalities(build, a):
    argus, cpu, grapheon = [], [], []
    until(lambda: n_waiting() < ORDINARY_WAITING, 180)
    for _ in range(a.runs):
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as d:
            argus.append(argus_kb(build, pathlib.Path(d)) / 1024)
        with tempfile.TemporaryDirectory(prefix="muster-bench-") as d:
            ms, kb = grapheon_run(build, pathlib.Path(d))
            cpu += ms
            grapheon.append(kb / 1024)
    row("argus agent: memory after 20 reruns", "MiB PSS", argus, "<= 8")
    row("grapheon agent: memory while its report is under way", "MiB PSS", grapheon, "<= 8", "by netlink")
    row("grapheon agent: CPU of a one-shot run", "ms", cpu, "< 15", "by netlink, this host once the sockets of other figures are gone; the strict server on the other core")
