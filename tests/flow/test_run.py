"""Commands: exact argv, streams apart, codes, timeout, cancel, queue, caps, stdin."""
import json
import os
import signal
import subprocess
import time

from conftest import BUILD, SLOW, job_done, tasks_of, until


def start_job(s, host, argv, **kw):
    return s.api("POST", "/api/v1/jobs", {"targets": {"hosts": [host]}, "argv": argv, **kw}, expect=201).json()["id"]


def test_exit_code_streams_and_argv_pass_through_exactly(pair):
    s, a = pair
    n = a.host["name"]
    r = s.cli("run", n, "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (r.returncode, r.stdout, r.stderr) == (42, "out\n", "err\n")
    odd = ["a b", "", "*", "$HOME", "\\", "'", '"', "ünï"]
    r = s.cli("run", n, "--", "printf", "%s\\n", *odd, check=0)
    assert r.stdout.split("\n")[:-1] == odd
    assert s.cli("run", n, "--shell", "--", "echo $((6*7))", check=0).stdout == "42\n"


def test_output_is_raw_bytes(pair):
    s, a = pair
    r = s.cli("run", a.host["name"], "--", "sh", "-c", "head -c 300000 /dev/urandom | tee /tmp/muster-$$ ; rm -f /tmp/muster-$$", text=False)
    assert r.returncode == 0 and len(r.stdout) == 300000
    r = s.cli("run", a.host["name"], "--", "printf", "\\000\\377\\n", text=False)
    assert r.stdout == b"\0\xff\n"


def test_death_by_signal_is_128_plus_n_and_timeout_is_6(pair):
    s, a = pair
    n = a.host["name"]
    assert s.cli("run", n, "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert s.cli("run", n, "--timeout", "1s", "--", "sleep", "60").returncode == 6


def test_user_cwd_env_and_stdin(pair):
    s, a = pair
    n = a.host["name"]
    assert s.cli("run", n, "--cwd", "/tmp", "--env", "A=b c", "--", "sh", "-c", "pwd; echo $A", check=0).stdout == "/tmp\nb c\n"
    if os.geteuid() == 0:
        assert s.cli("run", n, "--user", "nobody", "--", "id", "-un", check=0).stdout == "nobody\n"
    assert s.cli("run", n, "--stdin", "--", "cat", input="x" * 200000, check=0).stdout == "x" * 200000
    assert s.cli("run", n, "--", "cat", check=0).stdout == ""


def test_what_cannot_run_is_refused_with_a_sentence(pair):
    s, a = pair
    n = a.host["name"]
    for args, word in ((["--", "/no/such/program"], "no such"), (["--user", "no-such-user", "--", "true"], "user"),
                       (["--cwd", "/no/such/dir", "--", "true"], "/no/such/dir")):
        r = s.cli("run", n, *args)
        assert r.returncode not in (0, None) and word in (r.stderr + r.stdout).lower(), r


def test_unknown_host_is_exit_4_and_says_what_to_do(pair):
    s, _ = pair
    r = s.cli("run", "nobody-here", "--", "true")
    assert r.returncode == 4 and "muster hosts" in r.stderr


def test_several_hosts_are_prefixed_and_partial_failure_is_3(fleet):
    s = fleet.server()
    a, b = fleet.agent(s, "a"), fleet.agent(s, "b")
    r = s.cli("run", "--all", "--", "echo", "hello", check=0)
    lines = sorted(r.stdout.splitlines())
    assert len(lines) == 2 and all(line.endswith("hello") for line in lines)
    assert {line.split()[0].rstrip(":|") for line in lines} == {a.host["name"], b.host["name"]}
    mark = fleet.dir / "once"
    r = s.cli("run", "--all", "--", "sh", "-c", f"mkdir {mark} 2>/dev/null")
    assert r.returncode == 3


def test_cancel_ends_the_whole_process_group(pair, tmp):
    s, a = pair
    pidfile = tmp / "pid"
    j = start_job(s, a.host["name"], ["sh", "-c", f"sleep 300 & echo $! > {pidfile}.x; mv {pidfile}.x {pidfile}; wait"])
    until(pidfile.exists, what="the command to start")
    s.cli("cancel", j, check=0)
    job = job_done(s, j)
    assert job["state"] == "cancelled" and tasks_of(s, j)[0]["outcome"] == "cancelled"
    pid = int(pidfile.read_text())
    until(lambda: not os.path.exists(f"/proc/{pid}") or "Z" in open(f"/proc/{pid}/stat").read().split()[2], what="the child to end")


def test_a_command_that_ignores_term_is_killed_after_the_grace(pair):
    s, a = pair
    j = start_job(s, a.host["name"], ["sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done"], grace="1s")
    until(lambda: tasks_of(s, j)[0]["stdout_bytes"] > 0, what="output")
    s.api("POST", f"/api/v1/jobs/{j}/cancel", {"grace": "1s"}, expect=202)
    assert job_done(s, j)["state"] == "cancelled"


def test_no_grace_is_no_grace_in_the_order_and_in_the_cancellation(pair):
    """Each would take ten minutes, or the agent's ten seconds, if 0s meant "not given"."""
    s, a = pair
    loop = ["sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done"]
    one = start_job(s, a.host["name"], loop, grace="10m")
    two = start_job(s, a.host["name"], loop, grace="0s")
    for j in (one, two):
        until(lambda: tasks_of(s, j)[0]["stdout_bytes"] > 0, what="output")
    t0 = time.monotonic()
    s.cli("cancel", one, "--grace", "0s", check=0)
    s.cli("cancel", two, check=0)
    assert [job_done(s, j)["state"] for j in (one, two)] == ["cancelled", "cancelled"]
    assert time.monotonic() - t0 < 9
    # Whoever ends well when asked to says so with its exit code, which is kept.
    polite = ["sh", "-c", "trap 'exit 5' TERM; echo on; while :; do sleep 0.1; done"]
    three, four = start_job(s, a.host["name"], polite), start_job(s, a.host["name"], polite, timeout="1s")
    until(lambda: tasks_of(s, three)[0]["stdout_bytes"] > 0, what="output")
    s.cli("cancel", three, check=0)
    for j, outcome in ((three, "cancelled"), (four, "timed_out")):
        job_done(s, j)
        t = tasks_of(s, j)[0]
        assert (t["outcome"], t["exit_code"], t["signal"]) == (outcome, 5, None)
    assert tasks_of(s, two)[0]["exit_code"] is None and tasks_of(s, two)[0]["signal"] == 9


def test_ctrl_c_asks_the_server_to_cancel(pair):
    s, a = pair
    env = {**os.environ, "MUSTER_SERVER": f"unix:{s.sock}", "HOME": str(s.dir)}
    p = subprocess.Popen([BUILD / "muster", "run", a.host["name"], "--", "sh", "-c", "echo on; sleep 300"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env)
    assert p.stdout.readline() == b"on\n"
    p.send_signal(signal.SIGINT)
    assert p.wait(30 * SLOW) != 0
    job = s.get("/api/v1/jobs")["jobs"][0]
    assert job_done(s, job["id"])["state"] == "cancelled"


def test_an_offline_host_gets_the_command_when_it_returns(pair):
    s, a = pair
    a.stop()
    until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["status"] == "disconnected", 30, "the host to be gone")
    gone = [e for e in s.get("/api/v1/events")["events"] if e["event_type"] == "agent.disconnected"]
    assert any(e["details"] == {"code": "agent.stopped", "reason": "the agent was stopped"} for e in gone), gone  # it took leave: nobody waited for it to come back
    r = s.cli("run", a.host["name"], "--detach", "--json", "--", "echo", "later", check=0)
    j = json.loads(r.stdout)["id"]
    assert tasks_of(s, j)[0]["state"] == "queued"
    a.start()
    assert job_done(s, j, 30)["state"] == "succeeded"
    assert s.cli("job", j, "--logs", check=0).stdout.endswith("later\n")


def test_without_detach_an_offline_host_is_exit_6_within_10_seconds(pair):
    s, a = pair
    a.stop()
    until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["status"] in ("stale", "disconnected"), 30, "the host to be gone")
    t0 = time.monotonic()
    r = s.cli("run", a.host["name"], "--", "true")
    assert r.returncode == 6 and "--detach" in r.stderr
    assert 8 < time.monotonic() - t0 < 20 * SLOW  # the wall clock is the promise here


def test_a_host_that_falls_silent_with_the_command_is_left_behind(pair):
    s, a = pair
    a.proc.p.send_signal(signal.SIGSTOP)  # its connection stays open: the command goes out, and nobody answers
    r = s.cli("run", a.host["name"], "--", "sleep", "600", timeout=90)
    job = s.get("/api/v1/jobs")["jobs"][0]
    assert r.returncode == 6 and r.stdout == "" and f"muster job {job['id']}" in r.stderr, r
    assert job["state"] != "cancelled"  # only the host knows
    a.proc.p.send_signal(signal.SIGCONT)
    assert job_done(s, job["id"], 60)["state"] == "cancelled"


def test_a_deadline_passes_and_the_task_is_expired(pair):
    s, a = pair
    a.stop()
    j = start_job(s, a.host["name"], ["true"], deadline="1s")
    job = job_done(s, j)
    assert tasks_of(s, j)[0]["outcome"] == "expired" and job["state"] == "failed"


def test_output_caps_are_truthful(pair):
    s, a = pair
    j = start_job(s, a.host["name"], ["sh", "-c", "head -c 200000 /dev/zero"], output_cap=65536)
    job_done(s, j)
    t = tasks_of(s, j)[0]
    assert t["stdout_bytes"] == 65536 and t["stdout_truncated"] is True and t["stdout_total_bytes"] == 200000
    assert t["stderr_truncated"] is False


def test_an_idempotency_key_makes_one_job(pair):
    s, a = pair
    body = {"targets": {"hosts": [a.host["name"]]}, "argv": ["true"]}
    h = {"Idempotency-Key": "k-1"}
    one = s.api("POST", "/api/v1/jobs", body, headers=h).json()["id"]
    two = s.api("POST", "/api/v1/jobs", body, headers=h).json()["id"]
    assert one == two
    job_done(s, one)
    assert s.api("POST", "/api/v1/jobs", body, headers=h).json()["id"] == one
    other = s.api("POST", "/api/v1/jobs", {**body, "argv": ["false"]}, headers=h)
    assert other.status_code == 409 and other.json()["error"]["code"] == "job.key_reused"


def test_the_limit_of_a_host_queues_the_rest(fleet):
    s = fleet.server()
    a = fleet.agent(s)
    ids = [start_job(s, a.host["name"], ["sleep", "0.2"]) for _ in range(40)]
    for i in ids:
        assert job_done(s, i, 60)["state"] == "succeeded"


def what_is_off_is_said(s, a, read):
    """A role that the policy leaves out: its sections, its questions, the host's own row."""
    name, path = a.host["name"], f"/api/v1/agents/{a.host['id']}"

    def sections(want):
        got = {x["section"]: x for x in s.get(path + "/inventory")["sections"]}
        return len(got) >= 17 and all(want(x) for x in got.values()) and got

    def roles():
        return {r["name"]: r["status"] for r in s.get(path).get("roles", [])}

    def is_off(x):
        return x["status"] == "disabled" and "policy" in x["message"]

    # roles: [inventory, command]
    before = until(lambda: sections(lambda x: x["status"] != "disabled" or x["section"] == "ports"), 30, "all sections")
    until(lambda: roles().get("metrics") == "disabled", 30, "a heartbeat that says what is off")
    assert roles()["inventory"] == roles()["command"] == "ok"
    assert s.get(path)["metrics"] is None and "agentic_agent_cpu_ratio{" not in s.api("GET", "/metrics").text
    assert "metrics:              disabled: switched off by the policy of this host" in s.cli("host", name, check=0).stdout
    r = s.cli("ports", name, "--allocate", "1", timeout=20)  # the server itself would wait for 35 s
    assert r.returncode == 7 and "ports.disabled" in r.stderr and "policy" in r.stderr
    assert "switched off by the policy" in s.cli("ports", name, check=0).stderr
    read("roles: [command]\n")
    now = until(lambda: sections(is_off), 30, "all sections to be disabled")
    assert now["packages"]["rows_count"] == before["packages"]["rows_count"]  # what was told stays
    r = s.cli("inventory", name, "packages", check=0)
    assert "section packages is disabled: switched off by the policy" in r.stderr and "VERSION" in r.stdout
    r = s.cli("inventory", name, "connections", check=0)
    assert "section connections is disabled: switched off by the policy" in r.stderr
    assert s.cli("inventory", name, check=0).stdout.count("disabled") >= 17
    read("roles: [inventory, command]\n")
    until(lambda: sections(lambda x: x["status"] != "disabled" or x["section"] == "ports"), 30, "all sections again")


def test_the_local_policy_forbids_commands_by_either_word(fleet):
    s = fleet.server()
    pol = fleet.dir / "policy.yaml"
    pol.write_text("run: off\n")
    a = fleet.agent(s, args=["--policy", str(pol)])

    def run():
        return s.cli("run", a.host["name"], "--", "true")

    def read(text, says="were read anew"):
        n = a.log.count(says)
        pol.write_text(text)
        a.proc.p.send_signal(signal.SIGHUP)
        until(lambda: a.log.count(says) > n, what=f"the agent to say: {says}")

    r = run()
    assert r.returncode != 0 and "polic" in r.stderr.lower()
    t = s.get("/api/v1/jobs")["jobs"][0]["id"]
    assert tasks_of(s, t)[0]["outcome"] == "refused"
    read("roles: [inventory]\n")
    r = run()
    assert r.returncode == 1 and "roles without command" in r.stderr
    read("roles: [inventory, comand]\n", "there is none of that name")  # stays as it was
    assert run().returncode == 1
    read("roles: [inventory, command]\n")
    assert run().returncode == 0
    what_is_off_is_said(s, a, read)
    pol.write_text("roles: [comand]\n")
    a.stop()
    a.start()
    assert a.proc.wait(20) == 78


def test_live_output_is_at_most_a_moment_late(pair):
    s, a = pair
    env = {**os.environ, "MUSTER_SERVER": f"unix:{s.sock}", "HOME": str(s.dir)}
    p = subprocess.Popen([BUILD / "muster", "run", a.host["name"], "--", "sh", "-c", "echo one; read x; echo two"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, env=env)
    p.stdin.close()
    assert p.stdout.readline() == b"one\n"
    p.wait(30 * SLOW)


def test_megabytes_of_output_arrive_whole(pair):
    import hashlib
    s, a = pair
    cmd = "i=0; while [ $i -lt 200 ]; do head -c 100000 /dev/zero | tr '\\0' $((i % 10)); i=$((i+1)); done"
    want = hashlib.sha256(b"".join(str(i % 10).encode() * 100000 for i in range(200))).hexdigest()
    r = s.cli("run", a.host["name"], "--", "sh", "-c", cmd, text=False, timeout=120)
    assert r.returncode == 0 and len(r.stdout) == 20_000_000 and hashlib.sha256(r.stdout).hexdigest() == want
    job = s.get("/api/v1/jobs")["jobs"][0]["id"]
    raw = s.api("GET", f"/api/v1/jobs/{job}/output?host={a.host['id']}&stream=stdout&raw=true", expect=200).content
    assert hashlib.sha256(raw).hexdigest() == want
