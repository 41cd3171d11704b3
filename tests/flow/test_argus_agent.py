"""argus-agent against a strict server of its kind: registration, reruns, stops, restarts, refusals (tests/flow/argus_mock.py)."""
import json
import os
import pathlib
import shlex
import signal
import subprocess
import threading

import pytest

from argus_mock import PARENT, VIEWER, MockArgus
from conftest import BUILD, SLOW, Proc, free_base, unsanitized, until

AGENT = [str(BUILD / "muster-agent"), "argus"]


class ArgusAgent:
    """A home with an argus-agent in it."""

    def __init__(self, dir, mock, args=(), env=None):
        self.home = pathlib.Path(dir)
        self.home.mkdir(parents=True, exist_ok=True)
        self.mock, self.args, self.proc = mock, list(args), None
        self.env = {"HOME": str(self.home), "ARGUS_AGENT_POLL_INTERVAL": "200ms", "ARGUS_AGENT_LOG_LEVEL": "debug", **(env or {})}

    dir = property(lambda s: s.home / ".argus-agent")
    cache = property(lambda s: json.loads((s.dir / "token.json").read_text()))
    state = property(lambda s: json.loads((s.dir / "state.json").read_text()))
    log = property(lambda s: s.proc.log)

    def call(self, *args, env=None, url=True, token=PARENT, timeout=30):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "ARGUS_"))}
        full.update(self.env)
        if url:
            full["ARGUS_URL"] = self.mock.url if url is True else url
        if token:
            full["ARGUS_TOKEN"] = token
        full.update(env or {})
        return subprocess.run([*AGENT, *map(str, args)], env=full, text=True, capture_output=True, timeout=timeout * SLOW,
                              stdin=subprocess.DEVNULL)

    def register(self, *args, **kw):
        r = self.call("register", *args, **kw)
        assert r.returncode == 0, r.stderr
        return self

    def start(self, *args):
        self.proc = Proc([*AGENT, "run", *self.args, *args], self.home / "agent.log", env=self.env)
        return self

    def command(self, job):
        return next((c for c in self.state["commands"] if c["id"] == job["id"]), None)

    def out(self, job):
        return (self.dir / "logs" / f"{job['id']}.log").read_text(errors="replace")


@pytest.fixture
def mocks():
    made = []

    def make(**kw):
        made.append(MockArgus(**kw))
        return made[-1]

    yield make
    for m in made:
        if m.stall:
            m.stall[1].set()
        m.stop()


@pytest.fixture
def agents(tmp):
    made = []

    def make(mock, name="home", **kw):
        made.append(ArgusAgent(tmp / name, mock, **kw))
        return made[-1]

    yield make
    for a in made:
        if a.proc:
            a.proc.kill9()
        try:
            for c in a.state["commands"]:
                if c["pid"] > 1 and pid_ticks(c["pid"]) == c["pid_start"]:
                    os.killpg(c["pid"], signal.SIGKILL)
        except (OSError, ValueError):
            pass


def pid_ticks(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except OSError:
        return 0


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


# -- registration

def test_register_writes_a_private_cache_of_four_keys(mocks, agents):
    m = mocks()
    a = agents(m)
    r = a.call("--register")
    assert r.returncode == 0, r.stderr
    f = a.dir / "token.json"
    assert f.stat().st_mode & 0o7777 == 0o600 and a.dir.stat().st_mode & 0o7777 == 0o700
    assert set(a.cache) == {"argus_url", "agent_id", "agent_token", "poll_interval_s"}
    assert a.cache["agent_token"] in m.agents and a.cache["argus_url"] == m.url
    assert m.registers == [{"hostname": os.uname().nodename, "version": m.registers[0]["version"], "capabilities": ["rerun", "stop"]}]
    assert PARENT not in f.read_text() and PARENT not in r.stdout + r.stderr and a.cache["agent_token"] not in r.stdout + r.stderr
    for f in a.dir.rglob("*"):
        assert f.stat().st_mode & 0o77 == 0, f


def test_a_registration_is_kept_unless_reregistered(mocks, agents):
    m = mocks()
    a = agents(m).register()
    before = a.cache
    assert a.call("register", token=None).returncode == 0
    assert a.cache == before and len(m.registers) == 1
    blocked = a.dir / "token.json.new~"
    blocked.mkdir()  # as on a full disk: the server would kill the old token, and the new one could not be kept
    r = a.call("--reregister")
    assert r.returncode != 0 and "token.json" in r.stderr
    assert a.cache == before and before["agent_token"] in m.agents and len(m.registers) == 1
    blocked.rmdir()
    m.registered = {"server_time_utc": "2026-11-22T05:56:45", "label": 7}  # nothing the agent needs: the old token is dead already
    assert a.call("--reregister").returncode == 0
    assert a.cache["agent_id"] == before["agent_id"] and a.cache["agent_token"] != before["agent_token"]
    assert before["agent_token"] not in m.agents


def test_label_and_hostname_travel_in_the_strict_body(mocks, agents):
    m = mocks()
    agents(m).register("--label", "anna", "--hostname", "gpu-7")
    assert m.registers[0]["hostname"] == "gpu-7" and m.registers[0]["capabilities"] == ["rerun", "stop", "label=anna"]


@pytest.mark.parametrize("token", [None, "em_live_" + "x" * 27, "no token at all", "revoked\nline"])
def test_a_bad_parent_token_is_exit_3_and_leaves_no_cache(mocks, agents, token):
    a = agents(mocks())
    r = a.call("register", token=token)
    assert r.returncode == 3 and "ARGUS_TOKEN" in r.stderr, r.stderr
    assert not (a.dir / "token.json").exists()
    if token:
        assert token not in r.stdout + r.stderr


def test_a_token_from_a_file_or_from_a_flag_that_ps_does_not_show(mocks, agents, tmp):
    m = mocks()
    secret = tmp / "token"
    secret.write_text(PARENT + "\n")
    secret.chmod(0o600)
    agents(m, "one").register("--token-file", secret, token=None)
    agents(m, "two").register(token=None, env={"ARGUS_TOKEN_FILE": str(secret)})
    # by flag: while the server keeps it waiting, the process list must not have it
    m.stall = ("register", threading.Event())
    a = agents(m, "three", env={"ARGUS_URL": m.url})
    a.proc = Proc([*AGENT, "register", "--token", PARENT], a.home / "agent.log", env=a.env)
    until(lambda: len([r for r in m.requests if "register" in r[1]]) == 3, what="the request")
    cmdline = pathlib.Path(f"/proc/{a.proc.p.pid}/cmdline").read_bytes()
    assert PARENT.encode() not in cmdline and b"xxxx" in cmdline
    m.stall[1].set()
    assert a.proc.wait() == 0


def test_usage_mistakes_are_exit_2(mocks, agents):
    a = agents(mocks())
    for args in (["fly"], ["--max-concurrent", "0"], ["register", "more"], ["--label", "a b"], ["--hostname", "x" * 254], ["--nope"],
                 ["--grace", "soon"]):
        assert a.call(*args).returncode == 2, args
    assert a.call("register", url=None).returncode == 2
    assert a.call("--version").stdout.startswith("argus-agent ")
    assert "--max-concurrent" in a.call("--help").stdout
    unit = a.call("--print-systemd").stdout
    for line in ("KillMode=process", "RestartPreventExitStatus=2 3 4", "RestartSec=10", "Type=simple"):
        assert line in unit


# -- the token file and the transport

def test_run_refuses_without_registration(mocks, agents):
    r = agents(mocks()).call("run")
    assert r.returncode == 3 and "not registered" in r.stderr


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_a_token_file_others_can_touch_is_refused(mocks, agents, mode):
    m = mocks()
    a = agents(m).register()
    (a.dir / "token.json").chmod(mode)
    n = len(m.requests)
    for args in ("run",), ("register",), ("--once",):
        r = a.call(*args)
        assert r.returncode == 3 and "token.json" in r.stderr, r.stderr
    assert len(m.requests) == n


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_token_file_of_somebody_else_is_refused(mocks, agents):
    a = agents(mocks()).register()
    os.chown(a.dir / "token.json", 12345, 12345)
    assert a.call("run").returncode == 3


def test_the_token_is_not_sent_to_another_origin(mocks, agents):
    m, other = mocks(), mocks()
    a = agents(m).register()
    for args in ("run",), ("register",):
        r = a.call(*args, url=other.url)
        assert r.returncode == 2 and other.url in r.stderr
    assert other.requests == []


def test_plain_http_is_refused_but_on_loopback(mocks, agents):
    a = agents(mocks())
    r = a.call("register", url="http://192.0.2.1:8000")
    assert r.returncode == 4 and "https" in r.stderr, r.stderr
    assert not (a.dir / "token.json").exists()
    r = a.call("register", "--insecure-http", "--dry-run", url="http://192.0.2.1:8000")
    assert r.returncode == 0 and r.stderr.count("WARNING") >= 2


@pytest.fixture
def certs(tmp):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp / "key.pem", "-out", tmp / "cert.pem"],
                   check=True, capture_output=True)
    return tmp / "cert.pem", tmp / "key.pem"


def test_https_verifies_the_server_and_a_redirect_to_http_is_refused(mocks, agents, certs):
    m, plain = mocks(tls=certs), mocks()
    a = agents(m)
    r = a.call("register")
    assert r.returncode == 4 and not m.registers, r.stderr  # nobody the system trusts signed it
    a.env["ARGUS_CA_FILE"] = str(certs[0])
    r = a.call("register", url=m.url.replace("localhost", "127.0.0.1"))
    assert r.returncode == 4 and not m.registers, r.stderr  # the certificate names another host
    m.fail.append(("register", 307, {"Location": plain.url + "/api/agents/register"}))
    r = a.call("register")
    assert r.returncode == 4 and "plain http" in r.stderr and plain.requests == [], r.stderr
    a.register()
    for to in (plain.url, "https://example.invalid"):
        m.fail.append(("jobs", 302, {"Location": to + "/jobs"}))
        r = a.call("--once")
        assert r.returncode == (4 if to == plain.url else 1), r.stderr
    assert plain.requests == []
    assert a.call("--once").returncode == 0


def test_one_agent_per_directory(mocks, agents):
    a = agents(mocks()).register().start()
    until(lambda: a.mock.polls, what="a poll")
    r = a.call("run")
    assert r.returncode == 1 and "another agent" in r.stderr
    assert a.proc.term() == 0


# -- reruns

def test_a_rerun_runs_once_with_its_environment(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m, env={"LD_PRELOAD_X": "kept", "OWN": "mine", "BOTH": "agent", "NOTIFY_SOCKET": "/x", "ARGUS_TOKEN": PARENT}).register().start()
    job = m.rerun(f"env -0 > {tmp}/env; echo $$ >> {tmp}/pids; ps -o sid=,pgid= -p $$ >> {tmp}/ids; exit 7", cwd=str(tmp),
                  env={"LD_PRELOAD": "/evil.so", "LD_LIBRARY_PATH": "/evil", "PATH": "/evil", "BOTH": "server", "THEIRS": "é 'x'\n",
                       "ARGUS_TOKEN": "planted", "NUMBER": 5, "NONE": None, "ARGUS_BATCH_ID": "wrong", "ARGUS_AGENT_POLICY": "/x"},
                  overrides={"lr": 0.1})
    ack = until(lambda: m.ack_of(job), what="the ack")
    end = until(lambda: m.exit_of(job), what="the end")
    assert ack["status"] == "started" and ack["error"] is None and [str(ack["pid"])] == lines(tmp / "pids")
    assert lines(tmp / "ids")[0].split() == [str(ack["pid"])] * 2
    assert end["exit_code"] == 7 and end["signal"] is None and end["runtime_s"] >= 0
    env = dict(e.split("=", 1) for e in (tmp / "env").read_text().split("\0") if e)
    assert env["ARGUS_BATCH_ID"] == job["batch_id"] and env["ARGUS_SOURCE_BATCH_ID"] == "b-1" and env["ARGUS_URL"] == m.url
    assert json.loads(env["ARGUS_RERUN_OVERRIDES"]) == {"lr": 0.1}
    assert env["BOTH"] == "server" and env["THEIRS"] == "é 'x'\n" and env["OWN"] == "mine" and "evil" not in env["PATH"]
    for gone in ("LD_PRELOAD", "LD_LIBRARY_PATH", "ARGUS_TOKEN", "NUMBER", "NONE", "NOTIFY_SOCKET", "ARGUS_AGENT_POLICY",
                 "ARGUS_AGENT_POLL_INTERVAL"):
        assert gone not in env, gone
    # Nothing of the agent's own making: what it was started with, what the server sent, who runs it, what sh adds.
    assert set(env) <= set(os.environ) | set(a.env) | {"BOTH", "THEIRS", "ARGUS_BATCH_ID", "ARGUS_SOURCE_BATCH_ID", "ARGUS_URL",
                                                       "ARGUS_RERUN_OVERRIDES", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "SHLVL", "_"}
    n = len(m.polls)
    until(lambda: len(m.polls) > n + 2, what="more polls")
    assert len(lines(tmp / "pids")) == 1 and len(m.exits) == 1
    secrets = [PARENT, a.cache["agent_token"]]
    everything = a.log + "".join(f.read_text(errors="replace") for f in a.dir.rglob("*") if f.is_file() and f.name != "token.json")
    assert not any(s in everything or s in (tmp / "env").read_text() for s in secrets)


def test_path_may_be_set_where_the_host_allows_it(mocks, agents, tmp):
    m = mocks()
    agents(m, args=["--allow-env", "PATH", "--allow-env", "LD_PRELOAD"]).register().start()
    m.rerun(f'echo "$PATH" "$LD_PRELOAD" > {tmp}/x', env={"PATH": "/opt/env/bin:/usr/bin:/bin", "LD_PRELOAD": "/evil.so"})
    assert until(lambda: lines(tmp / "x"))[0].strip() == "/opt/env/bin:/usr/bin:/bin"


AWKWARD = "it's \"q\" `id` $(id) $HOME \\ ; & | > < * ? ~ ! # \t é 🦉\nsecond line\n"


@pytest.mark.parametrize("text", [AWKWARD, "x" * 65536, "й" * 20000], ids=["quotes", "64KiB", "utf8"])
def test_a_command_runs_verbatim(mocks, agents, tmp, text):
    m = mocks(extension=True)
    agents(m).register().start()
    job = m.rerun(f"printf %s {shlex.quote(text)} > {tmp}/text\n# a comment at the end")
    assert until(lambda: m.exit_of(job))["exit_code"] == 0
    assert (tmp / "text").read_text() == text


def test_the_shell_sees_exactly_the_recorded_command(mocks, agents, tmp):
    m = mocks()
    agents(m).register().start()
    command = f"tr '\\0' '\\n' < /proc/$$/cmdline > {tmp}/cmdline; : \"$(true)\""
    m.rerun(command)
    assert until(lambda: (tmp / "cmdline").exists() and (tmp / "cmdline").read_text() == f"/bin/sh\n-c\n{command}\n")


def test_a_rerun_has_three_descriptors_no_blocked_signals_and_nothing_to_read(mocks, agents):
    m = mocks(extension=True)
    agents(m).register().start()
    # no redirections in it: dash keeps what they replace as a tenth descriptor of its own
    job = m.rerun("ls /proc/$$/fd; readlink /proc/$$/fd/0; umask; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    said = until(lambda: m.exit_of(job))["log_tail"].split()
    assert said[:5] == ["0", "1", "2", "/dev/null", "0022"] and [int(x, 16) & 0x7FFFFFFF for x in said[6::2]] == [0, 0]  # not libc's own


def test_a_command_too_long_for_the_system_is_refused(mocks, agents):
    m = mocks()
    agents(m).register().start()
    job = m.rerun(": " + "x" * (200 << 10))
    assert until(lambda: m.ack_of(job))["status"] == "failed"


def test_output_is_kept_and_its_end_is_told(mocks, agents):
    m = mocks(extension=True)
    a = agents(m).register().start()
    job = m.rerun("head -c 40000 /dev/zero | tr '\\0' x; printf 'e\\0nd\\377 \\303\\251\\n' >&2; exit 3")
    tail = until(lambda: m.exit_of(job))["log_tail"]
    assert len(tail.encode()) <= 16 << 10 and tail.endswith("e nd\ufffd é\n") and len(tail) > 16000
    assert (a.dir / "logs" / f"{job['id']}.log").stat().st_size == 40009
    assert (a.dir / "logs" / f"{job['id']}.log").stat().st_mode & 0o777 == 0o600


def test_a_missing_directory_is_stale_and_a_missing_program_ends_the_rerun(mocks, agents, tmp):
    m = mocks(extension=True)
    agents(m).register().start()
    stale, gone = m.rerun("true", cwd=str(tmp / "nothing")), m.rerun(f"{tmp}/deleted.py --x")
    ack = until(lambda: m.ack_of(stale))
    assert ack["status"] == "failed" and ack["error"] == "stale_env_path" and ack["pid"] is None
    assert until(lambda: m.ack_of(gone))["status"] == "started"
    end = until(lambda: m.exit_of(gone))
    assert end["exit_code"] == 127 and "deleted.py" in end["log_tail"] and m.exit_of(stale) is None


def test_a_server_without_the_extension_is_asked_once(mocks, agents):
    m = mocks()
    a = agents(m).register().start()
    for _ in range(3):
        job = m.rerun("exit 4")
        until(lambda: m.ack_of(job), what="the ack")
        until(lambda: a.command(job)["phase"] == "over" and not a.command(job)["exit_due"], what="the end")
    assert len(m.exit_calls) == 1


def test_more_reruns_than_allowed_wait_unacknowledged(mocks, agents, tmp):
    m = mocks()
    agents(m, args=["--max-concurrent", "1"]).register().start()
    os.mkfifo(tmp / "gate")
    first, second = m.rerun(f"cat {tmp}/gate"), m.rerun("true")
    until(lambda: m.ack_of(first), what="the first")
    n = len(m.polls)
    until(lambda: len(m.polls) > n + 3, what="more polls")
    assert m.ack_of(second) is None and second["status"] == "pending"
    (tmp / "gate").write_text("go")
    assert until(lambda: m.ack_of(second))["status"] == "started"


def test_the_hosts_policy_decides(mocks, agents, tmp):
    m = mocks()
    policy = tmp / "policy"
    policy.write_text("# what may run\nprefix: echo good\nregex: test -d [a-z/]+\n")
    a = agents(m, args=["--policy", str(policy)]).register().start()
    jobs = {c: m.rerun(c) for c in ("echo good", "echo good twice", "test -d /tmp", "echo goodbye", f"echo good; touch {tmp}/evil",
                                    f"echo good $(touch {tmp}/evil)", f"echo good\ntouch {tmp}/evil", "test -d /tmp;id", "id")}
    for c, job in jobs.items():
        ack = until(lambda: m.ack_of(job))
        assert (ack["status"] == "started") == (c in ("echo good", "echo good twice", "test -d /tmp")), c
        if ack["status"] == "failed":
            assert ack["error"] == "not allowed by host policy"
    # What the policy closed the recorded environment does not open: bash runs what BASH_ENV says, python3 a BROWSER.
    (tmp / "ok.sh").write_text(f"env > {tmp}/env.part; mv {tmp}/env.part {tmp}/env\n")
    policy.write_text(f"prefix: bash {tmp}/ok.sh\nprefix: echo good\n")
    m.rerun(f"bash {tmp}/ok.sh", env={"BASH_ENV": f"$(touch {tmp}/evil)", "BASH_FUNC_env%%": f"() {{ touch {tmp}/evil; }}", "RANK": "$(id)",
                                      "PYTHONWARNINGS": "all:0:antigravity.x:0:0", "BROWSER": f"touch {tmp}/evil #%s",
                                      "CUDA_VISIBLE_DEVICES": "0,1", "WANDB_PROJECT": "vision"})
    env = [e.strip() for e in until(lambda: lines(tmp / "env"))]
    assert "CUDA_VISIBLE_DEVICES=0,1" in env and "WANDB_PROJECT=vision" in env
    assert not any(e.startswith(("BASH_", "PYTHONWARNINGS=", "BROWSER=", "RANK=")) for e in env), env
    assert "are left out" in a.log and "BASH_ENV" in a.log and "antigravity" not in a.log  # names, no values
    # Where it says where, the recorded directory must be there, and a link leads nowhere else.
    (tmp / "in").mkdir()
    (tmp / "in" / "sub").mkdir()
    (tmp / "alias").symlink_to(tmp / "in")
    (tmp / "in" / "out").symlink_to("/")
    policy.write_text(f"prefix: echo good\ncwd: {tmp}/alias\n")
    for cwd, error in ((tmp / "in", None), (tmp / "in" / "sub", None), (tmp / "alias", None), (tmp, "not allowed by host policy"),
                       (tmp / "in" / "out", "not allowed by host policy"), (tmp / "in" / "..", "not allowed by host policy"),
                       (tmp / "in" / "gone", "stale_env_path"), ("", "not allowed by host policy")):
        job = m.rerun("echo good", cwd=str(cwd))
        ack = until(lambda: m.ack_of(job))
        assert (ack["status"], ack["error"]) == ("failed" if error else "started", error), cwd
    # It is looked at for each command as at the start, and the log says what is wrong with it.
    for text, mode, word in (("prefix: echo good\n", 0o666, "changed by others"), ("prefix: echo good\nwhat\n", 0o600, "line 2"), (None, 0, "No such file")):
        policy.write_text(text) if text else policy.unlink()
        if text:
            policy.chmod(mode)
        job = m.rerun("echo good")
        assert until(lambda: m.ack_of(job))["status"] == "failed" and word in a.log, word
    assert not (tmp / "evil").exists() and a.proc.alive()
    for text, mode in (("what is this\n", 0o600), ("prefix: x\n", 0o666), ("regex: (\n", 0o600)):
        policy.write_text(text)
        policy.chmod(mode)
        assert a.call("run", "--policy", policy, "--state-dir", tmp / "other").returncode == 2


def test_overrides_reach_the_command_line_only_where_wanted(mocks, agents, tmp):
    m = mocks()
    overrides = {"lr": 0.1, "name": "it's $(id)", "+list": [1, "b"], "flag": True}
    show = f"f() {{ for a; do printf '%s\\n' \"$a\"; done > {tmp}/$ARGUS_BATCH_ID; }}; f one"
    agents(m).register("--hostname", "a").start()
    plain = m.rerun(show, overrides=overrides)
    assert until(lambda: lines(tmp / plain["batch_id"])) == ["one"]
    m2 = mocks()
    agents(m2, "two", args=["--overrides=append"]).register().start()
    job, bad = m2.rerun(show, overrides=overrides), m2.rerun(show, overrides={"x;id": 1})
    assert until(lambda: lines(tmp / job["batch_id"])) == ["one", "lr=0.1", "name=it's $(id)", '+list=[1,"b"]', "flag=true"]
    assert until(lambda: m2.ack_of(bad))["status"] == "failed"


def test_a_command_that_cannot_be_read_stops_nothing_else(mocks, agents):
    m = mocks()
    a = agents(m).register().start()
    with m.lock:
        m.jobs += [{"id": "../../etc/x", "kind": "rerun", "batch_id": "b", "payload": {}, "created_at": m.now(), "status": "pending"},
                   {"id": "no-batch", "kind": "rerun", "payload": {"command": "id"}, "created_at": m.now(), "status": "pending"},
                   {"id": "strange", "kind": "dance", "batch_id": "b", "payload": {}, "created_at": m.now(), "status": "pending"}]
    job, empty = m.rerun("true"), m.rerun("")
    assert until(lambda: m.ack_of(job))["status"] == "started"
    assert until(lambda: m.ack_of(empty))["status"] == "failed"
    assert until(lambda: m.ack_of({"id": "strange"}))["status"] == "failed"
    assert a.proc.alive()


def test_an_odd_command_is_refused_alone_and_stops_go_on(mocks, agents, tmp):
    """What json.dumps of a Python server writes of what editors and environments hold."""
    m = mocks(extension=True)
    deep = []
    for _ in range(40):
        deep = [deep]
    odd = [{"overrides": {"lr": float("nan")}}, {"overrides": {"n": 10**30}}, {"overrides": {"d": deep}}, {"overrides": {"k": "\0"}},
           {"env": {"A": "\0"}}, {"env": [1]}, {"cwd": 5}, {"cwd": "/\udcff"}]
    a = agents(m).register().start()
    long = m.rerun("while :; do sleep 1000 & wait; done")
    assert until(lambda: m.ack_of(long))["status"] == "started"
    with m.lock:  # one answer to a poll has them all, the stop among them
        refused = [{"id": f"odd-{i}", "kind": "rerun", "batch_id": f"b-{i}", "created_at": m.now(), "status": "pending",
                    "payload": {"source_batch_id": "b-1", "command": "true", **p}} for i, p in enumerate(odd)]
        refused.append({**refused[0], "id": "odd-command", "payload": {"command": 7}})
        stop = {"id": "odd-stop", "kind": "stop", "batch_id": long["batch_id"], "payload": {"requested_by": "\0"}, "created_at": m.now(),
                "status": "pending"}
        m.jobs += [*refused, stop]
    text = m.rerun(f"env > {tmp}/env", env={"BYTES": "a\udcff", "PLAIN": "b"})
    assert until(lambda: m.ack_of(stop))["status"] == "started"
    assert until(lambda: m.exit_of(long))["signal"] == 15
    for job in refused:
        ack = until(lambda: m.ack_of(job))
        assert ack["status"] == "failed" and "cannot be read" in ack["error"], (job, ack)
    assert until(lambda: m.exit_of(text))["exit_code"] == 0
    assert "PLAIN=b" in lines(tmp / "env") and not any(x.startswith("BYTES=") for x in lines(tmp / "env"))
    assert a.proc.alive()


# -- stops

IGNORES = "trap '' TERM; echo $$ >> {f}; (trap '' TERM; echo $BASHPID >> {f}; while :; do read -t 1 x <> {g}; done) & while :; do read -t 1 x <> {g}; done"


def test_a_stop_escalates_to_the_whole_group_while_polls_go_on(mocks, agents, tmp):
    m = mocks(extension=True)
    agents(m, args=["--grace", "4"]).register().start()
    os.mkfifo(tmp / "never")
    script = tmp / "stubborn.sh"
    script.write_text("#!/bin/bash\n" + IGNORES.format(f=tmp / "pids", g=tmp / "never"))
    script.chmod(0o755)
    job = m.rerun(f"exec {script}")
    until(lambda: m.ack_of(job) and len(lines(tmp / "pids")) == 2, what="both processes")
    pids = [int(p) for p in lines(tmp / "pids")]
    stop = m.stop_batch(job["batch_id"])
    ack = until(lambda: m.ack_of(stop))
    assert ack["status"] == "started" and ack["pid"] == m.ack_of(job)["pid"]
    n = len(m.polls)
    other = m.rerun("true")
    until(lambda: m.ack_of(other) and len(m.polls) > n + 2, what="polls during the grace")
    assert all(map(is_alive, pids)) and not m.exit_of(job)
    until(lambda: not any(map(is_alive, pids)), what="their end")
    end = until(lambda: m.exit_of(job))
    assert end["signal"] == 9 and end["exit_code"] is None
    again = m.stop_batch(job["batch_id"])
    ack = until(lambda: m.ack_of(again))
    assert ack["status"] == "failed" and ack["error"] == "no longer running"


def test_a_repeated_stop_is_harmless_and_the_servers_grace_counts(mocks, agents, tmp):
    m = mocks(extension=True)
    agents(m, args=["--grace", "1h"]).register().start()
    job = m.rerun("trap '' TERM; while :; do sleep 1000 & wait; done")
    until(lambda: m.ack_of(job))
    stops = [m.stop_batch(job["batch_id"], grace_s=1), m.stop_batch(job["batch_id"], grace_s=1)]
    assert [until(lambda: m.ack_of(s))["status"] for s in stops] == ["started", "started"]
    assert until(lambda: m.exit_of(job))["signal"] == 9
    assert len(m.exits) == 1


def test_a_polite_command_ends_by_sigterm(mocks, agents):
    m = mocks(extension=True)
    agents(m).register().start()
    job = m.rerun("trap 'exit 5' TERM; while :; do sleep 1000 & wait; done")
    until(lambda: m.ack_of(job))
    m.stop_batch(job["batch_id"])
    end = until(lambda: m.exit_of(job))
    assert end["exit_code"] == 5 and end["signal"] is None


def test_a_stop_of_what_we_did_not_start(mocks, agents):
    m = mocks()
    agents(m).register().start()
    stop = m.stop_batch("rerun-of-another", pid=1, pgid=1)
    ack = until(lambda: m.ack_of(stop))
    assert ack == {"status": "failed", "pid": None, "error": "not started by this agent"}


def test_a_stranger_with_a_recycled_pid_is_never_signalled(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register().start()
    job = m.rerun("sleep 1000")
    until(lambda: m.ack_of(job))
    a.proc.kill9()
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        ours = a.command(job)["pid"]
        state = a.state
        state["commands"][0]["pid"] = stranger.pid  # as if its number had been given to another
        (a.dir / "state.json").write_text(json.dumps(state))
        started = next((a.dir / "tasks").glob("*/started"))
        assert started.exists()
        os.killpg(ours, signal.SIGKILL)  # ours ends unseen
        until(lambda: next((a.dir / "tasks").glob("*/status"), None), what="the hold's last word")
        a.start()
        stop = m.stop_batch(job["batch_id"])
        ack = until(lambda: m.ack_of(stop))
        assert ack["status"] == "failed" and ack["error"] == "no longer running"
        assert until(lambda: m.exit_of(job))["signal"] == 9
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


# -- restarts

def test_a_crash_between_spawn_and_ack_starts_once(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register()
    m.stall = ("/ack$", threading.Event())
    a.start()
    os.mkfifo(tmp / "gate")
    job = m.rerun(f"echo $$ >> {tmp}/runs; cat {tmp}/gate; exit 9")
    until(lambda: lines(tmp / "runs") and [r for r in m.requests if r[1].endswith("/ack")], what="a run and an unanswered ack")
    a.proc.kill9()
    with m.lock:  # the ack was lost on the way
        m.requests.clear()
        m.fail.append(("/ack$", 500, {}))
    m.stall[1].set()
    until(lambda: not m.fail, what="the lost ack")
    m.stall = None
    a.start()
    ack = until(lambda: m.ack_of(job))
    assert [str(ack["pid"])] == lines(tmp / "runs")
    (tmp / "gate").write_text("go")
    assert until(lambda: m.exit_of(job))["exit_code"] == 9
    assert len(lines(tmp / "runs")) == 1 and len(m.acks) == 1


def test_reruns_outlive_the_agent_and_their_exit_code_too(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register().start()
    for g in ("one", "two"):
        os.mkfifo(tmp / g)
    one, two = (m.rerun(f"echo $$ >> {tmp}/runs; cat {tmp}/{g}; echo said {g}; exit {i}") for i, g in ((11, "one"), (12, "two")))
    until(lambda: m.ack_of(one) and m.ack_of(two), what="both")
    a.proc.kill9()
    (tmp / "one").write_text("ends while no agent looks")
    until(lambda: next((a.dir / "tasks").glob("*/status"), None), what="the hold's last word")
    a.start()
    end = until(lambda: m.exit_of(one))
    assert end["exit_code"] == 11 and "said one" in end["log_tail"]
    until(lambda: "still running" in a.log, what="the other one found again")
    (tmp / "two").write_text("ends under the second agent")
    assert until(lambda: m.exit_of(two))["exit_code"] == 12
    assert len(lines(tmp / "runs")) == 2
    until(lambda: not list((a.dir / "tasks").glob("*/spec")), what="the tasks' directories gone")


def test_sigterm_ends_the_agent_and_not_its_reruns_which_can_be_stopped_later(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register().start()
    job = m.rerun("sleep 1000")
    pid = until(lambda: m.ack_of(job))["pid"]
    assert a.proc.term() == 0
    assert is_alive(pid)
    a.start()
    m.stop_batch(job["batch_id"])
    assert until(lambda: m.exit_of(job))["signal"] == 15
    assert not is_alive(pid)


def test_what_an_agent_of_before_only_intended_is_run_when_offered_again(mocks, agents, tmp):
    m = mocks()
    a = agents(m).register()
    job = m.rerun(f"echo ran >> {tmp}/runs")
    row = {"id": job["id"], "kind": "rerun", "batch": job["batch_id"], "phase": "intent", "task": 7, "pid": 0, "pid_start": 0, "ack": "none",
           "acked": False, "exit_due": False, "exit_known": False, "exit_code": 0, "signal": 0, "runtime_us": 0}
    state = a.dir / "state.json"
    state.write_text(json.dumps({"version": 1, "next_task": 8, "commands": [row, {**row, "id": "cancelled", "task": 6}]}))
    state.chmod(0o600)
    a.start()
    assert until(lambda: m.ack_of(job))["status"] == "started"
    assert until(lambda: lines(tmp / "runs")) == ["ran"]
    until(lambda: [c["id"] for c in a.state["commands"]] == [job["id"]], what="the cancelled intent gone")


def test_a_broken_book_stops_the_agent(mocks, agents):
    a = agents(mocks()).register()
    (a.dir / "state.json").write_text("{ torn")
    r = a.call("run")
    assert r.returncode == 1 and "state.json" in r.stderr


# -- the loop

def test_heartbeats_have_no_body(mocks, agents):
    m = mocks()
    agents(m, args=["--heartbeat-interval", "100ms"]).register().start()
    until(lambda: len(m.heartbeats) >= 3, what="heartbeats")
    assert all(r[3] == b"" for r in m.requests if r[1].endswith("/heartbeat"))


def test_three_401_in_a_row_end_it_and_two_do_not(mocks, agents):
    m = mocks()
    a = agents(m).register()
    m.fail += [("/jobs$", 401, {"WWW-Authenticate": "Bearer"})] * 2
    a.start()
    until(lambda: len(m.polls) >= 2, what="polls after the flap")
    m.agents.clear()
    assert a.proc.wait() == 3
    assert "reregister" in a.log


def test_403_ends_it(mocks, agents):
    m = mocks()
    a = agents(m).register()
    m.fail.append(("/jobs$", 403, {}))
    assert a.start().proc.wait() == 3


def test_a_new_registration_is_taken_up_by_the_running_agent(mocks, agents):
    m = mocks()
    a = agents(m).register().start()
    until(lambda: m.polls, what="a poll")
    assert a.call("--reregister").returncode == 0
    n = len(m.polls)
    until(lambda: len(m.polls) > n + 2, what="polls with the new token")
    assert a.proc.alive()


def test_retry_after_and_backoff_are_honoured(mocks, agents):
    m = mocks()
    a = agents(m).register()
    m.fail += [("/jobs$", 429, {"Retry-After": "2"}), ("/jobs$", 503, {})]
    a.start()
    until(lambda: len(m.polls) >= 1, what="a poll that worked")
    t = [r[4] for r in m.requests if r[1].endswith("/jobs")]
    assert t[1] - t[0] >= 1.7 and t[2] - t[1] >= 0.85


def test_a_huge_or_senseless_answer_is_refused(mocks, agents):
    m = mocks()
    a = agents(m).register()
    m.raw = b'{"jobs": [], "x": "' + b"y" * (1 << 20) + b'"}'
    a.start()
    until(lambda: "larger" in a.log or "too_large" in a.log, what="the refusal")
    m.raw = b'{"jobs": 5}'
    until(lambda: "no list of jobs" in a.log, what="the refusal")
    job = m.rerun("true")
    assert until(lambda: m.ack_of(job))["status"] == "started"


@pytest.mark.parametrize("skew_s", [-86400, 86400])
def test_clocks_a_day_apart_change_nothing(mocks, agents, skew_s):
    m = mocks(extension=True)
    m.skew_s = skew_s
    agents(m).register().start()
    job = m.rerun("exit 2")
    end = until(lambda: m.exit_of(job))
    assert end["exit_code"] == 2 and 0 <= end["runtime_s"] < 30 * SLOW


def test_a_server_that_goes_and_comes_back(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register().start()
    os.mkfifo(tmp / "gate")
    job = m.rerun(f"cat {tmp}/gate; exit 6")
    until(lambda: m.ack_of(job))
    m.stop()
    (tmp / "gate").write_text("ends while the server is away")
    until(lambda: a.command(job)["phase"] == "over", what="its end")
    m.start()
    assert until(lambda: m.exit_of(job), 30)["exit_code"] == 6


def test_once_and_dry_run(mocks, agents, tmp):
    m = mocks(extension=True)
    a = agents(m).register()
    job = m.rerun(f"echo ran >> {tmp}/runs; sleep 1000")
    r = a.call("--dry-run")
    assert r.returncode == 0 and job["id"] in r.stdout and "would be run" in r.stdout, r.stderr
    assert m.acks == [] and not (tmp / "runs").exists()
    r = a.call("--once")
    assert r.returncode == 0, r.stderr
    assert m.ack_of(job)["status"] == "started" and until(lambda: lines(tmp / "runs")) == ["ran"]
    assert is_alive(m.ack_of(job)["pid"])
    m.stop_batch(job["batch_id"])
    assert a.call("--once").returncode == 0
    until(lambda: not is_alive(m.ack_of(job)["pid"]), what="its end")
    until(lambda: a.call("--once").returncode == 0 and m.exit_of(job), what="the word of it")
    assert m.exit_of(job)["signal"] == 15
    r = a.call("register", "--reregister", "--dry-run")
    assert "/api/agents/register" in r.stdout and len(m.registers) == 1


def test_a_log_is_rotated(mocks, agents):
    m = mocks()
    a = agents(m, args=["--log-max", "8192"]).register().start()
    job = m.rerun("i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; [ $((i % 50)) = 0 ] && head -c 20000 /dev/zero; done")
    old = a.dir / "logs" / f"{job['id']}.log.1"
    until(lambda: old.exists(), 30, "the rotation")
    assert old.stat().st_mode & 0o777 == 0o600
    m.stop_batch(job["batch_id"])
    until(lambda: a.command(job)["phase"] == "over")


def test_more_commands_than_the_book_holds_wait_at_the_server(mocks, agents):
    m = mocks()
    a = agents(m).register()
    m.stall = ("/ack$", threading.Event())
    stops = [m.stop_batch(f"rerun-{i}") for i in range(1100)]
    a.start()
    until(lambda: "too many commands" in a.log, what="the warning")
    until(lambda: len(a.state["commands"]) == 1024, what="a full book")
    m.stall[1].set()
    until(lambda: all(s["status"] == "failed" for s in stops), 40, "every answer")
    until(lambda: len(a.state["commands"]) <= 256 + 76 and all(c["acked"] for c in a.state["commands"]), what="the book trimmed")


# -- how much of it there is

def pss_kib(pid):
    return int(next(ln for ln in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if ln.startswith("Pss:")).split()[1])


@unsanitized
def test_the_agent_stays_below_8_mb(mocks, agents):
    m = mocks(extension=True)
    a = agents(m).register().start()
    for i in range(20):
        job = m.rerun("echo hello", env={f"VARIABLE_{n}": "x" * 100 for n in range(100)})
        until(lambda: m.exit_of(job))
    pss = pss_kib(a.proc.p.pid)
    print(f"argus-agent: {pss} KiB PSS after 20 reruns")
    assert pss <= 8192
