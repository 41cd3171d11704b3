"""Our sigma-agent at our musterd, and the port roles of the native agent: registering, beating, ports by every way, kills and cut cables."""
import http.client
import json
import os
import re
import socket
import urllib.parse

import pytest
import requests
from conftest import BUILD, Proc, until
from test_network import NsServer, cable  # noqa: F401 - cable is a fixture
from test_sigma_agent import Agent, free_port, listening, quiet_range, tree

FAKE = "198.51.100.77"


@pytest.fixture
def server(fleet):
    return fleet.server(args=["--sigma-allow-loopback-agents"])


@pytest.fixture
def agent(fleet):
    made = []

    def make(s, name="sig", *args, role="agent", **kw):
        key = s.api("POST", "/api/api-keys", {"name": name, "role": role}, expect=200).json()["key"]
        made.append(Agent(fleet.dir, name, s.url + "/api", *args, key=key, **kw))
        made[-1].key = key
        return made[-1]
    yield make
    for a in made:
        assert a.proc.term() in (0, -9), a.log[-3000:]


def vps(s, name):
    rows = s.get("/api/vps?" + urllib.parse.urlencode({"hostname": name}))["data"]
    return rows[0] if rows else None


def host(s, name):
    return next((h for h in s.agents() if h["name"] == name), None)


def allocate(s, vid, count, **more):
    return s.api("POST", f"/api/vps/{vid}/allocate-ports", {"count": count, **more})


def scanning(base, n=20, method="netlink"):
    return ["--port-scan", "--port-scan-range", f"{base}-{base + n - 1}", "--port-scan-interval", "1", "--scan-method", method]


def test_it_registers_and_beats_and_is_a_host_like_any_other(server, agent):
    a = agent(server, "plain", "--alias", "plain.example", "--ssh-port", "2200")
    v = until(lambda: vps(server, "plain"), what=f"the row; {a.log}")
    assert (v["alias"], v["ssh_port"], v["status"]) == ("plain.example", 2200, "active")
    h = until(lambda: (x := host(server, "plain")) and x["status"] == "ready" and x, what="the host")
    assert h["dialect"] == "sigma"
    first = v["extra"]["last_heartbeat"]
    until(lambda: vps(server, "plain")["extra"]["last_heartbeat"] > first, what="a heartbeat")
    info = vps(server, "plain")["extra"]["system_info"]
    assert info["cpu_cores"] == os.cpu_count() and info["metrics_port"] == a.metrics_port
    assert "plain" in server.cli("hosts", check=0).stdout
    assert server.get("/api/v1/agents/plain/inventory/cpu")["rows"] == [{"key": "cpu", "threads": os.cpu_count()}]
    assert all(x in server.cli("inventory", "plain", check=0).stdout for x in ("os", "memory", "filesystems", "addresses"))
    assert server.get("/api/v1/agents/plain/history")["changes"] == []  # beats say nothing new


def test_ports_by_questions_it_fetches(server, agent):
    base = quiet_range(20)
    with listening(base + 1):
        a = agent(server, "nat", *scanning(base), "--metrics-port", "0")  # nobody can dial this one
        v = until(lambda: vps(server, "nat"), what="the row")
        r = until(lambda: (r := allocate(server, v["id"], 3)).status_code == 200 and r, what=f"an allocation; {a.log}")
        assert r.json() == {"ports": [base, base + 2, base + 3]}
        r = allocate(server, v["id"], 20)
        assert r.status_code == 409 and "19" in r.json()["error"], r.text
        assert allocate(server, v["id"], 0).status_code == 422
        out = server.cli("ports", "nat", "--allocate", "2", check=0).stdout.split()
        assert out == [str(base), str(base + 2)]
        one = allocate(server, v["id"], 4, ttl_seconds=60, owner="one").json()
        two = allocate(server, v["id"], 4, ttl_seconds=60, owner="two").json()
        assert not set(one["ports"]) & set(two["ports"]) and one["lease"] != two["lease"] and two["expires_at"]
        until(lambda: vps(server, "nat")["extra"]["system_info"]["port_scan"]["reserved"] == 8, what="the leases to be told")
        shown = server.cli("ports", "nat", check=0).stdout
        assert re.search(r"asked by\s+poll", shown) and re.search(r"available\s+19", shown) and re.search(rf"start\s+{base}", shown), shown
        # a poll whose client has closed its half ends at once: no question is lost with it
        at = urllib.parse.urlsplit(server.url)
        with socket.create_connection((at.hostname, at.port)) as dead:
            dead.sendall(f"GET /api/agent/port-requests?hostname=nat HTTP/1.1\r\nHost: x\r\nX-Api-Key: {a.key}\r\n\r\n".encode())
            dead.shutdown(socket.SHUT_WR)
            assert dead.makefile("rb").read().endswith(b'{"requests":[]}')
        assert [allocate(server, v["id"], 1).status_code for _ in range(3)] == [200] * 3
        # forgotten, it is made anew by its next heartbeat and asked on, without a restart
        old = host(server, "nat")["id"]
        server.cli("forget", "nat", check=0)
        until(lambda: (h := host(server, "nat")) and h["id"] != old, what="the host anew")
        r = until(lambda: (r := allocate(server, v["id"], 1)).status_code == 200 and r, what=f"ports again; {a.log}")
        assert r.json() == {"ports": [base + 9]} and "no questions about ports" not in a.log


def test_ports_by_dialling_it(server, agent):
    base = quiet_range(20)
    a = agent(server, "open", *scanning(base), "--no-port-requests", "--public-ip", "127.0.0.1", "--root", "/nonexistent")
    v = until(lambda: vps(server, "open"), what=f"the row; {a.log}")
    r = until(lambda: (r := allocate(server, v["id"], 3)).status_code == 200 and r, what="an allocation")
    assert r.json()["ports"] == [base, base + 1, base + 2]
    assert "dial" in server.cli("ports", "open", check=0).stdout
    assert server.cli("ports", "open", "--allocate", "1", check=0).stdout.split() == [str(base)]
    r = allocate(server, v["id"], 2, ttl_seconds=30)
    assert r.json()["lease"]
    off = agent(server, "off", "--public-ip", "127.0.0.1", "--root", "/nonexistent")
    v = until(lambda: vps(server, "off"), what="the row")
    r = allocate(server, v["id"], 1)
    assert r.status_code == 409 and "port scan disabled" in r.json()["error"], (r.text, off.log)


def test_a_server_killed_and_back_is_met_again(server, agent):
    base = quiet_range(20)
    a = agent(server, "steady", *scanning(base))
    v = until(lambda: vps(server, "steady"), what="the row")
    server.kill9()
    until(lambda: "heartbeat was not taken" in a.log, what="the agent to notice")
    server.start()
    last = vps(server, "steady")["extra"]["last_heartbeat"]
    until(lambda: vps(server, "steady")["extra"]["last_heartbeat"] > last, 30, what="heartbeats again")
    assert vps(server, "steady")["id"] == v["id"]
    r = until(lambda: (r := allocate(server, v["id"], 1)).status_code == 200 and r, 60, what="ports again")
    assert r.json()["ports"] == [base]
    assert len([h for h in server.agents() if h["name"] == "steady"]) == 1


def test_an_agent_killed_and_back_is_the_same_host(server, agent, fleet):
    a = agent(server, "again")
    v = until(lambda: vps(server, "again"), what="the row")
    a.proc.kill9()
    b = Agent(fleet.dir, "again", server.url + "/api", key=a.key)
    try:
        last = vps(server, "again")["updated_at"]
        until(lambda: vps(server, "again")["updated_at"] > last, what="a heartbeat")
        assert vps(server, "again")["id"] == v["id"] and server.get("/api/vps?hostname=again")["total"] == 1
    finally:
        assert b.proc.term() == 0


def test_a_lost_record_is_registered_anew(fleet, agent):
    s = fleet.server(args=["--sigma-allow-loopback-agents", "--no-sigma-heartbeat-creates"])
    a = agent(s, "phoenix", "--alias", "p.example")
    v = until(lambda: vps(s, "phoenix"), what="the row")
    s.api("DELETE", f"/api/vps/{v['id']}", expect=200)
    new = until(lambda: vps(s, "phoenix"), what=f"a new row; {a.log}")
    assert new["id"] != v["id"] and new["alias"] == "p.example"


def test_a_key_that_is_deleted_is_said(server, agent):
    a = agent(server, "locked", "--auth-backoff", "1s")
    until(lambda: host(server, "locked"), what="the host")
    kid = next(k["id"] for k in server.api("GET", "/api/api-keys", expect=200).json() if k["name"] == "locked")
    server.api("DELETE", f"/api/api-keys/{kid}")
    until(lambda: "refuses our key" in a.log, what=f"the agent to say so; {a.log[-2000:]}")


class SigmaNsServer(NsServer):
    def start(self, wait=True):
        self.proc = Proc(["ip", "netns", "exec", self.ns, BUILD / "musterd", "--state-dir", self.state, "--listen", "0.0.0.0:8120", "--http-listen",
                          "0.0.0.0:3000", "--http-plain"], self.dir / "musterd.log")
        until(lambda: self.cli("status").returncode == 0, 20, f"the server; log: {self.proc.log[-2000:]}")
        return self

    def post(self, path, body):
        sock_path = str(self.sock)

        class C(http.client.HTTPConnection):
            def connect(conn):
                conn.sock = socket.socket(socket.AF_UNIX)
                conn.sock.connect(sock_path)
        c = C("localhost")
        c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        text = r.read()
        assert r.status == 200, (r.status, text)
        return json.loads(text)


def test_a_cut_cable_is_survived_in_silence_and_repaired(cable, fleet):  # noqa: F811
    s = SigmaNsServer(fleet.dir / "s", cable.server_ns)
    s.start()
    key = s.post("/api/api-keys", {"name": "far", "role": "agent"})["key"]
    a = Agent(fleet.dir, "far", "http://10.99.0.1:3000/api", "--port-scan", "--port-scan-range", "21000-21019", "--request-timeout", "2s",
              key=key, wrap=["ip", "netns", "exec", cable.agent_ns])

    def row():
        return s.get("/api/vps?hostname=far")["data"][0]
    try:
        v = until(row, what=f"the row; {a.log}")
        assert [x["ip"] for x in v["ip_addresses"]] == ["10.99.0.2"] and v["ip_addresses"][0]["label"] == "internal"
        assert s.post(f"/api/vps/{v['id']}/allocate-ports", {"count": 2})["ports"] == [21000, 21001]
        cable.down()
        until(lambda: "heartbeat was not taken" in a.log, 30, what="the agent to notice")
        last = row()["extra"]["last_heartbeat"]
        cable.up()
        until(lambda: row()["extra"]["last_heartbeat"] > last, 30, what="heartbeats again")
        got = until(lambda: s.post(f"/api/vps/{v['id']}/allocate-ports", {"count": 1})["ports"], 120, what="ports again")
        assert got == [21000]
    finally:
        code = a.proc.term()
        s.stop()
    assert code == 0


# -- the native agent

def test_the_native_agent_scans_and_hands_out_where_it_is_told_to(fleet):
    base = quiet_range(20)
    s = fleet.server()
    port = free_port()
    with listening(base):
        a = fleet.agent(s, args=["--port-scan", f"{base}-{base + 19}", "--port-scan-interval", "1h", "--metrics-listen", f"127.0.0.1:{port}",
                                 "--metrics-token", "t0ken"], env={"MUSTER_TEST_CADENCE_MS": "300"})
        name = a.host["name"]
        assert s.cli("ports", name, "--allocate", "3", check=0).stdout.split() == [str(base + 1), str(base + 2), str(base + 3)]
        shown = until(lambda: "available" in (o := s.cli("ports", name).stdout) and o, what="the scan to be shown")
        assert re.search(r"asked by\s+link", shown) and re.search(r"available\s+19", shown) and re.search(r"method\s+netlink", shown), shown
        one = s.api("POST", f"/api/v1/agents/{a.host['id']}/ports", {"count": 5, "ttl_seconds": 60, "owner": "me"}, expect=200).json()
        two = s.api("POST", f"/api/v1/agents/{a.host['id']}/ports", {"count": 5, "ttl_seconds": 60}, expect=200).json()
        assert not set(one["ports"]) & set(two["ports"]) and one["lease"] and one["expires_at"]
        until(lambda: re.search(r"reserved\s+10\b", s.cli("ports", name).stdout), what="the leases to be shown, though the next scan is an hour off")
        r = s.cli("ports", name, "--allocate", "20")
        assert r.returncode != 0 and "9 free" in r.stderr
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        assert re.search(r'^sigma_ports_total\{hostname="[^"]+"\} 20$', text, re.M) and re.search(r"^sigma_ports_reserved\{.*\} 10$", text, re.M)
        assert requests.post(f"http://127.0.0.1:{port}/ports/allocate", json={"count": 1}, timeout=10).status_code == 401
        ok = requests.post(f"http://127.0.0.1:{port}/ports/allocate", json={"count": 1}, headers={"Authorization": "Bearer t0ken"}, timeout=10)
        assert ok.json() == {"ports": [base + 11]}
        # sigma's agent on the same machine has a range of its own: shown is what whoever is asked told
        key = s.api("POST", "/api/api-keys", {"name": "beside", "role": "agent"}, expect=200).json()["key"]
        beside = {"hostname": "beside", "system_info": {"port_scan": {"start": base + 5000, "end": base + 5100, "available": 101}}}
        assert requests.post(s.url + "/api/agent/register", json=beside, headers={"X-Api-Key": key}, timeout=10).ok
        assert re.search(rf"start\s+{base + 5000}\b", s.cli("ports", "beside", check=0).stdout)
        s.cli("link", name, "beside", check=0)
        shown = s.cli("ports", name, check=0).stdout
        assert re.search(r"asked by\s+link", shown) and re.search(rf"start\s+{base}\b", shown), shown


def test_without_a_range_the_native_agent_says_so(pair):
    s, a = pair
    r = s.cli("ports", a.host["name"], "--allocate", "1")
    assert r.returncode != 0 and "off on this host" in r.stderr, r.stderr
    h = until(lambda: (x := s.get(f"/api/v1/agents/{a.host['id']}")) and x, what="the host")
    assert h["status"] == "ready"


def test_the_policy_switches_the_roles_off(fleet, tmp):
    s = fleet.server()
    policy = tmp / "policy.yaml"
    policy.write_text("roles: [inventory, command, metrics]\n")
    port = free_port()
    base = quiet_range(20)
    a = fleet.agent(s, args=["--policy", policy, "--port-scan", f"{base}-{base + 19}", "--metrics-listen", f"127.0.0.1:{port}"])
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
    policy.write_text("roles: [inventory, command, metrics, port_scan, exporter]\n")
    a.proc.p.send_signal(1)
    until(lambda: requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).ok, what="the endpoint")
    until(lambda: s.cli("ports", a.host["name"], "--allocate", "1").stdout.split() == [str(base)], what="ports")


def test_a_bad_range_is_a_configuration_error(tmp):
    p = Proc([BUILD / "muster-agent", "--state-dir", tmp / "st", "--server", "127.0.0.1:1", "--token", "x", "--port-scan", "0-9"], tmp / "log")
    assert p.wait() == 78
