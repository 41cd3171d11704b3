"""sigma's server half, against an agent written from the wire's description (sigma_agent.py) and strict stubs of its metrics port."""
import concurrent.futures
import http.client
import json
import socket
import subprocess
import threading
import time

import pytest
import requests
from conftest import BUILD, ROOT, Proc, until
from sigma_agent import PortsStub, SigmaAgent

J = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def sigma(tmp_path_factory):
    from conftest import Server
    s = Server(tmp_path_factory.mktemp("sigma"), args=["--sigma-allow-loopback-agents"]).start()
    yield s
    s.stop()


def key(s, role="agent", **more):
    return s.api("POST", "/api/api-keys", {"name": f"test {role}", "role": role, **more}, expect=200).json()["key"]


def agent(s, hostname, **kw):
    return SigmaAgent(s.url, hostname, **{"key": key(s), **kw})


def vps(s, hostname):
    rows = s.get(f"/api/vps?hostname={hostname}")["data"]
    return rows[0] if rows else None


def host(s, name):
    return next((a for a in s.agents() if a["name"] == name), None)


# -- agents

def test_an_unmodified_agent_registers_and_beats_over_one_connection(sigma):
    a = agent(sigma, "plain", alias="plain.example", ips=[("10.1.2.3", "internal"), ("203.0.113.7", "")])
    status, v = a.register()
    assert status == 200
    assert (v["hostname"], v["status"], v["provider_id"], v["currency"]) == ("plain", "active", None, "USD")
    assert v["extra"]["system_info"] == a.info and v["cpu_cores"] is None and v["tags"] == []
    sock = a.conn.sock
    for n in range(5):
        a.info["uptime_seconds"] += 60
        status, beat = a.heartbeat()
        assert status == 200 and beat["id"] == v["id"] and beat["extra"]["system_info"]["uptime_seconds"] == a.info["uptime_seconds"]
    assert a.conn.sock is sock, "the connection was not kept"
    h = host(sigma, "plain")
    assert h["dialect"] == "sigma" and h["status"] == "ready" and h["presence"] == "online"
    assert h["system_info"]["cpu_cores"] == 2 and h["system_info"]["memory_bytes"] == 24105 << 20
    assert h["metrics"]["load_avg"] == [0.75, 0.48, 0.54]


def test_twenty_first_registers_at_once_make_one_row(sigma):
    k = key(sigma)
    agents = [SigmaAgent(sigma.url, "racer", key=k) for _ in range(20)]
    barrier = threading.Barrier(20)

    def go(a):
        barrier.wait()
        return a.register()

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        got = list(pool.map(go, agents))
    assert {s for s, _ in got} == {200} and len({v["id"] for _, v in got}) == 1
    assert sigma.get("/api/vps?hostname=racer")["total"] == 1
    assert len([h for h in sigma.agents() if h["hostname"] == "racer"]) == 1


def test_a_machine_with_hundreds_of_addresses_comes_in_with_the_first_64(sigma):
    ips = [(f"10.9.{n // 250}.{n % 250}", "") for n in range(1000)]
    a = agent(sigma, "cluster-node", ips=ips)
    status, v = a.register()
    assert status == 200 and [i["ip"] for i in v["ip_addresses"]] == [ip for ip, _ in ips[:64]]
    assert a.heartbeat()[0] == 200


def test_a_name_that_leads_to_loopback_sees_not_even_a_connection(fleet):
    s = fleet.server()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    a = agent(s, "liar", alias="0x7f.1", ips=[])  # a dot and a letter: a name, and getaddrinfo() knows it
    a.info["metrics_port"] = listener.getsockname()[1]
    _, v = a.register()
    r = s.api("POST", f"/api/vps/{v['id']}/allocate-ports", {"count": 1})
    assert r.status_code == 502 and "may not be dialled" in r.json()["error"]
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_what_was_answered_survives_kill_9(fleet):
    s = fleet.server(args=["--sigma-allow-loopback-agents"])
    a = agent(s, "survivor")
    _, v = a.register()
    a.info["uptime_seconds"] = 777
    a.heartbeat()
    s.api("PUT", f"/api/vps/{v['id']}", {"notes": "kept"}, expect=200)
    p = s.api("POST", "/api/providers", {"name": "P"}, expect=200).json()
    s.kill9()
    s.start()
    got = vps(s, "survivor")
    assert got["id"] == v["id"] and got["notes"] == "kept" and got["extra"]["system_info"]["uptime_seconds"] == 777
    assert s.get("/api/providers")["data"][0]["id"] == p["id"]
    status, again = SigmaAgent(s.url, "survivor", key=a.key).heartbeat()  # the key too
    assert status == 200 and again["id"] == v["id"]
    assert len([h for h in s.agents() if h["hostname"] == "survivor"]) == 1


def test_a_revoked_host_is_told_403_and_forgetting_it_keeps_the_vps(sigma):
    a = agent(sigma, "outcast")
    _, v = a.register()
    sigma.cli("revoke", "outcast", check=0)
    status, e = a.heartbeat()
    assert status == 403 and isinstance(e["error"], str)
    assert a.register()[0] == 403
    assert sigma.api("POST", f"/api/vps/{v['id']}/allocate-ports", {"count": 1}).status_code == 403
    sigma.cli("forget", "outcast", check=0)
    assert vps(sigma, "outcast")["id"] == v["id"] and host(sigma, "outcast") is None
    status, again = a.heartbeat()
    assert status == 200 and again["id"] == v["id"]
    assert host(sigma, "outcast")["state"] == "approved"


def test_deleting_a_vps_forgets_its_host_and_frees_its_name(sigma):
    a = agent(sigma, "phoenix")
    _, v = a.register()
    assert sigma.api("DELETE", f"/api/vps/{v['id']}", expect=200).json() == {"deleted": True}
    assert host(sigma, "phoenix") is None and vps(sigma, "phoenix") is None
    assert sigma.api("DELETE", f"/api/vps/{v['id']}").status_code == 404
    _, new = a.register()
    assert new["id"] != v["id"]
    r = sigma.api("POST", f"/api/vps/{v['id']}/restore")
    assert r.status_code == 409, "its name is taken"
    sigma.api("DELETE", f"/api/vps/{new['id']}", expect=200)
    assert sigma.api("POST", f"/api/vps/{v['id']}/restore", expect=200).json()["status"] == "retired"
    _, back = a.heartbeat()
    assert back["id"] == v["id"] and back["status"] == "retired" and back["extra"]["agent_seen_while_retired"] is True
    # It is said of this retirement only: not of the host that is active again, nor of the next one before its agent speaks.
    def status_and_mark(v):
        return v["status"], v["extra"].get("agent_seen_while_retired")
    path = f"/api/vps/{v['id']}"
    assert status_and_mark(sigma.api("POST", path + "/retire", expect=200).json()) == ("retired", None)
    assert status_and_mark(a.heartbeat()[1]) == ("retired", True)
    assert status_and_mark(sigma.api("PUT", path, {"status": "active"}, expect=200).json()) == ("active", None)
    assert status_and_mark(a.heartbeat()[1]) == ("active", None)
    assert status_and_mark(sigma.api("POST", path + "/retire", expect=200).json()) == ("retired", None)
    assert status_and_mark(a.heartbeat()[1]) == ("retired", True)


def test_a_bound_key_speaks_for_one_host_only(sigma):
    k = key(sigma, bind_hostname=True)
    assert SigmaAgent(sigma.url, "mine", key=k).register()[0] == 200
    other = SigmaAgent(sigma.url, "theirs", key=k)
    assert other.register()[0] == 403 and other.heartbeat()[0] == 403
    assert other.post("/api/agent/register", {"hostname": " "})[0] == 400, "the body comes first"
    assert SigmaAgent(sigma.url, "mine", key=k).heartbeat()[0] == 200
    assert int(other.headers["X-RateLimit-Limit"]) == 300


def test_roles(sigma):
    vid = agent(sigma, "roles").register()[1]["id"]
    reads = ["/api/vps", f"/api/vps/{vid}", f"/api/vps/{vid}/ip-history", "/api/providers", "/api/stats", "/api/prometheus/targets",
             "/api/prometheus/agent-targets", "/api/ansible/inventory", "/api/vps/export"]
    for role in ("admin", "operator", "agent", "readonly"):
        h = {"X-Api-Key": key(sigma, role)}
        for path in reads:
            assert requests.get(sigma.url + path, headers=h).status_code == 200, (role, path)
        writes = 200 if role in ("admin", "operator") else 403
        assert requests.put(sigma.url + f"/api/vps/{vid}", headers=h, json={"notes": role}).status_code == writes
        assert requests.get(sigma.url + "/api/api-keys", headers=h).status_code == (200 if role == "admin" else 403)
        a = SigmaAgent(sigma.url, "roles", key=h["X-Api-Key"])
        assert a.heartbeat()[0] == (403 if role == "readonly" else 200)


def test_a_deleted_key_is_unknown(sigma):
    made = sigma.api("POST", "/api/api-keys", {"name": "short"}, expect=200).json()
    assert made["role"] == "readonly" and made["key_prefix"] == made["key"][:13]
    h = {"X-Api-Key": made["key"]}
    assert requests.get(sigma.url + "/api/vps", headers=h).status_code == 200
    assert sigma.api("DELETE", f"/api/api-keys/{made['id']}").status_code == 204
    r = requests.get(sigma.url + "/api/vps", headers=h)
    assert r.status_code == 401 and isinstance(r.json()["error"], str)
    assert made["key"] not in sigma.log


# -- ports

def with_ports(s, hostname, answer, **kw):
    stub = PortsStub(answer)
    a = agent(s, hostname, ips=[("127.0.0.1", "")], metrics_port=stub.port, **kw)
    return stub, a.register()[1]["id"]


def allocate(s, vid, body={"count": 2}, timeout=30):
    return requests.post(f"{s.url}/api/vps/{vid}/allocate-ports", json=body, timeout=timeout)


def test_ports_come_from_the_agent(sigma):
    stub, vid = with_ports(sigma, "giver", lambda b: (200, json.dumps({"ports": list(range(10000, 10000 + b["count"]))})))
    r = allocate(sigma, vid)
    assert r.status_code == 200 and r.json() == {"ports": [10000, 10001]}
    head, body = stub.seen[0]
    assert head.startswith("POST /ports/allocate HTTP/1.1") and json.loads(body) == {"count": 2}
    assert allocate(sigma, vid, {"count": 2, "ttl_seconds": 60, "owner": "me"}).status_code == 200
    assert json.loads(stub.seen[1][1]) == {"count": 2, "ttl_seconds": 60, "owner": "me"}
    assert sigma.cli("ports", "giver", "--allocate", "3", check=0).stdout.split() == ["10000", "10001", "10002"]
    rows = sigma.get("/api/v1/audit?limit=20&newest=true")["rows"]
    assert any(x["verb"] == "ports.allocate" and x["details"].get("ports") == "10000 10001" for x in rows)
    # an agent that wants a token hears the one its row has, by both routes; nobody else ever sees it
    assert all("authorization" not in head.lower() for head, _ in stub.seen)
    got = sigma.api("PUT", f"/api/vps/{vid}", {"metrics_token": "hush-hush"}, expect=200).json()
    assert got["has_metrics_token"] and "hush-hush" not in json.dumps(got)
    assert allocate(sigma, vid).status_code == 200 and sigma.cli("ports", "giver", "--allocate", "1").returncode == 0
    assert all("authorization: Bearer hush-hush\r\n" in head + "\r\n" for head, _ in stub.seen[-2:])
    for path in (f"/api/vps/{vid}", "/api/vps/export", "/api/vps/export?format=csv", "/api/v1/audit?limit=50&newest=true"):
        assert "hush-hush" not in sigma.api("GET", path, expect=200).text, path
    assert "hush-hush" not in sigma.log and not [f for f in sigma.state.iterdir() if f.is_file() and b"hush-hush" in f.read_bytes()]
    assert "has_metrics_token" not in sigma.api("PUT", f"/api/vps/{vid}", {"metrics_token": None}, expect=200).json()
    allocate(sigma, vid)
    assert "authorization" not in stub.seen[-1][0].lower()


@pytest.mark.parametrize("count", [0, 101, -1, 2.0, "3", None, True])
def test_a_count_that_is_none_is_refused_before_the_agent_is_asked(sigma, count):
    stub, vid = with_ports(sigma, f"counted-{count}", lambda b: (200, "{}"))
    r = allocate(sigma, vid, {"count": count})
    assert r.status_code == 422 and isinstance(r.json()["error"], str) and stub.seen == []


@pytest.mark.parametrize("name,answer,status,word", [
    ("garbage", (200, "no json at all"), 502, "JSON"),
    ("few", (409, "only 1 of 2"), 409, "only 1 of 2"),
    ("ours", (409, '{"error":"only 1 of 2"}'), 409, "says: only 1 of 2"),
    ("off", (503, "scanning is not enabled"), 409, "port scan disabled"),
    ("error", (500, "boom"), 502, "boom"),
    ("short", (200, '{"ports":[1]}'), 502, "2 ports"),
    ("zero", (200, '{"ports":[0,1]}'), 502, "no port"),
    ("high", (200, '{"ports":[1,65536]}'), 502, "no port"),
    ("text", (200, '{"ports":["1","2"]}'), 502, "no port"),
    ("moved", (307, ""), 502, "307"),
])
def test_what_an_agent_may_answer_wrongly(sigma, name, answer, status, word):
    stub, vid = with_ports(sigma, f"answers-{name}", lambda b: answer)
    r = allocate(sigma, vid)
    assert r.status_code == status and word in r.json()["error"], r.text
    stub.close()


def test_an_endless_answer_ends_at_64_kib(sigma):
    stub, vid = with_ports(sigma, "endless", b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + b" " * (1 << 20))
    assert allocate(sigma, vid).status_code == 502


@pytest.mark.slow
def test_an_agent_that_holds_its_tongue_is_given_up(sigma):
    stub, vid = with_ports(sigma, "silent", lambda b: None)
    start = time.monotonic()
    assert allocate(sigma, vid).status_code == 502
    assert 5 < time.monotonic() - start < 25  # the wall clock is the promise here: 10 s


def test_nobody_there_and_no_port_at_all(sigma):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        gone = s.getsockname()[1]
    vid = agent(sigma, "gone", ips=[("127.0.0.1", "")], metrics_port=gone).register()[1]["id"]
    assert allocate(sigma, vid).status_code == 502
    vid = agent(sigma, "no-metrics", metrics_port=0).register()[1]["id"]
    r = allocate(sigma, vid)
    assert r.status_code == 400 and "metrics port" in r.json()["error"]
    assert sigma.api("POST", "/api/vps/01890000-0000-7000-8000-000000000000/allocate-ports", {"count": 1}).status_code == 404


def test_an_ipv6_only_host_is_dialled(sigma):
    try:
        stub = PortsStub(lambda b: (200, '{"ports":[4242]}'), socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    vid = agent(sigma, "six", ips=[("::1", "")], metrics_port=stub.port).register()[1]["id"]
    assert allocate(sigma, vid, {"count": 1}).json() == {"ports": [4242]}
    assert "[::1]" in stub.seen[0][0]


def test_agents_at_our_own_addresses_are_not_dialled_unless_asked_for(fleet):
    s = fleet.server()
    stub = PortsStub(lambda b: (200, '{"ports":[1]}'))
    for n, ip in enumerate(["127.0.0.1", "::1", "169.254.1.1", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1"]):
        vid = agent(s, f"own-{n}", ips=[(ip, "")], metrics_port=stub.port).register()[1]["id"]
        assert allocate(s, vid, {"count": 1}).status_code == 400, ip
    vid = agent(s, "alias", alias="localhost.localdomain", ips=[], metrics_port=stub.port).register()[1]["id"]
    assert allocate(s, vid, {"count": 1}).status_code == 502
    low = agent(s, "low", metrics_port=22).register()[1]["id"]
    assert allocate(s, low, {"count": 1}).status_code == 400
    assert stub.seen == []


def test_a_host_behind_nat_is_asked_by_its_own_poll(sigma):
    a = agent(sigma, "nat")
    vid = a.register()[1]["id"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        polled = pool.submit(a.poll)
        until(lambda: sigma.get("/api/v1/agents/nat/ports")["way"] == "poll", what="the poll is known")
        asked = pool.submit(allocate, sigma, vid, {"count": 2, "ttl_seconds": 90})
        status, doc = polled.result()
        assert status == 200
        q = doc["requests"][0]
        assert (q["count"], q["ttl_seconds"]) == (2, 90)
        assert a.post("/api/agent/port-answers", {"hostname": "nat", "id": q["id"], "ports": [70000]})[0] == 422
        assert a.post("/api/agent/port-answers", {"hostname": "nat", "id": q["id"] + 1, "ports": [1, 2]})[0] == 404
        assert a.post("/api/agent/port-answers", {"hostname": "nat", "id": q["id"], "ports": [10, 11], "lease": "L",
                                                  "expires_at": "2030-01-01T00:00:00Z"}) == (200, {"accepted": True})
        assert asked.result().json() == {"ports": [10, 11], "lease": "L", "expires_at": "2030-01-01T00:00:00Z"}
        # a refusal, and by the command line
        polled = pool.submit(a.poll)
        asked = pool.submit(sigma.cli, "ports", "nat", "--allocate", "5")
        q = polled.result()[1]["requests"][0]
        assert q["count"] == 5
        a.post("/api/agent/port-answers", {"hostname": "nat", "id": q["id"], "error": "ports.too_few", "message": "2 are free"})
        r = asked.result()
        assert r.returncode == 7 and "2 are free" in r.stderr, r
        assert a.poll(wait=0) == (200, {"requests": []})
        # a poll that hangs ends with the refusal when its host is revoked, and is not let in again
        polled = pool.submit(a.poll, 60)
        until(lambda: sigma.get("/api/v1/agents/nat/ports")["way"] == "poll", what="the poll is known")
        sigma.cli("revoke", "nat", check=0)
        status, doc = polled.result(30)
        assert status == 403 and isinstance(doc["error"], str)
    assert a.poll(wait=0)[0] == 403
    assert SigmaAgent(sigma.url, "nobody", key=a.key).poll(wait=0)[0] == 409  # 404 says that there is no such route


def test_a_planned_stop_does_not_wait_for_polls(fleet):
    s = fleet.server()
    a = agent(s, "poller")
    a.register()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        polled = pool.submit(a.poll, 60)
        until(lambda: s.get("/api/v1/agents/poller/ports")["way"] == "poll", what="the poll is known")
        s.stop()
        assert polled.result() == (200, {"requests": []})


# -- people

def test_login_gives_a_session(sigma):
    sigma.api("POST", "/api/v1/users", {"name": "kim@example.org", "role": "viewer", "password": "open sesame"}, expect=201)
    r = requests.post(sigma.url + "/api/auth/login", json={"email": "kim@example.org", "password": "open sesame"})
    assert r.status_code == 200 and r.json()["user"]["role"] == "readonly"
    h = {"Authorization": f"Bearer {r.json()['token']}"}
    assert requests.get(sigma.url + "/api/vps", headers=h).status_code == 200
    assert requests.post(sigma.url + "/api/vps", headers=h, json={"hostname": "x"}).status_code == 403
    bad = requests.post(sigma.url + "/api/auth/login", json={"email": "kim@example.org", "password": "wrong"})
    assert bad.status_code == 401 and isinstance(bad.json()["error"], str)
    # a bad session falls through to the key beside it
    k = key(sigma, "readonly")
    r = requests.get(sigma.url + "/api/vps", headers={"Authorization": "Bearer a.b.c", "X-Api-Key": k})
    assert r.status_code == 200


def test_lists_are_in_order_and_in_pages(fleet):
    s = fleet.server()
    rows = [("b", "active", "2030-01-01"), ("a", "active", None), ("c", "active", "2029-01-01"), ("z", "retired", None), ("d", "provisioning", None)]
    for name, status, due in rows:
        s.api("POST", "/api/vps", {"hostname": name, "status": status, "expire_date": due}, expect=200)
    names = [v["hostname"] for v in s.get("/api/vps")["data"]]
    assert names == ["c", "b", "a", "d", "z"]
    page = s.get("/api/vps?page=2&per_page=2")
    assert [v["hostname"] for v in page["data"]] == ["a", "d"]
    assert (page["total"], page["page"], page["per_page"]) == (5, 2, 2)
    assert s.get("/api/vps?per_page=101")["per_page"] == 100 and s.get("/api/vps?per_page=0")["per_page"] == 1


def test_csv_out_is_csv_in(fleet):
    one, two = fleet.server("one"), fleet.server("two")
    p = one.api("POST", "/api/providers", {"name": 'Quote "and" comma, Inc', "rating": 3}, expect=200).json()
    one.api("POST", "/api/vps", {"hostname": "full", "provider_id": p["id"], "tags": ["a", "b,c"], "notes": "=1+1\nline two",
                                 "ip_addresses": [{"ip": "192.0.2.1", "label": "x"}], "cost_monthly": "3.20", "expire_date": "2031-05-06",
                                 "extra": {"k": [1, {"n": None}]}, "ssh_port": 2222, "cpu_cores": 4}, expect=200)
    for what in ("providers", "vps"):
        text = one.api("GET", f"/api/{what}/export?format=csv", expect=200).text
        got = two.api("POST", f"/api/{what}/import", {"format": "csv", "data": text}, expect=200).json()
        assert got == {"imported": 1, "errors": []}
    a, b = vps(one, "full"), vps(two, "full")
    for k in ("tags", "notes", "cost_monthly", "expire_date", "ssh_port", "cpu_cores"):
        assert a[k] == b[k], k
    assert b["extra"]["k"] == [1, {"n": None}]
    assert [x["ip"] for x in b["ip_addresses"]] == ["192.0.2.1"] and b["provider_id"] == two.get("/api/providers")["data"][0]["id"]


def test_a_csv_of_nearly_two_megabytes_comes_in(fleet):
    s = fleet.server()
    note = "x" * 380
    rows = ["hostname,notes,ip_addresses"] + [f'big-{n},"{note}","[{{""ip"":""192.0.2.1""}}]"' for n in range(4400)]
    body = json.dumps({"format": "csv", "data": "\n".join(rows)})
    assert 1_800_000 < len(body) < 2 << 20
    k = key(s, "operator")
    r = requests.post(s.url + "/api/vps/import", data=body, headers={**J, "X-Api-Key": k}, timeout=60)
    assert r.json() == {"imported": 4400, "errors": []}
    assert s.get("/api/vps?hostname=big-4399")["total"] == 1
    body = json.dumps({"format": "csv", "data": "hostname\n" + "\n".join(f"n-{n}" for n in range(5001))})
    r = requests.post(s.url + "/api/vps/import", data=body, headers={**J, "X-Api-Key": k}, timeout=60)
    assert r.json()["imported"] == 5000 and "5000 rows" in r.json()["errors"][0]


def test_targets_reach_prometheus_as_a_file(sigma, tmp_path):
    agent(sigma, "filed", ips=[("203.0.113.50", "")]).register()
    (tmp_path / "key").write_text(key(sigma, "readonly") + "\n")
    out = tmp_path / "targets.json"

    def run(path):
        return subprocess.run([ROOT / "packaging/prometheus/sigma-file-sd", sigma.url + path, out], stderr=subprocess.PIPE, text=True,
                              env={"PATH": "/usr/bin:/bin", "SIGMA_API_KEY_FILE": str(tmp_path / "key")})

    assert run("/api/prometheus/targets").returncode == 0
    groups = json.loads(out.read_text())
    assert any(g["targets"] == ["203.0.113.50:9100"] for g in groups)
    before = out.read_text()
    for bad in ("/api/stats", "/api/nothing", "/api/api-keys"):
        assert run(bad).returncode != 0
        assert out.read_text() == before and [p.name for p in tmp_path.iterdir() if p.name.startswith("targets.json.")] == []


def test_without_dev_nobody_is_admin_and_a_key_imports_much(fleet):
    s = fleet.server(start=False)
    s.proc = Proc([BUILD / "musterd", "--state-dir", s.state, "--listen", f"127.0.0.1:{s.base}"], s.dir / "musterd.log")
    s.wait_ready()

    def local(body):
        c = http.client.HTTPConnection("localhost")
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(str(s.sock))
        c.request("POST", "/api/api-keys", json.dumps(body), J)
        return json.loads(c.getresponse().read())["key"]

    for path in ("/api/vps", "/api/providers", "/api/stats", "/api/prometheus/targets", "/api/api-keys"):
        r = requests.get(s.url + path)
        assert r.status_code == 401 and isinstance(r.json()["error"], str), path
    h = {"X-Api-Key": local({"name": "op", "role": "operator"})}
    data = [{"hostname": f"m-{n}", "notes": "x" * 1000} for n in range(200)]
    r = requests.post(s.url + "/api/vps/import", json={"format": "json", "data": data}, headers=h)
    assert r.status_code == 200 and r.json() == {"imported": 200, "errors": []}
