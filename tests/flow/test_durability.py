"""kill -9 at any moment: what was acknowledged is there afterwards, and nothing runs twice."""
import json
import os
import pathlib
import random
import re
import sqlite3
import subprocess
import time

import pytest
import requests
from conftest import job_done, tasks_of, until


def start_job(s, host, argv, **kw):
    return s.api("POST", "/api/v1/jobs", {"targets": {"hosts": [host]}, "argv": argv, **kw}, expect=201).json()["id"]


def test_a_server_restart_in_the_middle_of_a_command_ends_in_the_true_result(pair, tmp):
    s, a = pair
    go = tmp / "go"
    j = start_job(s, a.host["name"], ["sh", "-c", f"echo before; while [ ! -e {go} ]; do sleep 0.05; done; echo after; exit 7"])
    until(lambda: tasks_of(s, j)[0]["state"] == "running", what="running")
    s.kill9()
    s.start()
    assert tasks_of(s, j)[0]["state"] != "done"
    a.wait_ready()
    go.touch()
    job_done(s, j, 30)
    t = tasks_of(s, j)[0]
    assert (t["outcome"], t["exit_code"]) == ("exited", 7)
    assert s.cli("job", j, "--logs").stdout.endswith("before\nafter\n")


def test_an_agent_restart_in_the_middle_of_a_command_ends_in_the_true_result(pair, tmp):
    s, a = pair
    go, ran = tmp / "go", tmp / "ran"
    j = start_job(s, a.host["name"],
                  ["sh", "-c", f"echo x >> {ran}; echo before; while [ ! -e {go} ]; do sleep 0.05; done; echo after; exit 7"])
    until(lambda: tasks_of(s, j)[0]["stdout_bytes"] > 0, what="output")
    a.kill9()
    a.start()
    a.wait_ready()
    go.touch()
    job_done(s, j, 30)
    t = tasks_of(s, j)[0]
    assert (t["outcome"], t["exit_code"], ran.read_text()) == ("exited", 7, "x\n")
    assert s.cli("job", j, "--logs").stdout.endswith("before\nafter\n")


def test_a_command_that_ended_while_the_agent_was_dead_is_reported(pair, tmp):
    s, a = pair
    done = tmp / "done"
    j = start_job(s, a.host["name"], ["sh", "-c", f"echo on; sleep 0.5; echo off; touch {done}; exit 3"])
    until(lambda: tasks_of(s, j)[0]["stdout_bytes"] > 0, what="output")
    a.kill9()
    until(done.exists, what="the command to end without its agent")
    a.start()
    job_done(s, j, 30)
    t = tasks_of(s, j)[0]
    assert (t["outcome"], t["exit_code"]) == ("exited", 3)
    gone = [e["details"]["code"] for e in s.get("/api/v1/events")["events"] if e["event_type"] == "agent.disconnected"]
    # With bytes unread in its socket the system resets the connection instead.
    assert gone in (["net.closed"], ["net.reset"])


def is_hold_of(proc, state):
    """Does this process run muster-hold with a file of @state's tasks open?"""
    try:
        if os.path.basename(os.readlink(proc / "exe")) != "muster-hold":
            return False
        return any(str(state) in os.readlink(f) for f in (proc / "fd").iterdir())
    except OSError:
        return False


def test_a_hold_that_was_killed_makes_the_task_lost_never_a_second_run(pair, tmp):
    s, a = pair
    ran = tmp / "ran"
    j = start_job(s, a.host["name"], ["sh", "-c", f"echo x >> {ran}; exec sleep 300"])
    until(lambda: ran.exists() and tasks_of(s, j)[0]["state"] == "running", what="running")
    tid = tasks_of(s, j)[0]["id"]
    a.kill9()
    holds = [p.name for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and is_hold_of(p, a.state)]
    assert holds, "no hold found for the task"
    for h in holds:
        os.kill(int(h), 9)
    a.start()
    job_done(s, j, 30)
    t = tasks_of(s, j)[0]
    assert t["id"] == tid and t["outcome"] == "lost" and ran.read_text() == "x\n"


def rounds(default):
    return int(os.environ.get("MUSTER_KILL_ROUNDS", default))


@pytest.mark.slow
def test_kill_9_of_server_and_agent_at_random_moments_loses_nothing_and_runs_nothing_twice(pair, tmp):
    """Jobs are created all the time, each appending its own line to a file; server and agent are killed at random. Afterwards every
    acknowledged job is there, has exactly one true end, and its line is in the file exactly once (or never, if it never ran)."""
    s, a = pair
    ran = tmp / "ran"
    ran.touch()
    acked = {}
    n = 0
    rnd = random.Random(20261122)
    kills = rounds(100)
    for k in range(kills):
        for _ in range(rnd.randrange(1, 6)):
            n += 1
            body = {"targets": {"hosts": [a.host["id"]]}, "argv": ["sh", "-c", f"echo {n} >> {ran}; echo out-{n}; exit {n % 5}"]}
            try:
                r = requests.post(s.url + "/api/v1/jobs", json=body, headers={"Idempotency-Key": f"k{n}"}, timeout=5)
                if r.status_code == 201:
                    acked[n] = r.json()["id"]
            except requests.RequestException:
                pass
        end = time.monotonic() + rnd.uniform(0, 0.06)
        while time.monotonic() < end:
            pass
        victim = rnd.choice(["server", "agent", "both"])
        if victim in ("server", "both"):
            s.kill9()
        if victim in ("agent", "both"):
            a.kill9()
        if victim in ("server", "both"):
            s.start()
        if victim in ("agent", "both"):
            a.start()
    a.wait_ready()
    for num, j in acked.items():
        job = job_done(s, j, 60)
        t = tasks_of(s, j)[0]
        assert t["outcome"] in ("exited", "lost"), (num, job, t)
        if t["outcome"] == "exited":
            assert t["exit_code"] == num % 5
    lines = ran.read_text().split()
    twice = {x for x in lines if lines.count(x) > 1}
    assert not twice, f"ran twice: {twice}"
    for num, j in acked.items():
        if tasks_of(s, j)[0]["outcome"] == "exited":
            assert str(num) in lines, f"job {j} says exited but left no line"
    r = s.get("/api/v1/audit/verify")
    assert r["ok"], r
    s.stop()
    db = sqlite3.connect(f"file:{next(s.state.glob('*.db'))}?mode=ro", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_what_is_answered_is_on_disk(fleet):
    """kill -9 right after the answer: the row is there."""
    s = fleet.server()
    for i in range(10):
        t = s.api("POST", "/api/v1/tokens", {"note": f"n{i}"}, expect=201).json()
        s.kill9()
        s.start()
        assert [x for x in s.get("/api/v1/tokens")["tokens"] if x["id"] == t["id"] and x["note"] == f"n{i}"]


def test_backup_and_restore_bring_the_same_fleet_back(pair, tmp):
    s, a = pair
    s.cli("label", a.host["name"], "role=db", check=0)
    s.cli("run", a.host["name"], "--", "echo", "kept", check=0)
    from conftest import BUILD
    f = tmp / "fleet.backup"
    r = subprocess.run([BUILD / "musterd", "backup", str(f), "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=120)
    assert r.returncode == 0 and f.stat().st_size > 0, r.stdout
    assert f.stat().st_mode & 0o077 == 0
    for i in range(3):
        s.cli("run", a.host["name"], "--", "echo", "after the backup", i, check=0)

    late = start_job(s, a.host["name"], ["sleep", "3600"])
    until(lambda: tasks_of(s, late)[0]["state"] == "running", what="the late command to run")

    def restore(old):
        s.stop()
        os.rename(s.state, tmp / old)
        r = subprocess.run([BUILD / "musterd", "restore", str(f), "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, timeout=120)
        assert r.returncode == 0 and "clock" not in r.stdout and "stop commands" in r.stdout, r.stdout

    restore("old-state")
    r = subprocess.run([BUILD / "musterd", "restore", str(f), "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=120)
    assert r.returncode != 0, "a second restore over a state that is not empty must be refused"
    s.start()
    host = a.wait_ready()
    assert host["id"] == a.host["id"] and host["labels"] == {"role": "db"}
    # What was begun after the backup is stopped, and not in silence.
    told = until(lambda: re.search(r"does not know this command.* pid=(\d+)", a.log), what="a line about the late command")
    until(lambda: not os.path.exists(f"/proc/{told.group(1)}"), what="the late command to be stopped")
    j = s.get("/api/v1/jobs")["jobs"][0]
    assert s.cli("job", j["id"], "--logs").stdout.endswith("kept\n")
    # The agent remembers the tasks the server forgot: new ones must not be taken for them.
    assert s.cli("run", a.host["name"], "--", "echo", "goes on", check=0).stdout == "goes on\n"
    # Nor may those of a second restore of the same backup be taken for those of the first.
    restore("first-restore")
    s.start()
    a.wait_ready()
    assert s.cli("run", a.host["name"], "--", "echo", "once more", check=0).stdout == "once more\n"


def test_last_seen_survives_a_server_restart(pair):
    s, a = pair
    a.stop()
    seen = until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["last_seen"], what="last seen")
    s.stop()
    s.start()
    h = s.get(f"/api/v1/agents/{a.host['id']}")
    assert h["last_seen"] and h["last_seen"][:16] == seen[:16]
    assert json.dumps(h)
