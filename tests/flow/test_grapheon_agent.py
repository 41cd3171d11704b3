"""muster-agent as Graphēon's agent, against a strict mock of the real server and against our own (spec: Graphēon 5, 6)."""
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import time

import pytest
import requests

from conftest import BUILD, SLOW, until
from grapheon_mock import ADMIN, Mock, canonical

SECTIONS = ("addresses", "neighbors", "connections", "routes")
IP_ADDR = [
    {"ifindex": 1, "ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8}]},
    {"ifindex": 2, "ifname": "eth0", "address": "02:00:00:00:00:05", "addr_info": [
        {"family": "inet", "local": "192.0.2.5", "prefixlen": 24}, {"family": "inet6", "local": "fe80::5", "prefixlen": 64}]},
    {"ifindex": 3, "ifname": "tun0", "address": "198.51.100.1", "addr_info": [{"family": "inet", "local": "198.51.100.9", "prefixlen": 32}]},
    {"ifindex": 4, "ifname": "dummy0", "address": "02:00:00:00:00:06", "addr_info": []},
]
IP_NEIGH = [{"dst": "192.0.2.1", "dev": "eth0", "lladdr": "02:00:00:00:00:01", "state": ["REACHABLE"]},
            {"dst": "192.0.2.77", "dev": "eth0", "state": ["FAILED"]}]
IP_ROUTE = [{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "protocol": "dhcp", "prefsrc": "192.0.2.5", "metric": 100, "flags": []},
            {"dst": "192.0.2.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "prefsrc": "192.0.2.5", "flags": []}]
SS = """tcp   LISTEN    0 128   0.0.0.0:22  0.0.0.0:*  users:(("sshd",pid=900,fd=3),("systemd",pid=1,fd=40))
udp   UNCONN    0 0     127.0.0.53%lo:53  0.0.0.0:*  users:(("systemd-resolve",pid=620,fd=12))
tcp   TIME-WAIT 0 0     192.0.2.5:443  198.51.100.21:40001
tcp   ESTAB     0 0     [::ffff:192.0.2.5]:8080  [::ffff:198.51.100.24]:41000  users:(("java",pid=77,fd=9))
"""
WITHOUT_WILDCARD = "\n".join(SS.splitlines()[1:]) + "\n"


class Tools:
    """Stub ip and ss on a PATH of their own."""

    def __init__(self, dir):
        self.dir = dir
        dir.mkdir()
        self.put("ip", 'cat "$D/$2.out"')
        self.put("ss", 'cat "$D/ss.out"')
        self.set(addr=IP_ADDR, neigh=IP_NEIGH, route=IP_ROUTE, ss=WITHOUT_WILDCARD)

    def put(self, name, script):
        p = self.dir / name
        p.write_text(f"#!/bin/sh\nD={self.dir}\nPATH=/usr/bin:/bin\n{script}\n")
        p.chmod(0o755)

    def set(self, **texts):
        for name, text in texts.items():
            (self.dir / f"{name}.out").write_text(text if isinstance(text, str) else json.dumps(text))


class Host:
    """A host with its state directory; run() is one run of the agent."""

    def __init__(self, top, url, name="agent-state"):
        self.top, self.url = top, url
        self.state = top / name
        self.tools = Tools(top / (name + "-tools"))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("GRAPHEON_", "MUSTER_")) and not k.lower().endswith("_proxy")}
        self.collector = "commands"

    def argv(self, *args):
        return [str(BUILD / "muster-agent"), "grapheon", "--config", str(self.top / "none.env"), "--server-url", self.url, "--state-dir", str(self.state),
                "--collector", self.collector, "--retries", "0", *map(str, args)]

    def run(self, *args, expect=0, env=None):
        full = {**self.env, "PATH": str(self.tools.dir), **(env or {})}
        r = subprocess.run(self.argv(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, env=full, timeout=60 * SLOW)
        assert r.returncode == expect, f"{args}: exit {r.returncode}\n{r.stdout}\n{r.stderr}"
        return r

    def json(self):
        return json.loads((self.state / "state.json").read_text())

    uuid = property(lambda s: (s.state / "agent_uuid").read_text().strip())
    key = property(lambda s: (s.state / "api_key").read_text().strip())

    def snapshot(self):
        """Every file with its bytes: nothing may change when a run fails."""
        return {p.name: p.read_bytes() for p in self.state.iterdir()}


class Console:
    def __init__(self, url, token=None):
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method, path, body=None):
        r = requests.request(method, self.url + "/api/agents" + path, json=body, headers=self.headers, timeout=30)
        assert r.status_code < 300, f"{method} {path}: {r.status_code} {r.text}"
        return r.json()


@pytest.fixture
def mock():
    m = Mock()
    yield m
    m.close()


@pytest.fixture
def host(tmp_path, mock):
    return Host(tmp_path, mock.url)


def prepared(console, **policy):
    p = console("POST", "/policies", {"name": f"fast-{time.monotonic_ns()}", "jitter_seconds": 0, "max_report_bytes": 10485760, **policy})
    k = console("POST", "/enrollment-keys", {"name": f"auto-{time.monotonic_ns()}", "default_policy_id": p["id"], "auto_approve": True})
    return p["id"], k["enrollment_key"]


@pytest.fixture
def ready(mock, host):
    """A host with an API key and a policy without jitter."""
    mock.policy, key = prepared(Console(mock.url, ADMIN))
    host.run("--enrollment-key", key, "--register-only")
    return host


def test_texts_for_a_server_that_does_not_read_them_become_rows(mock, ready):
    assert "does not read texts of commands: sending rows" in ready.run("--force", "--raw").stderr
    first, second = mock.reports()[-2:]
    assert set(first["raw"]) == {"ip_addr", "ip_neigh", "ss_tunap", "ip_route"} and not first["routes"]
    assert not {"full_snapshot", "digest", "removed"} & set(first)  # changes nothing there
    assert "raw" not in second and second["routes"] and second["full_snapshot"]
    assert [r["sequence_number"] for r in (first, second)] == [1, 2] and ready.json()["last_snapshot"]


def test_an_answer_without_an_agent_says_the_enrollment_by_its_status(mock, host):
    argv = ("--enrollment-key", "gaek_any", "--register-only")
    for body, state in (({"status": "pending"}, "pending"), ({"status": "active", "api_key": "gpak_0"}, "active")):
        mock.answers(200, json.dumps(body).encode())
        host.run(*argv)
        assert host.json()["enrollment_state"] == state


# -- the sequence of section 6, against both servers

@contextlib.contextmanager
def served(kind, fleet):
    if kind == "mock":
        m = Mock()
        try:
            yield m.url, Console(m.url, ADMIN)
        finally:
            m.close()
        return
    s = fleet.server()
    if requests.post(s.url + "/api/agents/register", json={"enrollment_key": "x", "agent_uuid": "y"}, timeout=10).status_code in (404, 501):
        pytest.skip("this musterd does not speak Graphēon")
    yield s.url, Console(s.url)


@pytest.mark.parametrize("kind", ["mock", "musterd"])
def test_a_life_of_an_agent_from_registration_to_revocation(kind, fleet, tmp_path):
    with served(kind, fleet) as (url, api):
        h = Host(tmp_path, url)
        policy = api("POST", "/policies", {"name": "it-fast", "jitter_seconds": 0, "checkin_interval_seconds": 3600, "max_report_bytes": 10485760})["id"]
        ek = api("POST", "/enrollment-keys", {"name": "it-manual", "default_policy_id": policy, "auto_approve": False})["enrollment_key"]

        h.run("--check-in-only", expect=1)
        assert "waiting for admin approval" in h.run("--enrollment-key", ek, "--register-only").stderr
        state = h.json()
        assert state["enrollment_state"] == "pending" and state["agent_id"] and state["policy"]["jitter_seconds"] == 0
        ident = next(a["id"] for a in api("GET", "?enrollment_state=pending")["items"] if a["agent_uuid"] == h.uuid)
        assert state["agent_id"] == ident
        assert api("POST", f"/{ident}/approve", {})["enrollment_state"] == "active"
        assert "Register-only mode complete" in h.run("--enrollment-key", ek, "--register-only").stderr
        assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in h.state.glob("[!.]*")} == dict.fromkeys(["agent_uuid", "api_key", "state.json"], 0o600)
        assert {stat.S_IMODE(p.stat().st_mode) for p in h.state.iterdir()} == {0o600} and stat.S_IMODE(h.state.stat().st_mode) == 0o700

        assert "Check-in accepted" in h.run().stderr
        assert "Skipping collection" in h.run().stderr
        h.run("--check-in-only", "--force")
        page = api("GET", f"/{ident}/checkins")
        assert page["total"] == 2
        assert [[c["sequence_number"], c["full_snapshot"], c["content_encoding"], c["auth_method"]] for c in page["items"]] == \
            [[2, False, "gzip", "api_key"], [1, True, "gzip", "api_key"]]

        new = api("POST", f"/{ident}/rotate-api-key", {"reason": "test"})["api_key"]
        before = h.snapshot()
        assert "HTTP 401" in h.run("--force", expect=1).stderr
        assert h.snapshot() == before
        (h.state / "api_key").write_text(new + "\n")
        h.run("--force")
        assert h.json()["sequence_number"] == 3
        (h.state / "api_key").unlink()
        assert "no API key" in h.run("--enrollment-key", ek, expect=1).stderr
        (h.state / "api_key").write_text(new + "\n")
        (h.state / "api_key").chmod(0o600)
        assert api("PATCH", f"/{ident}", {"enrollment_state": "revoked"})["enrollment_state"] == "revoked"
        assert "HTTP 403" in h.run("--force", expect=1).stderr
        (h.state / "api_key").unlink()
        assert "HTTP 403" in h.run("--enrollment-key", ek, expect=1).stderr
        assert "HTTP 401" in h.run("--enrollment-key", "gaek_wrong", expect=1).stderr


# -- what is sent

def test_the_bodies_are_those_of_the_upstream_agent(mock, host):
    _, key = prepared(Console(mock.url, ADMIN))
    host.run("--enrollment-key", key, "--display-name", "D", "--site-name", "S", "--hostname", "host-a")
    register, checkin = mock.agent_requests()
    assert register[2].get("Content-Encoding") is None and "X-Agent-Api-Key" not in register[2]
    body = json.loads(register[3])
    assert (body["display_name"], body["hostname"], body["site_name"], body["platform"]) == ("D", "host-a", "S", "linux")
    assert body["addresses"] == [
        {"interface": "eth0", "ip_address": "192.0.2.5", "mac_address": "02:00:00:00:00:05", "prefix_length": 24},
        {"interface": "eth0", "ip_address": "fe80::5", "mac_address": "02:00:00:00:00:05", "prefix_length": 64},
        {"interface": "tun0", "ip_address": "198.51.100.9", "mac_address": None, "prefix_length": 32}]
    assert checkin[2]["Content-Encoding"] == "gzip" and checkin[2]["X-Agent-Api-Key"] == host.key
    report, = mock.reports()
    assert report["full_snapshot"] is True and report["sequence_number"] == 1 and report["addresses"] == body["addresses"]
    assert report["neighbors"] == [
        {"interface": "eth0", "ip_address": "192.0.2.1", "mac_address": "02:00:00:00:00:01", "state": "reachable"},
        {"interface": "eth0", "ip_address": "192.0.2.77", "mac_address": None, "state": "failed"}]
    assert report["connections"] == [
        {"local_ip": "127.0.0.53", "local_port": 53, "pid": 620, "process_name": "systemd-resolve", "protocol": "udp", "remote_ip": "0.0.0.0", "remote_port": None, "state": "unknown"},
        {"local_ip": "192.0.2.5", "local_port": 443, "pid": None, "process_name": None, "protocol": "tcp", "remote_ip": "198.51.100.21", "remote_port": 40001, "state": "time_wait"},
        {"local_ip": "::ffff:c000:205", "local_port": 8080, "pid": 77, "process_name": "java", "protocol": "tcp", "remote_ip": "::ffff:c633:6418", "remote_port": 41000, "state": "established"}]
    assert report["routes"] == [
        {"destination": "192.0.2.0/24", "gateway": None, "interface": "eth0", "source_ip": "192.0.2.5"},
        {"destination": "default", "gateway": "192.0.2.1", "interface": "eth0", "source_ip": "192.0.2.5"}]


def digest(section, rows):
    total = sum(int.from_bytes(hashlib.sha256(b"muster.row\0" + section.encode() + b"\0" + t.encode()).digest(), "little")
                for t in {canonical(r) for r in rows})
    return (total % 2**256).to_bytes(32, "little").hex()


def test_a_delta_has_what_is_new_what_is_gone_and_the_digest_of_the_whole(mock, ready):
    ready.run("--force")
    neigh = [{**IP_NEIGH[0], "state": ["STALE"]}, IP_NEIGH[1]]
    ready.tools.set(neigh=neigh)
    ready.run("--force")
    ready.run("--force")
    first, second, third = mock.reports()
    assert [second[s] for s in SECTIONS] == [[], [{**first["neighbors"][0], "state": "stale"}], [], []]
    assert second["full_snapshot"] is False and second["removed"] == {"neighbors": [first["neighbors"][0]]}
    assert all(third[s] == [] for s in SECTIONS) and "removed" not in third and third["sequence_number"] == 3
    rows = {**{s: first[s] for s in SECTIONS}, "neighbors": [second["neighbors"][0], first["neighbors"][1]]}
    for s in SECTIONS:
        assert third["digest"][s] == {"count": len(rows[s]), "sha256": digest(s, rows[s])}
    assert third["section_status"] == dict.fromkeys(SECTIONS, "ok") and third["state_epoch"] == first["state_epoch"]


def test_a_row_that_went_and_came_back_is_sent_again(mock, ready):
    ready.run("--force")
    ready.tools.set(ss="")
    ready.run("--force")
    ready.tools.set(ss=WITHOUT_WILDCARD)
    ready.run("--force")
    first, second, third = mock.reports()
    assert second["connections"] == [] and second["removed"]["connections"] == first["connections"]
    assert third["connections"] == first["connections"]


def test_a_failing_or_disabled_section_is_empty_and_says_so(mock, ready):
    ready.run("--force")
    ready.tools.put("ss", "exit 3")
    ready.tools.put("netstat", "echo tcp 0 0 192.0.2.9:1 192.0.2.8:2 ESTABLISHED 1/x")
    assert "ss failed with code 3" in ready.run("--force").stderr
    (ready.tools.dir / "ss").unlink()
    ready.run("--force")
    (ready.tools.dir / "netstat").unlink()
    (ready.tools.dir / "ip").unlink()
    ready.run("--force")
    _, failed, fallback, missing = mock.reports()
    assert failed["section_status"]["connections"] == "failed" and failed["connections"] == [] and "connections" not in failed.get("removed", {})
    assert "connections" not in failed["digest"]
    assert [c["process_name"] for c in fallback["connections"]] == ["x"]
    assert set(missing["section_status"].values()) == {"missing"}
    assert ready.json()["last_snapshot"] == {s: [] for s in SECTIONS}

    mock.policies[mock.policy]["enabled_commands"] = {"ip_neigh": False}
    ready.tools.put("ip", 'cat "$D/$2.out"')
    ready.run("--force")  # learns the policy
    ready.run("--force")
    assert mock.reports()[-1]["section_status"]["neighbors"] == "disabled"


def test_a_command_that_hangs_is_ended_by_the_policy(mock, ready):
    mock.policies[mock.policy]["command_timeout_seconds"] = 1
    ready.run("--force")
    ready.tools.put("ss", "sleep 60 & wait")
    assert "took longer" in ready.run("--force").stderr
    assert mock.reports()[-1]["section_status"]["connections"] == "failed"


def test_rows_come_from_the_kernel_too(mock, ready):
    ready.collector = "netlink"
    ready.run("--force")
    report, = mock.reports()
    assert report["section_status"] == dict.fromkeys(SECTIONS, "ok")
    assert any(c["local_port"] == mock.server.server_port for c in report["connections"])


# -- wildcard listeners

def test_wildcard_listeners_are_left_out_for_a_server_that_refuses_them(mock, ready):
    ready.tools.set(ss=SS)
    out = ready.run("--force").stderr
    assert "without them" in out and "Check-in accepted" in out
    assert len(mock.agent_requests()) == 3  # register, refused, taken
    ready.run("--force")
    assert len(mock.agent_requests()) == 4  # remembered
    reports = mock.reports()
    assert [r["sequence_number"] for r in reports] == [1, 2] and len(reports[0]["connections"]) == 3 and reports[1]["connections"] == []


def test_wildcard_listeners_go_to_a_server_that_takes_them(mock, ready):
    mock.refuse_wildcards = False
    ready.tools.set(ss=SS)
    ready.run("--force")
    assert mock.reports()[0]["connections"][0]["local_ip"] == "0.0.0.0"
    ready.run("--force", "--wildcard-listeners", "drop")
    assert [r["local_ip"] for r in mock.reports()[1]["removed"]["connections"]] == ["0.0.0.0"]


def test_wildcard_listeners_can_be_insisted_on(mock, ready):
    ready.tools.set(ss=SS)
    assert "HTTP 422" in ready.run("--force", "--wildcard-listeners", "send", expect=1).stderr


# -- size

def many(n, first=0):
    return "".join(f"tcp TIME-WAIT 0 0 192.0.{i // 250}.{i % 250 + 1}:{1024 + i % 60000} 203.0.{i % 250}.{i // 250 % 250 + 1}:443\n" for i in range(first, first + n))


def test_a_large_report_is_split_and_the_pieces_make_the_whole(mock, ready):
    mock.policies[mock.policy]["max_report_bytes"] = 65536
    ready.run("--force")
    ready.tools.set(ss=many(3000))
    ready.run("--force")
    _, *parts = mock.reports()
    assert len(parts) > 3 and [p["sequence_number"] for p in parts] == list(range(2, 2 + len(parts)))
    sent = [canonical(r) for p in parts for r in p["connections"]]
    assert len(sent) == len(set(sent)) == 3000
    assert parts[-1]["digest"]["connections"] == {"count": 3000, "sha256": digest("connections", [r for p in parts for r in p["connections"]])}
    assert len(ready.json()["last_snapshot"]["connections"]) == 3000
    ready.tools.set(ss="")
    ready.run("--force")
    gone = [canonical(r) for p in mock.reports()[1 + len(parts):] for r in p.get("removed", {}).get("connections", [])]
    assert sorted(gone) == sorted(sent)


def test_a_first_report_in_pieces_is_full_only_once(mock, ready):
    mock.policies[mock.policy]["max_report_bytes"] = 32768
    (ready.state / "state.json").write_text(json.dumps({"policy": {**mock.policies[mock.policy]}}))
    ready.tools.set(ss=many(700))
    ready.run("--force")
    reports = mock.reports()
    assert [r["full_snapshot"] for r in reports] == [True] + [False] * (len(reports) - 1) and len(reports) > 2
    assert sum(len(r["connections"]) for r in reports) == 700


def test_a_split_that_breaks_goes_on_where_it_stopped(mock, ready):
    mock.policies[mock.policy]["max_report_bytes"] = 65536
    ready.run("--force")
    last = ready.json()["last_successful_checkin_at"]
    ready.tools.set(ss=many(2000))
    mock.faults += [None, None]
    mock.answers(500)
    ready.run("--force", expect=1)
    state = ready.json()
    assert state["sequence_number"] == 3 and state["last_successful_checkin_at"] == last
    ready.run("--force")
    sent = [canonical(r) for p in mock.reports()[1:] for r in p["connections"]]
    assert len(sent) == len(set(sent)) == 2000


def test_a_server_with_a_smaller_limit_gets_smaller_pieces(mock, ready):
    ready.run("--force")
    ready.tools.set(ss=many(1500))
    mock.policies[mock.policy]["max_report_bytes"] = 100000  # the agent still has the old number
    ready.run("--force")
    assert sum(len(r["connections"]) for r in mock.reports()[1:]) == 1500


def test_extended_rows_are_other_rows_that_any_server_takes(mock, ready):
    ready.run("--force")
    before, mock.extended_rows = ready.json()["last_snapshot"], True
    ready.tools.set(ss=WITHOUT_WILDCARD + "udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*\nudp UNCONN 0 0 *%eth0:68 *:*\n", route=[
        *IP_ROUTE, {"dst": "default", "gateway": "fe80::9", "dev": "eth0", "metric": 1024, "pref": "medium"},
        {"dst": "10.0.0.0/8", "nexthops": [{"gateway": "192.0.2.1", "dev": "eth0", "weight": 1}, {"via": {"family": "inet6", "host": "fe80::9"}, "dev": "eth0", "weight": 2}]},
        {"dst": "default", "gateway": "192.0.2.9", "dev": "eth0", "table": "77"}, {"type": "local", "dst": "192.0.2.5", "dev": "eth0", "table": "local"}])
    assert "without them" in ready.run("--force", env={"GRAPHEON_AGENT_EXTENDED_ROWS": "yes"}).stderr
    sent = mock.reports()[-1]
    scoped = {"interface": "eth0", "local_ip": "fe80::1", "local_port": 546, "pid": None, "process_name": None, "protocol": "udp", "remote_ip": "::",
              "remote_port": None, "state": "unknown"}
    assert scoped in sent["connections"] and not any(c["local_ip"] == "0.0.0.0" for c in sent["connections"])
    assert {"destination": "default", "family": "inet6", "gateway": "fe80::9", "interface": "eth0", "metric": 1024, "source_ip": None} in sent["routes"]
    assert {"destination": "default", "family": "inet", "gateway": "192.0.2.9", "interface": "eth0", "source_ip": None, "table": 77} in sent["routes"]
    assert {"destination": "10.0.0.0/8", "family": "inet", "gateway": None, "interface": None, "source_ip": None, "nexthops": [
        {"gateway": "192.0.2.1", "interface": "eth0", "weight": 1}, {"gateway": "fe80::9", "interface": "eth0", "weight": 2}]} in sent["routes"]
    assert len(sent["routes"]) == 5 and sorted(map(canonical, sent["removed"]["routes"])) == sorted(map(canonical, before["routes"]))
    kept = (ready.state / "state.json").read_text()
    assert kept == json.dumps(json.loads(kept), indent=2, sort_keys=True) and '"nexthops": [\n' in kept  # as the Python agent writes it
    ready.tools.set(ss=WITHOUT_WILDCARD, route=IP_ROUTE)
    ready.run("--force")  # and off again
    assert ready.json()["last_snapshot"] == before
    assert scoped in mock.reports()[-1]["removed"]["connections"] and len(mock.reports()[-1]["removed"]["routes"]) == 5
    ready.tools.put("netstat", 'case "$*" in *W*) echo tcp6 0 0 2001:db8::1234:567:8888 :::* LISTEN 1/x;; esac')  # as wide as the column, but whole
    (ready.tools.dir / "ss").unlink()
    ready.run("--force", "--extended-rows")
    assert [c["local_ip"] for c in mock.reports()[-1]["connections"]] == ["2001:db8::1234:567"]


def test_rows_beyond_the_cap_and_time_wait_are_counted_as_left_out(mock, ready):
    ready.tools.set(ss=many(50) + WITHOUT_WILDCARD)
    ready.run("--force", "--max-rows", "10")
    ready.run("--force", "--drop-time-wait")
    first, second = mock.reports()
    assert len(first["connections"]) == 10 and first["truncated"]["connections"] == 43
    assert second["truncated"] == {"connections": 51}


# -- what goes wrong

@pytest.mark.parametrize("status", [400, 401, 403, 409, 413, 415, 422, 429, 500, 503])
def test_a_refusal_changes_nothing_and_ends_with_1(mock, ready, status):
    ready.run("--force")
    before = ready.snapshot()
    for _ in range(8):  # 413 is tried again in pieces
        mock.answers(status, json.dumps({"detail": "no", "errors": []}).encode())
    assert f"HTTP {status}" in ready.run("--force", expect=1).stderr
    assert ready.snapshot() == before


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"1", b'"x"', b'{"a":', b"\xff"])
def test_an_answer_that_is_no_object_is_a_failure(mock, ready, body):
    before = ready.snapshot()
    mock.answers(200, body)
    ready.run("--force", expect=1)
    assert ready.snapshot() == before


def test_an_empty_object_is_enough(mock, ready):
    mock.answers(200, b"{}")
    ready.run("--force")
    state = ready.json()
    assert state["sequence_number"] == 1 and state["last_checkin_summary"] == {} and state["last_successful_checkin_at"].endswith("Z")
    assert "Skipping" in ready.run().stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_key(mock, ready, status):
    other = Mock()
    try:
        for target in (other.url + "/api/agents/check-in", "/elsewhere"):
            mock.answers(status, b"{}", [("Location", target)])
            assert f"HTTP {status}" in ready.run("--force", expect=1).stderr
        assert other.requests == [] and len(mock.agent_requests()) == 3
        assert not any(r[1] == "/elsewhere" for r in mock.requests)
    finally:
        other.close()


def test_a_closed_connection_a_slow_and_an_absent_server_end_with_1(mock, ready):
    before = ready.snapshot()
    mock.closes()
    ready.run("--force", expect=1)
    mock.sleeps(4)
    assert "does not answer" in ready.run("--force", "--request-timeout-seconds", "1", expect=1).stderr
    ready.url = "http://127.0.0.1:1"
    ready.run("--force", expect=1)
    assert ready.snapshot() == before


def test_a_busy_server_is_asked_again(mock, ready):
    mock.answers(503, b"{}", [("Retry-After", "1")])
    mock.answers(429, b"{}", [("Retry-After", "1")])
    ready.run("--force", "--retries", "2")
    assert mock.reports()[-1]["sequence_number"] == 1
    mock.answers(503, b"{}", [("Retry-After", "3600")])
    ready.run("--force", "--retries", "2", expect=1)  # the next run's business


def test_a_report_whose_answer_was_lost_is_not_taken_for_this_one(mock, ready):
    ready.run("--force")
    epoch = mock.reports()[0]["state_epoch"]
    mock.closes(after=True)
    ready.run("--force", expect=1)
    ready.tools.set(neigh=[])
    mock.answers(200, json.dumps({"status": "accepted", "repeat": True}).encode())
    ready.run("--force")
    last = mock.reports()[-1]
    assert last["sequence_number"] == 3 and last["state_epoch"] == epoch and last["full_snapshot"] is True and last["neighbors"] == []


def test_a_resync_makes_the_next_report_full(mock, ready):
    ready.run("--force")
    mock.extra = {"resync": True}
    ready.run("--force")
    assert ready.json()["last_snapshot"] == {}
    mock.extra = {}
    ready.run("--force")
    assert [r["full_snapshot"] for r in mock.reports()] == [True, False, True]
    assert len(mock.reports()[2]["connections"]) == 3


def test_codes_of_an_exit_can_be_fine(mock, ready):
    ready.run("--check-in-only", "--force", "--exit-codes", "fine")
    for status, code in ((401, 4), (403, 4), (422, 5), (503, 6), (302, 5)):
        mock.answers(status, b'{"detail":"x","errors":[]}')
        ready.run("--force", "--exit-codes", "fine", expect=code)
    ready.url = "http://127.0.0.1:1"
    ready.run("--force", "--exit-codes", "fine", expect=3)
    ready.url = "http://192.0.2.1"
    said = ready.run("--force", "--exit-codes", "fine", expect=78).stderr
    assert "clear" in said and "--allow-http" in said
    ready.run("--force", expect=1)


# -- the state directory

def test_broken_state_means_a_fresh_start(mock, ready):
    ready.run("--force")
    epoch = mock.reports()[-1]["state_epoch"]
    (ready.state / "state.json").write_text('{"policy": ')
    out = ready.run("--force").stderr
    assert "damaged" in out
    last = mock.reports()[-1]
    assert last["full_snapshot"] is True and last["sequence_number"] == 1 and last["state_epoch"] != epoch
    (ready.state / "state.json").write_text("[]")
    ready.run("--force", expect=1)


def test_state_json_is_pythons_byte_for_byte(mock, ready):
    ready.tools.set(ss=WITHOUT_WILDCARD.replace("java", "j\u00e4va \U0001f600"))
    ready.run("--force")
    text = (ready.state / "state.json").read_text()
    state = json.loads(text)
    assert text == json.dumps(state, indent=2, sort_keys=True)
    assert sorted(state) == ["agent_id", "enrollment_state", "last_checkin_summary", "last_jitter_seconds", "last_snapshot",
                             "last_successful_checkin_at", "policy", "sequence_number"]
    assert {c["process_name"] for c in state["last_snapshot"]["connections"]} >= {"j\u00e4va"} or "\\u00e4" in text


def test_the_upstream_agents_state_is_gone_on_from(mock, ready):
    """What the Python agent left: the same rows, so nothing is new."""
    ready.run("--force")
    state = ready.json()
    for p in ready.state.glob(".*"):
        p.unlink()
    state["sequence_number"] = 41
    (ready.state / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True))
    ready.run("--force")
    last = mock.reports()[-1]
    assert last["sequence_number"] == 42 and last["full_snapshot"] is False and all(last[s] == [] for s in SECTIONS)


def test_a_kill_at_any_moment_leaves_a_whole_state(mock, ready):
    ready.tools.set(ss=many(400))
    ready.run("--force")
    for i in range(25):
        ready.tools.set(ss=many(400, i * 7))
        p = subprocess.Popen(ready.argv("--force"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**ready.env, "PATH": str(ready.tools.dir)})
        deadline = time.monotonic() + 0.002 * (i % 25) * SLOW + 0.02
        while p.poll() is None and time.monotonic() < deadline:
            pass
        p.send_signal(signal.SIGKILL)
        p.wait()
        state = ready.json()
        assert len(state["last_snapshot"]["connections"]) == 400
    mock.extra = {}
    until(lambda: lock_is_free(ready.state), what="the last tool of a killed run gone: until it execs it holds the lock too")
    ready.run("--force")
    assert len(ready.key) == 48


def lock_is_free(directory):
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def test_one_run_at_a_time(mock, ready):
    fd = os.open(ready.state, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        assert "another run" in ready.run("--force", expect=1).stderr
    finally:
        os.close(fd)


def test_a_key_the_umask_left_open_is_closed(mock, ready):
    (ready.state / "api_key").chmod(0o644)
    assert "its mode is 0600 now" in ready.run("--force").stderr
    assert stat.S_IMODE((ready.state / "api_key").stat().st_mode) == 0o600


# -- gate, jitter, options

def test_gate_and_policy_of_the_next_run(mock, ready):
    ready.run()
    assert "Skipping collection" in ready.run().stderr
    ready.run("--timer-interval-seconds", "3600")  # a timer as slow as the policy is never skipped
    state = ready.json()
    state["last_successful_checkin_at"] = "2001-02-03T04:05:06.123456"
    (ready.state / "state.json").write_text(json.dumps(state))
    ready.run()
    state["last_successful_checkin_at"] = 7
    (ready.state / "state.json").write_text(json.dumps(state))
    ready.run()
    state["last_successful_checkin_at"] = "2999-01-01T00:00:00Z"  # a clock that was wrong
    (ready.state / "state.json").write_text(json.dumps(state))
    ready.run()
    assert len(mock.reports()) == 5


def test_jitter_is_the_hosts_own_and_can_be_left_out(mock, ready):
    state = ready.json()
    state["policy"]["jitter_seconds"] = 3600
    mock.policies[mock.policy]["jitter_seconds"] = 3600
    (ready.state / "state.json").write_text(json.dumps(state))
    ready.run("--force")
    ready.run("--no-jitter", "--timer-interval-seconds", "3600")
    assert ready.json()["last_jitter_seconds"] == 0
    assert "Waiting" not in ready.run("--force").stderr


def test_the_env_file_counts_whole_and_the_environment_wins(mock, tmp_path):
    _, key = prepared(Console(mock.url, ADMIN))
    secret = tmp_path / "ek"
    secret.write_text(key + "\n")
    secret.chmod(0o600)
    host = Host(tmp_path, mock.url)
    env = tmp_path / "agent.env"
    env.write_text(f"""# comment
GRAPHEON_AGENT_SERVER_URL = "{mock.url}/"
GRAPHEON_AGENT_STATE_DIR='{tmp_path}/from-file'
GRAPHEON_AGENT_ENROLLMENT_KEY_FILE={secret}
GRAPHEON_AGENT_FORGET_ENROLLMENT_KEY=yes
GRAPHEON_AGENT_API_KEY_HEADER=X-Agent-Api-Key
GRAPHEON_AGENT_LOG_LEVEL=DEBUG
GRAPHEON_AGENT_SITE_NAME=from file
GRAPHEON_AGENT_HOSTNAME=from-file
GRAPHEON_AGENT_COLLECTOR=commands
no equals sign
""")
    agent = str(BUILD / "muster-agent")
    r = subprocess.run([agent, "grapheon", "--config", str(env), "--force", "--hostname", "from-flag"], capture_output=True, text=True,
                       env={**host.env, "PATH": str(host.tools.dir), "GRAPHEON_AGENT_SITE_NAME": "from env"}, timeout=60)
    assert r.returncode == 0, r.stderr
    assert " DEBUG grapheon_agent: " in r.stderr and not secret.exists()
    body = json.loads(mock.agent_requests()[0][3])
    assert (body["site_name"], body["hostname"]) == ("from env", "from-flag")
    assert (tmp_path / "from-file" / "state.json").exists()
    shown = subprocess.run([agent, "grapheon", "--config", str(env), "--check-config"], capture_output=True, text=True, env=host.env, timeout=60).stdout
    assert "GRAPHEON_AGENT_SITE_NAME=from file  # file" in shown and key not in shown


@pytest.mark.parametrize("args", [["--register-only", "--check-in-only"], ["--reg"], ["--nonsense"], ["word"], ["--log-level"], ["--force=1"],
                                  ["--request-timeout-seconds", "x"], ["--collector", "magic"]])
def test_wrong_usage_ends_with_2_and_touches_nothing(host, args):
    r = host.run(*args, expect=2)
    assert "usage:" in r.stderr and not host.state.exists()


def test_bad_settings_end_with_1(host):
    host.run(expect=1, env={"GRAPHEON_AGENT_REQUEST_TIMEOUT_SECONDS": "soon"})
    r = subprocess.run([str(BUILD / "muster-agent"), "grapheon", "--config", "/nonexistent"], capture_output=True, text=True, env=host.env, timeout=60)
    assert r.returncode == 1 and "server" in r.stderr
    (host.top / "file").write_text("")
    host.state = host.top / "file" / "dir"
    host.run(expect=1)


def test_help_version_and_the_name_it_is_called_by(host):
    link = host.top / "grapheon-agent"
    link.symlink_to(BUILD / "muster-agent")
    r = subprocess.run([str(link), "--help"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0 and all(w in r.stdout for w in ("--register-only", "--check-in-only", "Examples:", "grapheon-agent --config /etc/grapheon-agent.env"))
    assert subprocess.run([str(link), "--version"], capture_output=True, text=True, timeout=60).stdout.startswith("grapheon-agent ")
    assert "grapheon" in subprocess.run([str(BUILD / "muster-agent"), "--help"], capture_output=True, text=True, timeout=60).stdout


def test_print_report_and_status_change_nothing(mock, ready):
    ready.run("--force")
    before, asked = ready.snapshot(), len(mock.requests)
    ready.tools.set(neigh=[])
    report = json.loads(ready.run("--print-report").stdout)
    assert report["sequence_number"] == 2 and len(report["removed"]["neighbors"]) == 2 and report["full_snapshot"] is False
    out = ready.run("status").stdout
    assert ready.uuid in out and "present" in out and ready.key not in out
    assert ready.snapshot() == before and len(mock.requests) == asked
    fresh = Host(ready.top, mock.url, "nothing-here")
    assert json.loads(fresh.run("--print-report").stdout)["full_snapshot"] is True
    fresh.run("status", expect=1)
    assert not fresh.state.exists()


def test_secrets_are_neither_logged_nor_left_in_the_process_list(mock, host):
    _, key = prepared(Console(mock.url, ADMIN))
    mock.sleeps(1.5)
    p = subprocess.Popen(host.argv("--enrollment-key", key, "--log-level", "DEBUG"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         env={**host.env, "PATH": str(host.tools.dir)})
    until(lambda: mock.agent_requests(), what="the registration")
    assert key.encode() not in pathlib.Path(f"/proc/{p.pid}/cmdline").read_bytes()
    assert key not in p.communicate(timeout=30)[1]
    out = host.run("--enrollment-key", key, "--log-level", "DEBUG", "--force").stderr
    assert key not in out and host.key not in out
    assert (host.state / ".claim").read_text().strip() not in out


def test_an_enrollment_key_file_others_can_read_is_refused(host):
    f = host.top / "ek"
    f.write_text("gaek_x")
    f.chmod(0o644)
    assert "chmod 600" in host.run("--enrollment-key-file", f, expect=1).stderr


def test_a_refused_key_can_be_replaced_by_registering_again(mock, ready):
    ready.run("--force")
    agent = next(iter(mock.agents.values()))
    mock.issue(agent)
    agent["api_key_hash_next"] = None
    ready.run("--force", expect=1)
    agent["api_key_hash"] = None  # the server is ready to issue one
    del agent["api_key_hash_next"]
    key = Console(mock.url, ADMIN)("POST", "/enrollment-keys", {"name": "again", "auto_approve": True})["enrollment_key"]
    agent["enrollment_key_id"] = None
    assert "registering again" in ready.run("--force", "--reregister", "--enrollment-key", key).stderr
    assert mock.reports()[-1]["sequence_number"] == 2
