"""Netlink and the tools say the same of a network of our own: every kind of interface, neighbour, route and socket, row for row."""
import json
import pathlib
import shutil
import subprocess
import sys

import netns
import pytest
from conftest import BUILD, SLOW, unsanitized

from grapheon_mock import canonical

STATIC = BUILD / "muster-agent-static"  # has a netlink of its own
HERE = pathlib.Path(__file__).parent
WHY_NOT = netns.why_not() or ("" if shutil.which("ss") else "needs ss")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@pytest.fixture(scope="module")
def seen():
    r = subprocess.run(["unshare", "-n", sys.executable, str(HERE / "grapheon_netns.py"), str(BUILD / "muster-agent"), *[str(p) for p in [STATIC] if p.exists()]], capture_output=True, text=True, timeout=120 * SLOW)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


SECTIONS = ["addresses", "neighbors", "connections", "routes"]


@pytest.mark.skipif(not STATIC.exists(), reason="no muster-agent-static")
def test_the_program_without_shared_libraries_sees_the_same(seen):
    (static,) = seen["more"]
    assert {s: static[s] for s in SECTIONS} == {s: seen["netlink"][s] for s in SECTIONS}


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("kind", ["plain", "extended"])
def test_both_ways_of_collecting_give_the_same_rows(seen, kind, section):
    reports = seen["extended"] if kind == "extended" else seen
    by_netlink, by_tools = ([canonical(r) for r in reports[how][section]] for how in ("netlink", "commands"))
    only_tools = [r for r in by_tools if r not in by_netlink]
    only_netlink = [r for r in by_netlink if r not in by_tools]
    assert not only_tools and not only_netlink and by_netlink == by_tools, f"{only_netlink}\n{only_tools}\n{seen['tools']}"
    assert by_netlink == sorted(by_netlink)


def test_the_kinds_the_spec_names_are_there(seen):
    n = seen["netlink"]
    assert {"interface": "veth1", "ip_address": "198.51.100.7", "prefix_length": 32} in [{k: v for k, v in a.items() if k != "mac_address"} for a in n["addresses"]]
    assert not any(a["interface"] in ("lo", "bare0") for a in n["addresses"])
    assert {a["state"] for a in n["neighbors"]} >= {"stale", "failed", "permanent"} and not any(a["ip_address"] == "192.0.2.80" for a in n["neighbors"])
    assert {r["destination"] for r in n["routes"]} >= {"default", "203.0.113.0/25", "203.0.113.200", "10.0.0.0/8", "10.1.2.3", "172.16.0.0/12"}
    assert not any(r["destination"] == "100.64.0.0/10" for r in n["routes"])
    assert next(r for r in n["routes"] if r["destination"] == "172.16.0.0/12") == {"destination": "172.16.0.0/12", "gateway": None, "interface": None, "source_ip": None}
    states = {c["state"] for c in n["connections"]}
    assert states >= {"listen", "established", "time_wait", "close_wait", "fin_wait2", "unknown"}
    assert any(c["local_ip"] == "::ffff:7f00:1" for c in n["connections"]) and any(c["local_ip"] == "::" for c in n["connections"])
    shared = next(c for c in n["connections"] if c["local_port"] == seen["shared_port"] and c["state"] == "listen")
    assert shared["pid"] == max(seen["pids"])


def test_extended_rows_have_what_upstream_loses(seen):
    n = seen["extended"]["netlink"]
    row = {"gateway": None, "interface": None, "source_ip": None}
    for want in ({**row, "destination": "default", "family": "inet6", "gateway": "2001:db8::1", "interface": "veth0", "metric": 50},
                 {**row, "destination": "default", "family": "inet6", "interface": "veth1", "metric": 1024, "table": 78},
                 {**row, "destination": "default", "family": "inet6", "interface": "lo", "metric": 9999, "type": "unreachable"},
                 {**row, "destination": "10.1.2.3", "family": "inet", "type": "blackhole"},
                 {**row, "destination": "10.4.0.0/16", "family": "inet", "table": 77, "type": "prohibit"},
                 {**row, "destination": "10.5.0.0/16", "family": "inet", "type": "throw"},
                 {**row, "destination": "198.18.0.0/15", "family": "inet", "gateway": "fe80::9", "interface": "veth0", "metric": 7},
                 {**row, "destination": "100.64.0.0/10", "family": "inet", "gateway": "192.0.2.1", "interface": "veth0", "table": 77},
                 {**row, "destination": "198.51.100.128/25", "family": "inet", "nexthops": [{"gateway": "192.0.2.1", "interface": "veth0", "weight": 2},
                                                                                          {"gateway": "fe80::9", "interface": "veth0", "weight": 1}]},
                 {**row, "destination": "2001:db8:7::/48", "family": "inet6", "metric": 1024, "nexthops": [{"gateway": "2001:db8::1", "interface": "veth0", "weight": 1},
                                                                                                       {"gateway": "2001:db8::2", "interface": "veth0", "weight": 3}]}):
        assert want in n["routes"], n["routes"]
    assert not any(r["destination"] in ("192.0.2.5", "::1", "ff00::/8") for r in n["routes"])
    devices = {(c["local_ip"], c["local_port"], c["protocol"]) for c in n["connections"] if c.get("interface") == "veth0"}
    assert devices >= {(a, p, k) for k in ("tcp", "udp") for a, p in (("fe80::77", 4711), ("0.0.0.0", 4712))}
    shared = next(c for c in n["connections"] if c["local_port"] == seen["shared_port"] and c["state"] == "listen")
    assert [o["pid"] for o in shared["owners"]] == sorted(seen["pids"]) and shared["pid"] == max(seen["pids"])
    assert not any("owners" in c or "interface" in c for c in seen["netlink"]["connections"])


@unsanitized
def test_a_run_costs_little(seen):
    """The figure (under 15 ms) is bench's; here only that nothing is read a hundred times over."""
    print(f"{seen['cpu'] * 1000:.1f} ms")
    assert seen["cpu"] < 0.25
