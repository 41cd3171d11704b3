"""Facts of a real host: sections, truth, deltas with removals, drift and resync, live questions."""
import os
import pathlib
import re
import shutil
import socket
import subprocess

from conftest import BUILD, until

SECTIONS = {"os", "kernel", "cpu", "memory", "dmi", "disks", "filesystems", "interfaces", "addresses", "neighbours", "routes", "listeners",
            "packages", "services", "users", "logins", "gpus"}


def sections(s, a):
    return {x["section"]: x for x in s.get(f"/api/v1/agents/{a.host['id']}/inventory")["sections"]}


def rows(s, a, section):
    r = s.api("GET", f"/api/v1/agents/{a.host['id']}/inventory/{section}")
    return {x["key"]: x for x in r.json()["rows"]} if r.status_code == 200 else {}


def test_every_section_is_reported_with_a_status(pair):
    s, a = pair
    got = until(lambda: (x := sections(s, a)) and SECTIONS <= set(x) and x, 30, "all sections")
    for name, sec in got.items():
        assert sec["status"] in ("ok", "disabled", "failed", "missing"), sec
        assert sec["status"] == "ok" or sec["message"], sec
    for must in ("os", "kernel", "cpu", "memory", "filesystems", "interfaces", "addresses", "packages", "users", "listeners"):
        assert got[must]["status"] == "ok" and got[must]["rows_count"] > 0, got[must]


def test_the_facts_are_true(pair):
    s, a = pair
    until(lambda: SECTIONS <= set(sections(s, a)), 30, "all sections")
    dpkg = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"], stdout=subprocess.PIPE, text=True).stdout
    installed = [x.split() for x in dpkg.splitlines() if x.startswith("installed ")]
    got = rows(s, a, "packages")
    assert len(got) == len(installed)
    have = {(r["name"], r["version"]) for r in got.values()}
    assert {(n, v) for _, n, v, _ in installed} == have
    users = {line.split(":")[0] for line in open("/etc/passwd") if line.strip()}
    assert {r["name"] for r in rows(s, a, "users").values() if r["kind"] == "user"} == users
    assert os.uname().release in str(rows(s, a, "kernel"))
    assert "127.0.0.1" in str(rows(s, a, "addresses"))
    listeners = str(rows(s, a, "listeners"))
    assert str(s.base + 2) in listeners and "musterd" in listeners


def test_connections_are_asked_live_and_not_kept(pair):
    s, a = pair
    c = socket.create_connection(("127.0.0.1", s.base + 2))
    port = c.getsockname()[1]
    got = s.get(f"/api/v1/agents/{a.host['id']}/inventory/connections")
    assert str(port) in str(got["rows"])
    r = s.cli("inventory", a.host["name"], "connections", check=0)
    assert re.search(r"^tcp ", r.stdout, re.M)  # not whose: other tests leave more sockets than a report holds
    c.close()


def test_a_removed_package_leaves_a_delta_with_a_removal_in_history(fleet):
    """The agent reads a dpkg status file of our making through a mount namespace."""
    import pytest
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode:
        pytest.skip("needs a mount namespace")
    d = fleet.dir / "dpkg"
    d.mkdir()

    many = [f"filler-{i:04}" for i in range(1000)]  # acknowledged, they make the agent begin its spool file anew

    def names(s, a):
        return {r["name"] for r in rows(s, a, "packages").values()} - set(many)

    def write(names):
        t = d / "status.new"
        t.write_text("".join(f"Package: {n}\nStatus: install ok installed\nArchitecture: all\nVersion: 1.{len(n)}\n\n" for i, n in enumerate(names + many)))
        os.rename(t, d / "status")
    write(["alpha", "beta", "gamma"])
    s = fleet.server()
    a = fleet.agent(s, start=False, env={"MUSTER_TEST_CADENCE_MS": "200"},
                    wrap=["unshare", "-m", "sh", "-c", f'mount --bind {d} /var/lib/dpkg && exec "$@"', "sh"])
    a.start(token=s.token())
    a.host = a.wait_ready()
    until(lambda: names(s, a) == {"alpha", "beta", "gamma"}, 30, "three packages")
    write(["alpha", "gamma"])
    until(lambda: names(s, a) == {"alpha", "gamma"}, 30, "beta to be gone")
    ch = s.get(f"/api/v1/agents/{a.host['id']}/history?section=packages")["changes"]
    gone = [c for c in ch if "beta" in c["key"] and c["after"] is None]
    assert gone, ch[:5]
    # Stopped in good order, the agent comes back knowing what the server has: nobody asks for the section in full.
    s.cli("run", a.host["name"], "--", "true", check=0)  # comes down behind the ack of the delta
    a.stop()
    a.start()
    a.wait_ready()
    s.cli("run", a.host["name"], "--", "true", check=0)
    asked = s.get(f"/api/v1/events?event_type=inventory.resync&agent_id={a.host['id']}")["events"]
    assert not [e for e in asked if "packages" in str(e)], asked

    # What makes no sense is told as failed, and what was known stays: also when it is asked for in full.
    def is_failed(why):
        x = sections(s, a)["packages"]
        return x["status"] == "failed" and why in x["message"]

    def removed():
        ch = s.get(f"/api/v1/agents/{a.host['id']}/history?section=packages")["changes"]
        return [c["key"] for c in ch if c["after"] is None]
    (d / "status").write_bytes(os.urandom(3000) + bytes(3000))
    until(lambda: is_failed("/var/lib/dpkg/status"), 30, "packages to fail")
    assert names(s, a) == {"alpha", "gamma"} and removed() == ["beta"]
    (d / "status").write_text("Package: alpha\n\n")
    until(lambda: is_failed("has no Status"), 30, "packages to fail for another reason")
    a.stop()
    (d / "status").write_bytes(b"")
    shutil.rmtree(a.state / "facts")  # it knows nothing any more: all is sent in full
    a.start()
    a.wait_ready()
    until(lambda: is_failed("is empty"), 30, "packages to fail otherwise")
    assert names(s, a) == {"alpha", "gamma"} and removed() == ["beta"]
    assert "failed" in s.cli("inventory", a.host["name"], check=0).stdout
    assert "alpha" in s.cli("inventory", a.host["name"], "packages", check=0).stdout
    write(["alpha", "gamma", "delta"])
    until(lambda: names(s, a) == {"alpha", "gamma", "delta"}, 30, "packages to be told again")
    assert sections(s, a)["packages"]["status"] == "ok" and removed() == ["beta"]


def test_facts_prints_what_it_would_report(tmp):
    import json
    r = subprocess.run([BUILD / "muster-agent", "facts"], stdout=subprocess.PIPE, timeout=60)
    doc = json.loads(r.stdout)
    assert r.returncode == 0 and SECTIONS <= set(doc) and doc["packages"]["status"] == "ok"


def test_inventory_of_one_section_by_the_command_line(pair):
    s, a = pair
    until(lambda: "os" in sections(s, a), 30, "facts")
    out = s.cli("inventory", a.host["name"], "os", check=0).stdout
    name = re.search(r'PRETTY_NAME="?([^"\n]+)', pathlib.Path("/etc/os-release").read_text()).group(1)
    assert name in out
    assert s.cli("inventory", a.host["name"], "no-such-section").returncode == 4
