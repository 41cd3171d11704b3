"""Enrolment: approve, reject, revoke, tokens, pins, two hosts with one name."""
import datetime
import os
import subprocess
import time

from conftest import BUILD, unsanitized, until


def pending(s):
    return s.get("/api/v1/enrollments")["enrollments"]


def test_an_operator_approves_and_the_host_becomes_ready(fleet):
    s = fleet.server()
    a = fleet.agent(s, token=s.token(auto_approve=False))
    p = until(lambda: pending(s), what="a pending request")
    assert len(p) == 1 and p[0]["fingerprint"].startswith("sha256:") and p[0]["hostname"]
    assert s.agents() == [] or all(x["state"] != "approved" for x in s.agents())
    out = s.cli("pending", check=0).stdout
    assert p[0]["hostname"] in out
    s.cli("approve", p[0]["id"], check=0)
    host = a.wait_ready()
    assert host["state"] == "approved" and host["dialect"] == "native"
    assert pending(s) == []


def test_without_a_token_nobody_joins_unseen(fleet):
    s = fleet.server()
    pin = s.token().split("@")[1]
    a = fleet.agent(s, token=f"{'x' * 20}@{pin}")
    code = a.proc.wait(20)
    assert code != 0 and "token" in a.log
    assert pending(s) == []


def test_a_rejected_host_is_told_so_and_exits(fleet):
    s = fleet.server()
    a = fleet.agent(s, token=s.token(auto_approve=False))
    p = until(lambda: pending(s), what="a pending request")
    s.cli("reject", p[0]["id"], "--reason", "not one of ours", check=0)
    assert a.proc.wait(30) != 0
    assert "an operator rejected this host: not one of ours" in a.log


def test_a_wrong_pin_is_named_and_the_token_is_not_sent(fleet):
    s = fleet.server()
    code = s.token().split("@")[0]
    a = fleet.agent(s, token=f"{code}@sha256:{'0' * 64}")
    until(lambda: "tls.pin" in a.log and "--token CODE@sha256:HEX" in a.log, what="the agent to name the pin, and the option it is part of")
    assert pending(s) == [] and s.agents() == []
    assert [t["used"] for t in s.get("/api/v1/tokens")["tokens"]] == [0]
    assert code not in a.log and code not in s.log


def test_a_server_of_another_fleet_is_named_with_the_way_out(fleet, tmp):
    s, other = fleet.server("one"), fleet.server("two")
    ca = tmp / "ca.pem"
    ca.write_text(other.cli("ca", check=0).stdout)
    new = fleet.agent(s, "new", token=None, args=["--ca", ca])
    until(lambda: "tls.untrusted" in new.log and "--ca FILE" in new.log, what="a newcomer to name the option")
    ca.write_text(s.cli("ca", check=0).stdout)
    new.stop()
    new.start()
    until(lambda: pending(s), what="the right CA to do")
    a = fleet.agent(s, "in")
    a.stop()
    a.start(server_addr=f"127.0.0.1:{other.base}")
    until(lambda: f"belongs to another fleet: to join this one, move {a.state} away" in a.log, what="a known host to say so")


def test_used_up_expired_and_revoked_tokens_are_named(fleet):
    s = fleet.server()
    t = s.token(uses=1)
    fleet.agent(s, "first", token=t).wait_ready()
    b = fleet.agent(s, "second", token=t)
    b.proc.wait(20)
    assert "used" in b.log

    def why():
        r = subprocess.run([BUILD / "muster-agent", "--state-dir", b.state, "status"], stdout=subprocess.PIPE, text=True, timeout=30)
        return "used up" in r.stdout
    assert why()
    b.start(token=s.token(auto_approve=False))
    until(lambda: pending(s), what="a good token to do")
    until(lambda: not why(), what="the status to forget the bad one")
    b.stop()
    t2 = s.token(ttl="1s")
    end = time.monotonic() + 1.2
    until(lambda: time.monotonic() > end, what="the token to expire")
    c = fleet.agent(s, "third", token=t2)
    c.proc.wait(20)
    assert "expired" in c.log
    r = s.api("POST", "/api/v1/tokens", {"uses": 0}, expect=201).json()
    s.api("DELETE", f"/api/v1/tokens/{r['id']}", expect=200)
    d = fleet.agent(s, "fourth", token=r["token"])
    d.proc.wait(20)
    assert "revoked" in d.log


def test_one_that_nobody_approved_in_time_says_so(fleet):
    s = fleet.server(args=["--pending-ttl", "2s"])
    a = fleet.agent(s, "late", token=s.token(uses=1, auto_approve=False))
    until(lambda: pending(s), what="a pending request")
    assert a.proc.wait(40) == 5
    assert "nobody approved this host in time" in a.log and "used up" in a.log


def test_revoke_cuts_the_link_at_once_and_refuses_the_certificate_afterwards(pair, tmp_path):
    s, a = pair
    mark = tmp_path / "pid"
    s.cli("run", a.host["id"], "--detach", "--", "sh", "-c", f"echo $$ >{mark}; exec sleep 600", check=0)
    until(lambda: mark.exists() and mark.read_text().strip(), what="a running command")
    running = mark.read_text().strip()
    s.cli("revoke", a.host["id"], "--reason", "sold", check=0)
    until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["status"] == "disconnected", 5, "the link to be cut")
    code = a.proc.wait(20)
    told = a.log.count("an operator revoked this host: sold")
    assert code != 0 and told
    # What was begun for this server does not go on where nobody can stop it.
    until(lambda: not os.path.exists(f"/proc/{running}"), 20, "the command to be stopped")
    a.start()
    a.proc.wait(20)
    assert a.log.count("an operator revoked this host: sold") > told
    assert s.get(f"/api/v1/agents/{a.host['id']}")["state"] == "revoked"
    # The line pasted once more, with a good token: no word of success, and what to do about it.
    r = enroll(s, a)
    assert r.returncode == 5 and "already enrolled" not in r.stdout, r.stdout
    assert "an operator revoked this host: sold" in r.stderr and f"muster forget {a.host['id']}" in r.stderr and str(a.state) in r.stderr


def enroll(s, a, token=True):
    """`muster-agent enroll` on a host whose daemon is stopped."""
    env = {**os.environ, **({"MUSTER_TOKEN": s.token()} if token else {})}
    return subprocess.run([BUILD / "muster-agent", "enroll", "--state-dir", a.state, "--server", f"127.0.0.1:{s.base}"], env=env,
                          capture_output=True, text=True, timeout=60)


def test_to_enrol_once_more_asks_the_server_and_says_when_it_could_not(pair):
    s, a = pair
    a.stop()
    was = f"already enrolled: host {a.host['id']} of fleet "
    for token in (True, False):
        r = enroll(s, a, token)
        assert r.returncode == 0 and r.stdout.startswith(was) and "could not" not in r.stdout, (r.stdout, r.stderr)
    assert sum(t["used"] for t in s.get("/api/v1/tokens")["tokens"]) == 1, "a host that is in needs none"
    # A server that has forgotten it takes the token as from anybody else.
    s.cli("forget", a.host["id"], check=0)
    r = enroll(s, a)
    assert r.returncode == 0 and r.stdout.startswith("enrolled: host ") and a.host["id"] not in r.stdout, (r.stdout, r.stderr)
    # status shows the last attempt, not one that failed before it.
    (a.state / "link.json").write_text('{"connected":false,"why":"this install token is not known here"}\n')
    assert enroll(s, a).returncode == 0
    p = subprocess.run([BUILD / "muster-agent", "status", "--state-dir", a.state], capture_output=True, text=True, timeout=20)
    assert "enrolled     yes" in p.stdout and '"connected":false' in p.stdout and "why" not in p.stdout, p.stdout
    s.stop()
    r = enroll(s, a, token=False)
    assert r.returncode == 0 and "already enrolled" in r.stdout and "the server could not be asked whether it still is: " in r.stdout, r.stdout


def test_a_name_that_two_could_mean_approves_and_rejects_nobody(fleet):
    s = fleet.server()
    first = fleet.agent(s, "first")  # in, under its hostname
    name = first.host["name"]
    fleet.agent(s, "second", token=s.token(auto_approve=False))
    p = until(lambda: pending(s), what="a pending request")[0]
    assert p["hostname"] == name and p["name"] != name and p["name"] in s.cli("pending", check=0).stdout
    for verb in ("approve", "reject"):
        r = s.cli(verb, name)
        assert r.returncode == 7 and "host.ambiguous" in r.stderr, r.stderr
    assert [x["id"] for x in pending(s)] == [p["id"]]
    s.cli("approve", p["name"], check=0)
    assert pending(s) == []


def test_two_hosts_with_one_hostname_are_two_hosts(fleet):
    s = fleet.server()
    a = fleet.agent(s, "a")
    b = fleet.agent(s, "b")
    assert a.host["id"] != b.host["id"] and a.host["hostname"] == b.host["hostname"]
    assert len({x["name"] for x in s.agents()}) == 2
    r = s.cli("run", "--all", "--", "true", check=0)
    assert r.returncode == 0


def test_the_same_machine_is_the_same_host_after_a_restart_of_both(pair):
    s, a = pair
    a.stop()
    s.stop()
    s.start()
    a.start()
    assert a.wait_ready()["id"] == a.host["id"]
    assert len(s.agents()) == 1


def test_claimed_labels_match_no_selector_until_an_operator_says_so(fleet):
    s = fleet.server()
    a = fleet.agent(s, token=s.token(), args=["--label", "role=web"])
    a.host = a.wait_ready()
    assert a.host["claimed_labels"] == {"role": "web"} and a.host["labels"] == {}
    assert s.cli("run", "-t", "role=web", "--", "true").returncode == 4
    s.cli("label", a.host["name"], "role=web", check=0)
    s.cli("run", "-t", "role=web", "--", "true", check=0)
    assert [x["id"] for x in s.get("/api/v1/agents?label=role%3Dweb")["agents"]] == [a.host["id"]]


def test_a_cloned_disk_is_flagged(fleet):
    import shutil
    s = fleet.server()
    a = fleet.agent(s)
    a.stop()
    shutil.copytree(a.state, fleet.dir / "b" / "agent", symlinks=True)
    import subprocess, os
    fake = fleet.dir / "machine-id"
    fake.write_text("0123456789abcdef0123456789abcdef\n")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        import pytest
        pytest.skip("needs a mount namespace")
    b = fleet.agent(s, "b", start=False, wrap=["unshare", "-m", "sh", "-c", f'mount --bind {fake} /etc/machine-id && exec "$@"', "sh"])
    os.chmod(fleet.dir / "b" / "agent", 0o700)
    a.start()
    a.wait_ready()
    b.start()
    until(lambda: s.get(f"/api/v1/agents/{a.host['id']}")["clone_suspected"], 30, "the clone to be noticed")


def test_the_token_never_stays_in_argv(fleet):
    s = fleet.server()
    t = s.token()
    a = fleet.agent(s, token=None, args=["--token", t])
    a.wait_ready()
    cmdline = open(f"/proc/{a.proc.p.pid}/cmdline", "rb").read()
    assert t.split("@")[0].encode() not in cmdline


def test_a_certificate_renews_itself_over_the_live_link(fleet):
    s = fleet.server(args=["--certificate-ttl", "9s"])
    a = fleet.agent(s)
    hid = a.host["id"]
    first = s.get(f"/api/v1/agents/{hid}")
    until(lambda: [e for e in s.get(f"/api/v1/events?agent_id={hid}&limit=1000")["events"] if e["event_type"] == "host.certificate_renewed"], 20,
          "the renewal")
    now = s.get(f"/api/v1/agents/{hid}")
    assert now["certificate_expires_at"] > first["certificate_expires_at"]
    assert now["connected_at"] == first["connected_at"], "the link was cut for it"
    until(lambda: s.get(f"/api/v1/agents/{hid}")["certificate_expires_at"] > now["certificate_expires_at"], 20, "the second renewal")
    a.stop()
    a.start()
    a.wait_ready()


def faked(shift):
    """The preload itself: the faketime program would stand between us and the agent's pid."""
    import glob
    import pytest
    lib = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not lib:
        pytest.skip("faketime is not installed")
    return ["env", f"LD_PRELOAD={lib[0]}", f"FAKETIME={shift}"]


def told(agent, what):
    """When the agent said so, by its own clock."""
    return [datetime.datetime.fromisoformat(line.split()[0].rstrip("Z")) for line in agent.log.splitlines() if what in line]


@unsanitized
def test_a_clock_that_is_set_while_linked_refuses_no_command(fleet, tmp_path):
    offset = tmp_path / "offset"
    offset.write_text("+0")
    s = fleet.server()
    wrap = faked("+0") + ["FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1", f"FAKETIME_TIMESTAMP_FILE={offset}"]
    wrap.remove("FAKETIME=+0")
    a = fleet.agent(s, start=False, wrap=wrap)
    a.start(token=s.token())
    a.wait_ready()
    for shift in "+2h", "-1d":
        offset.write_text(shift)
        s.cli("run", "--all", "--", "true", check=0)
        said = told(a, "a command was offered")[-1].replace(tzinfo=datetime.timezone.utc)
        assert abs(said.timestamp() - time.time()) > 3600, "the host's clock was not set"


@unsanitized
def test_a_clock_an_hour_off_is_named_and_does_no_harm(fleet):
    s = fleet.server()
    a = fleet.agent(s, start=False, wrap=faked("+3600"))
    a.start(token=s.token())
    a.wait_ready()
    until(lambda: "clock" in a.log, what="the agent to mention its clock")
    s.cli("run", "--all", "--", "true", check=0)


@unsanitized
def test_a_clock_beyond_the_certificate_is_named_and_does_not_run_in_circles(fleet):
    s = fleet.server()
    a = fleet.agent(s, start=False, wrap=faked("+40d"))
    a.start(token=s.token())
    said = until(lambda: (at := told(a, "this host is enrolled"))[2:] and at, 30, "it to ask a third time")
    gaps = [(after - before).total_seconds() for before, after in zip(said, said[1:])]
    assert gaps[0] > 0.7 and gaps[1] > 1.5, f"it rests 1 s, then 2 s, 20 % less at most: {gaps}"
    assert "tls.clock" in a.log


@unsanitized
def test_a_clock_years_off_is_named_as_the_reason(fleet):
    s = fleet.server()
    a = fleet.agent(s, start=False, wrap=faked("-3650d"))
    a.start(token=s.token())
    until(lambda: "clock" in a.log or s.agents(), what="the agent to name its clock")
    assert "clock" in a.log
