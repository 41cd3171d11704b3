"""Users, tokens, roles, audit chain, events, health, metrics, logs, the local socket."""
import json
import os
import re
import sqlite3
import subprocess
import threading

import pytest
import requests
from conftest import BUILD, Proc, until


def bearer(t):
    return {"Authorization": f"Bearer {t}"}


def mk_user(s, name, role, pw="correct horse"):
    s.api("POST", "/api/v1/users", {"name": name, "role": role, "password": pw}, expect=201)
    return s.api("POST", "/api/v1/login", {"username": name, "password": pw}, expect=200).json()["token"]


def test_roles_allow_and_deny(pair):
    s, a = pair
    v, o, ad = (mk_user(s, n, n) for n in ("viewer", "operator", "admin"))
    run = {"targets": {"hosts": [a.host["name"]]}, "argv": ["true"]}
    for tok, path, method, body, want in (
            (v, "/api/v1/agents", "GET", None, 200), (v, "/api/v1/jobs", "POST", run, 403), (o, "/api/v1/jobs", "POST", run, 201),
            (o, "/api/v1/users", "GET", None, 403), (ad, "/api/v1/users", "GET", None, 200), (v, "/api/v1/audit", "GET", None, 403),
            (o, f"/api/v1/agents/{a.host['id']}/revoke", "POST", {}, 403), (v, "/api/v1/tokens", "GET", None, 403)):
        r = s.api(method, path, body, headers=bearer(tok))
        assert r.status_code == want, (path, r.status_code, r.text)
        if want == 403:
            assert r.json()["error"]["code"] == "auth.denied"


def test_a_presented_bad_credential_is_401_even_in_dev(pair):
    s, _ = pair
    assert s.api("GET", "/api/v1/agents").status_code == 200
    for bad in ("em_live_" + "x" * 27, "nonsense", ""):
        r = s.api("GET", "/api/v1/agents", headers={"Authorization": f"Bearer {bad}"})
        assert r.status_code == 401 and r.headers["WWW-Authenticate"].startswith("Bearer"), bad


def test_a_web_page_elsewhere_cannot_use_the_dev_rule(pair):
    s, _ = pair
    assert s.api("GET", "/api/v1/agents", headers={"Origin": "https://evil.example"}).status_code == 403
    assert s.api("GET", "/api/v1/agents", headers={"Host": "evil.example"}).status_code in (401, 403)
    assert s.api("GET", "/api/v1/agents", headers={"Origin": s.url}).status_code == 200


def test_api_tokens_are_shown_once_stored_hashed_and_revocable(pair):
    s, _ = pair
    admin = mk_user(s, "ann", "admin")
    t = s.api("POST", "/api/v1/api-tokens", {"name": "ci", "role": "viewer"}, headers=bearer(admin), expect=201).json()
    assert re.fullmatch(r"em_live_[A-Za-z0-9_-]{27}", t["token"])
    assert t["token"] not in s.api("GET", "/api/v1/api-tokens", headers=bearer(admin)).text
    assert s.api("GET", "/api/v1/agents", headers=bearer(t["token"])).status_code == 200
    s.api("DELETE", f"/api/v1/api-tokens/{t['id']}", headers=bearer(admin), expect=200)
    assert s.api("GET", "/api/v1/agents", headers=bearer(t["token"])).status_code == 401
    s.stop()
    for f in s.state.iterdir():
        if f.is_file():
            data = f.read_bytes()
            assert t["token"].encode() not in data and b"correct horse" not in data, f
    assert t["token"] not in s.log and admin not in s.log


def test_an_open_stream_ends_when_its_token_is_revoked(pair):
    s, _ = pair
    admin = mk_user(s, "rob", "admin")
    t = s.api("POST", "/api/v1/api-tokens", {"name": "watch", "role": "viewer"}, headers=bearer(admin), expect=201).json()
    with requests.get(s.url + "/api/v1/events?follow=true", stream=True, headers=bearer(t["token"]), timeout=30) as r:
        assert r.status_code == 200
        lines = r.iter_lines()
        next(lines)
        s.api("DELETE", f"/api/v1/api-tokens/{t['id']}", headers=bearer(admin), expect=200)
        for _ in lines:  # ends: a stream that goes on runs into the time-out
            pass


def test_an_install_token_approves_no_longer_than_its_maker_might(fleet):
    s = fleet.server()
    tokens = {n: s.api("POST", "/api/v1/tokens", {"uses": 0, "auto_approve": True}, headers=bearer(mk_user(s, n, "operator")),
                       expect=201).json()["token"] for n in ("gone", "less", "stays")}
    s.api("PATCH", "/api/v1/users/gone", {"disabled": True}, expect=200)
    s.api("PATCH", "/api/v1/users/less", {"role": "viewer"}, expect=200)
    for name, t in tokens.items():
        fleet.agent(s, name, token=t, start=False).start(token=t)
    until(lambda: len(s.get("/api/v1/enrollments")["enrollments"]) == 2 and len(s.agents()) == 1, what="one host in, two that wait")


def test_a_disabled_user_is_out_at_once_and_the_last_admin_stays(pair):
    s, _ = pair
    tok = mk_user(s, "olga", "operator")
    s.cli("user", "disable", "olga", check=0)
    assert s.api("GET", "/api/v1/agents", headers=bearer(tok)).status_code == 401
    assert s.api("POST", "/api/v1/login", {"username": "olga", "password": "correct horse"}).status_code == 401


def test_logins_are_rate_limited(pair):
    s, _ = pair
    mk_user(s, "rita", "viewer")
    codes = [s.api("POST", "/api/v1/login", {"username": "rita", "password": "wrong"}) for _ in range(40)]
    limited = [r for r in codes if r.status_code == 429]
    assert limited and int(limited[0].headers["Retry-After"]) >= 1
    assert all(r.status_code in (401, 429) for r in codes)


def test_passwords_come_by_file_or_pipe(pair, tmp):
    s, _ = pair
    f = tmp / "pw"
    f.write_text("from a file\n")
    s.cli("user", "add", "fred", "--role", "viewer", "--password-file", f, check=0)
    s.api("POST", "/api/v1/login", {"username": "fred", "password": "from a file"}, expect=200)
    out = s.cli("user", "list", check=0).stdout
    assert "fred" in out and "viewer" in out


def test_the_audit_chain_verifies_and_an_edit_is_found(pair):
    s, a = pair
    s.cli("label", a.host["name"], "x=y", check=0)
    s.api("POST", "/api/v1/jobs", {"targets": {"hosts": ["nobody"]}, "argv": ["true"]})
    r = s.get("/api/v1/audit/verify")
    assert r["ok"] and r["rows"] >= 3
    s.cli("audit", "--verify", check=0)
    verbs = {x["verb"] for x in s.get("/api/v1/audit")["rows"]}
    assert {"host.label", "host.approve"} & verbs
    s.stop()
    db = sqlite3.connect(next(s.state.glob("*.db")))
    table = [t for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'") if "audit" in t][0]
    db.execute(f"UPDATE {table} SET target = 'someone else' WHERE id = 2")
    db.commit()
    db.close()
    s.start()
    r = s.get("/api/v1/audit/verify")
    assert not r["ok"] and r["broken"]["id"] == 2
    assert s.cli("audit", "--verify").returncode == 1


def test_refusals_are_audited(pair):
    s, _ = pair
    v = mk_user(s, "vera", "viewer")
    s.api("POST", "/api/v1/tokens", {}, headers=bearer(v), expect=403)
    rows = s.get("/api/v1/audit")["rows"]
    assert [r for r in rows if r["outcome"] == "denied" and r["principal"] == "vera"], rows[-5:]


def test_events_can_be_followed_and_resumed(pair):
    s, a = pair
    got = []

    def follow(headers, begun=lambda: None):
        with requests.get(s.url + "/api/v1/events?follow=true", stream=True, headers=headers, timeout=20) as r:
            begun()
            for line in r.iter_lines():
                if line.startswith(b"data:"):
                    got.append(json.loads(line[5:]))
                    if got[-1]["event_type"] == "host.labelled" and got[-1].get("details") is not None:
                        return
    t = threading.Thread(target=follow, args=({},), daemon=True)
    t.start()
    until(lambda: s.get("/api/v1/events")["last_event_id"] > 0, what="events")
    k = 0
    while t.is_alive() and k < 50:
        s.cli("label", a.host["name"], f"n={k}", check=0)
        k += 1
        t.join(0.2)
    assert got and got[-1]["event_type"] == "host.labelled"
    ids = [e["id"] for e in got]
    assert ids == sorted(ids)
    first = s.get("/api/v1/events?limit=1000")["events"][-1]["id"]
    got.clear()
    follow({"Last-Event-ID": str(first)})
    assert got[0]["id"] == first + 1
    last = s.get("/api/v1/events")["last_event_id"]
    got.clear()
    follow({"Last-Event-ID": "9000000000000000"}, lambda: s.cli("label", a.host["name"], "beyond=1", check=0))
    assert got[0]["id"] == last + 1, "who comes with a number of another server is deaf"


def test_health_ready_metrics_and_openapi(pair):
    s, a = pair
    assert requests.get(s.url + "/healthz", timeout=5).text == "ok"
    assert requests.get(s.url + "/readyz", timeout=5).status_code == 200
    h = s.get("/api/v1/health")
    assert h["status"] == "ok" and h["agents"]["connected"] == 1
    m = requests.get(s.url + "/metrics", timeout=5)
    assert m.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = m.text
    assert re.search(r"^agentic_agents_connected 1$", text, re.M)
    assert re.search(r'^agentic_agents_by_status\{status="ready"\} 1$', text, re.M)
    before = float(re.search(r"^agentic_commands_total (\S+)$", text, re.M).group(1))
    s.cli("run", a.host["name"], "--", "true", check=0)
    after = float(re.search(r"^agentic_commands_total (\S+)$", requests.get(s.url + "/metrics", timeout=5).text, re.M).group(1))
    assert after == before + 1
    seen = set()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            name = line.split()[2]
            assert name not in seen, f"{name} twice"
            seen.add(name)
    api = s.get("/api/openapi.json")
    assert api["openapi"].startswith("3.1") and "/api/v1/agents" in api["paths"]


def test_websocket_says_hello_and_pongs(pair):
    import asyncio
    import websockets
    s, a = pair

    async def talk():
        async with websockets.connect(f"ws://127.0.0.1:{s.base + 1}/") as ws:
            assert json.loads(await ws.recv())["type"] == "server_hello"
            await ws.send(json.dumps({"type": "ping", "timestamp": 42}))
            r = json.loads(await ws.recv())
            assert (r["type"], r["timestamp"]) == ("pong", 42)
            await ws.send(json.dumps({"type": "list_agents"}))
            r = json.loads(await ws.recv())
            assert r["type"] == "agent_list" and [x["id"] for x in r["agents"]] == [a.host["id"]]
            await ws.send("not json")
            assert json.loads(await ws.recv())["type"] == "error"
    asyncio.run(talk())


@pytest.mark.parametrize("fmt,pattern", [
    ("json", r'^\{"timestamp": ?"\d{4}-.*"level": ?"[a-zA-Z]+".*\}$'),
    ("compact", r"^\d\d:\d\d:\d\d (INFO|WARN|ERROR|DEBUG) .*"),
    ("pretty", r"^\d{4}-\d\d-\d\dT\S+Z? +(INFO|WARN|ERROR|DEBUG) \S+: .*")])
def test_log_formats(fleet, fmt, pattern):
    s = fleet.server(env={"LOG_FORMAT": fmt})
    s.stop()
    lines = [x for x in s.log.splitlines() if x]
    assert lines and all(re.match(pattern, x) for x in lines), lines[:5]
    assert "\x1b[" not in s.log


def test_options_have_one_order_flag_env_file_default(tmp):
    f = tmp / "c.yaml"
    f.write_text("log-level: warn\nheartbeat: 20s\n")

    def dump(env=None, *args):
        e = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
        e.update(env or {})
        r = subprocess.run([BUILD / "musterd", "--config", f, *args, "config", "dump", "--origin"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, env=e, timeout=30)
        assert r.returncode == 0, r.stdout
        return r.stdout
    assert re.search(r"log-level\s*[=:]\s*warn.*file", dump())
    assert re.search(r"log-level\s*[=:]\s*error.*env", dump({"MUSTER_LOG_LEVEL": "error"}), re.I)
    assert re.search(r"log-level\s*[=:]\s*debug.*flag", dump({"MUSTER_LOG_LEVEL": "error"}, "--log-level", "debug"))
    f.write_text("heartbeat: 1ms\nno-such-option: 3\n")
    r = subprocess.run([BUILD / "musterd", "--config", f, "config", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert r.returncode == 78 and ("no-such-option" in r.stdout or "heartbeat" in r.stdout)
    for text, want in (("trusted-proxy: [10.0.0.1, 10.0.0.0/8]\n", "10.0.0.0/8"), ("tls-cert: /no/cert\ntls-key: /no/key\n", "/no/cert")):
        f.write_text(text)
        r = subprocess.run([BUILD / "musterd", "--config", f, "config", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
        assert r.returncode == 78 and want in r.stdout, r.stdout


def test_sighup_reloads_and_sigterm_drains(pair, tmp):
    s, a = pair
    import signal
    s.proc.p.send_signal(signal.SIGHUP)
    until(lambda: "reload" in s.log.lower(), what="the reload to be logged")
    assert s.api("GET", "/api/v1/agents").status_code == 200
    assert s.stop() == 0
    until(lambda: "server.stopping" in a.log or "stopping" in a.log, what="the agent to be told why")


def test_rotation_makes_dated_files_and_retention_deletes_old_ones(fleet):
    d = fleet.dir / "logs"
    d.mkdir()
    old = d / "m.log.2020-01-01"
    old.write_text("old\n")
    os.utime(old, (1577836800, 1577836800))
    s = fleet.server(env={"LOG_FILE": str(d / "m.log"), "LOG_FILE_ROTATION": "daily", "LOG_FILE_RETENTION_DAYS": "7"})
    until(lambda: not old.exists(), what="the old file to be deleted")
    assert any(f.name.startswith("m.log") for f in d.iterdir())
    s.stop()


def test_sd_notify_says_ready_and_stopping(fleet, tmp):
    import socket
    path = tmp / "notify"
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.bind(str(path))
    n.settimeout(20)
    s = fleet.server(env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"})
    seen = b""
    while b"WATCHDOG=1" not in seen:
        seen += n.recv(4096) + b"\n"
    assert b"READY=1" in seen
    s.stop()
    while b"STOPPING=1" not in seen:
        seen += n.recv(4096) + b"\n"


def test_help_version_man_and_unknown_flags(tmp):
    for prog in ("musterd", "muster-agent", "muster", "fleetsim"):
        r = subprocess.run([BUILD / prog, "--help"], stdout=subprocess.PIPE, timeout=20, text=True)
        assert r.returncode == 0 and "--" in r.stdout and prog in r.stdout
        assert subprocess.run([BUILD / prog, "--version"], stdout=subprocess.PIPE, timeout=20).returncode == 0
        r = subprocess.run([BUILD / prog, "--no-such-flag"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, text=True)
        assert r.returncode == 2 and "no-such-flag" in r.stderr
    for args in (("musterd", "--listen"), ("muster-agent", "--server"), ("muster", "--server")):
        r = subprocess.run([BUILD / args[0], *args[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20, text=True)
        assert r.returncode == 2 and "needs a value" in r.stderr, args
    for sh in ("bash", "zsh", "fish"):
        assert subprocess.run([BUILD / "muster", "completion", sh], stdout=subprocess.PIPE, timeout=20).returncode == 0


def test_signals_work_even_when_inherited_as_ignored(fleet):
    import signal
    s = fleet.server(start=False)
    s.proc = Proc(["sh", "-c", 'trap "" INT TERM; exec "$@"', "sh", BUILD / "musterd", "--dev", "--state-dir", s.state, "--listen",
                   f"127.0.0.1:{s.base}"], s.dir / "musterd.log")
    s.wait_ready()
    s.proc.p.send_signal(signal.SIGINT)
    assert s.proc.wait(12) == 0


@pytest.mark.parametrize("method, path, headers", [
    ("GET", "/api/v1/agents", {"Authorization": "Bearer em_live_x"}),
    ("POST", "/api/v1/login", {}),
    ("GET", "/api/vps", {"X-Api-Key": "sk_sigma_x"}),
    ("POST", "/api/agent/heartbeat", {"X-Api-Key": "sk_sigma_x"}),
    ("POST", "/api/agents/check-in", {"X-Agent-Api-Key": "gpak_x"}),
    ("POST", "/api/auth/login/local", {}),
    ("GET", "/api/agents/policies", {}),
])
def test_require_https_covers_every_surface(fleet, method, path, headers):
    s = fleet.server(args=["--require-https", "--trusted-proxy", "127.0.0.1"])
    body = "{}" if method == "POST" else None
    headers = {**headers, "Content-Type": "application/json"}
    far = requests.request(method, s.url + path, data=body, headers={**headers, "X-Forwarded-For": "198.51.100.7"}, timeout=30)
    assert far.status_code == 403 and "https" in far.text
    tls = requests.request(method, s.url + path, data=body, timeout=30,
                           headers={**headers, "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"})
    assert "https only" not in tls.text
    assert requests.get(s.url + "/healthz", headers={"X-Forwarded-For": "198.51.100.7"}, timeout=30).status_code == 200
