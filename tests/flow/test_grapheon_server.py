"""The Graphēon accent of the server, spoken to by an agent and a console of our own making (grapheon_agent.py)."""
import collections
import concurrent.futures
import contextlib
import gzip
import json
import re
import signal
import socket
import sqlite3
import warnings

import pytest
import requests
from docs_examples import run_examples
from grapheon_agent import ADDRESSES, CONNECTIONS, NEIGHBORS, ROUTES, GrapheonAgent, Refused


@pytest.fixture
def server(fleet):
    return fleet.server()


@pytest.fixture
def g(server):
    return Console(server)


class Console:
    """The operator's side, an administrator logged in through the accent."""

    def __init__(self, server):
        self.server = server
        who = {"username": "ann", "password": "correct horse battery"}
        server.api("POST", "/api/v1/users", {"name": who["username"], "password": who["password"], "role": "admin"}, expect=201)
        self.token = server.api("POST", "/api/auth/login/local", who, expect=200).json()["access_token"]

    def api(self, method, path, body=None, expect=200, **kw):
        headers = {"Authorization": f"Bearer {self.token}"}
        r = self.server.api(method, "/api/agents" + path, body, expect=expect, headers=headers, **kw)
        return r.json() if r.content else None

    def policy(self, name="fast", **kw):
        return self.api("POST", "/policies", {"name": name, "jitter_seconds": 0, **kw}, expect=201)

    def key(self, name="manual", **kw):
        return self.api("POST", "/enrollment-keys", {"name": name, **kw}, expect=201)

    def agent(self, ag, key=None, **kw):
        """Registered and let in."""
        key = key or self.key(f"auto-{ag.uuid}", auto_approve=True)["enrollment_key"]
        assert ag.register(key)["status"] == "active" and ag.api_key
        return self.id_of(ag)

    def id_of(self, ag):
        return next(x["id"] for x in self.api("GET", "?limit=1000")["items"] if x["agent_uuid"] == ag.uuid)

    def hosts(self):
        both = [h for q in ("", "?state=pending", "?state=rejected", "?state=revoked") for h in self.server.get("/api/v1/agents" + q)["agents"]]
        return list({h["id"]: h for h in both if h["dialect"] == "grapheon"}.values())

    def rows(self, ag, section):
        host = next(h for h in self.hosts() if h["name"] == self.api("GET", f"/{self.id_of(ag)}")["host"])
        r = self.server.api("GET", f"/api/v1/agents/{host['id']}/inventory/{section}")
        return {x["key"]: x for x in r.json()["rows"]} if r.status_code == 200 else {}


def refused(status, fn, *a, **kw):
    with pytest.raises(Refused) as e:
        fn(*a, **kw)
    assert e.value.status == status, e.value
    return e.value


# -- upstream's own tests, in our words
def test_12_a_policy_a_key_and_an_agent_that_waits(g, server):
    p = g.policy()
    k = g.key(default_policy_id=p["id"])
    assert k["key"]["default_policy"]["name"] == "fast" and re.fullmatch(r"gaek_[\w-]{43}", k["enrollment_key"])
    ag = GrapheonAgent(server)
    got = ag.register(k["enrollment_key"])
    assert (got["status"], got["approval_required"], got["api_key"]) == ("pending", True, None)
    assert got["policy"]["id"] == p["id"] and got["agent"]["policy"]["id"] == p["id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", got["server_time"])
    waiting = g.api("GET", "?enrollment_state=pending")
    assert waiting["total"] == 1 and waiting["items"][0]["agent_uuid"] == ag.uuid
    assert waiting["items"][0]["last_ip_addresses"] == ["192.0.2.5", "198.51.100.9", "fe80::5"]
    keys = g.api("GET", "/enrollment-keys")
    assert keys["total"] == 1 and keys["items"][0]["registration_count"] == 1 and k["enrollment_key"] not in json.dumps(keys)
    assert [h["hostname"] for h in server.get("/api/v1/enrollments")["enrollments"]] == ["host-a"]


def test_13_approve_fetch_the_key_report_twice(g, server):
    p = g.policy()
    k = g.key(default_policy_id=p["id"])["enrollment_key"]
    ag = GrapheonAgent(server)
    ag.now = {"addresses": [ADDRESSES[0]], "neighbors": [NEIGHBORS[0]], "routes": [ROUTES[1]],
              "connections": [{**CONNECTIONS[2], "remote_ip": "192.0.2.200"}]}
    ag.register(k)
    id = g.id_of(ag)
    assert g.api("POST", f"/{id}/approve", {})["enrollment_state"] == "active"
    assert ag.register(k)["status"] == "active" and re.fullmatch(r"gpak_[\w-]{43}", ag.api_key)
    first = ag.check_in()
    assert first["status"] == "accepted" and first["policy"]["id"] == p["id"]
    assert {x: first["summary"][x] for x in ("hosts_created", "arp_entries_created", "connections_created")} == \
        {"hosts_created": 3, "arp_entries_created": 1, "connections_created": 1}
    assert first["checkin"]["auth_method"] == "api_key" and first["checkin"]["content_encoding"] == "gzip"
    ag.last = None
    again = ag.check_in()
    assert [again["summary"][x] for x in ("hosts_created", "arp_entries_created", "connections_created")] == [0, 0, 0]
    seen = g.api("GET", f"/{id}")
    assert seen["last_seen_at"] and seen["api_key_prefix"] == ag.api_key[:20] and seen["last_ip_addresses"] == ["192.0.2.5"]
    page = g.api("GET", f"/{id}/checkins")
    assert page["total"] == 2 and [x["sequence_number"] for x in page["items"]] == [2, 1]
    assert len(g.rows(ag, "neighbours")) == 1 and len(g.rows(ag, "connections")) == 1


def test_14_a_rotated_key(g, server):
    ag = GrapheonAgent(server)
    id = g.agent(ag)
    old = ag.api_key
    new = g.api("POST", f"/{id}/rotate-api-key", {"reason": "test"})
    assert new["api_key"] != old and new["agent"]["api_key_prefix"] == new["api_key"][:20] != old[:20]
    refused(401, ag.check_in)
    ag.api_key = new["api_key"]
    ag.check_in()


# -- the run of section 6, as far as it is the server's
def test_the_life_of_an_agent(g, server):
    p = g.policy("it-fast", checkin_interval_seconds=3600, max_report_bytes=10485760)
    ek = g.key("it-manual", default_policy_id=p["id"], auto_approve=False)["enrollment_key"]
    ag = GrapheonAgent(server)
    assert ag.register(ek)["status"] == "pending"
    id = g.id_of(ag)
    assert g.api("POST", f"/{id}/approve", {})["enrollment_state"] == "active"
    ag.register(ek)
    assert ag.check_in()["checkin"]["full_snapshot"] is True
    assert ag.check_in()["checkin"]["full_snapshot"] is False
    got = g.api("GET", f"/{id}/checkins")
    assert got["total"] == 2 and [[x["sequence_number"], x["full_snapshot"], x["content_encoding"], x["auth_method"]] for x in got["items"]] == \
        [[2, False, "gzip", "api_key"], [1, True, "gzip", "api_key"]]
    new = g.api("POST", f"/{id}/rotate-api-key", {"reason": "test"})["api_key"]
    refused(401, ag.check_in)
    ag.api_key = new
    assert ag.check_in()["checkin"]["sequence_number"] == 3
    assert ag.register(ek)["api_key"] is None
    assert g.api("PATCH", f"/{id}", {"enrollment_state": "revoked"})["enrollment_state"] == "revoked"
    refused(403, ag.check_in)
    refused(403, ag.register, ek)
    refused(401, ag.register, "gaek_wrong")


# -- what is reported is the host's inventory
def test_rows_become_the_hosts_sections(g, server):
    ag = GrapheonAgent(server)
    g.agent(ag)
    got = ag.check_in()
    assert got["rows_rejected"] == 0 and got["summary"]["neighbor_count"] == 2
    assert "0.0.0.0" not in got["summary"]["ip_addresses_seen"]
    a = g.rows(ag, "addresses")
    assert a["eth0 192.0.2.5/24"]["mac"] == "02:00:00:00:00:05" and a["eth0 192.0.2.5/24"]["prefix"] == 24
    c = g.rows(ag, "connections")
    assert c["tcp 0.0.0.0:22 *"]["process"] == "sshd" and len(c) == 4
    assert "tcp [::ffff:192.0.2.5]:8080 [::ffff:198.51.100.24]:41000" in c
    assert g.rows(ag, "routes")["default via 192.0.2.1 dev eth0"]["source"] == "192.0.2.5"
    out = server.cli("inventory", "host-a", "addresses", check=0).stdout
    assert "192.0.2.5" in out and "eth0" in out
    assert "sshd" in server.cli("inventory", "host-a", "connections", check=0).stdout
    assert re.search(r"host-a\b.*grapheon", server.cli("hosts", "-o", "wide", check=0).stdout)


def test_a_changed_state_replaces_its_row_and_a_heartbeat_keeps_all(g, server):
    ag = GrapheonAgent(server)
    id = g.agent(ag)
    ag.check_in()
    ag.now["neighbors"] = [{**NEIGHBORS[0], "state": "stale"}]
    ag.now["connections"] = [{**CONNECTIONS[0], "pid": 1200}]
    ag.check_in()
    n, c = g.rows(ag, "neighbours"), g.rows(ag, "connections")
    assert n["eth0 192.0.2.1"]["state"] == "stale" and len(n) == 2  # an agent without digests never says what went
    assert c["tcp 0.0.0.0:22 *"]["pid"] == 1200 and len(c) == 4
    before = g.api("GET", f"/{id}")
    ag.check_in()
    after = g.api("GET", f"/{id}")
    assert after["last_ip_addresses"] == before["last_ip_addresses"] == ["192.0.2.5", "198.51.100.9", "fe80::5"]
    assert after["last_seen_at"] > before["last_seen_at"]


def test_removals_and_digests(g, server):
    ag = GrapheonAgent(server, ext=True)
    g.agent(ag)
    assert "resync" not in ag.check_in()
    twin = {**CONNECTIONS[1], "pid": 621}
    ag.now["connections"] = [CONNECTIONS[0], CONNECTIONS[1], twin]
    ag.now["neighbors"] = []
    ag.now["addresses"] = ag.now["addresses"][:1]
    got = ag.check_in()
    assert "resync" not in got
    assert set(g.rows(ag, "connections")) == {"tcp 0.0.0.0:22 * pid 900", "udp 127.0.0.53:53 * pid 620", "udp 127.0.0.53:53 * pid 621"}
    assert g.rows(ag, "neighbours") == {} and len(g.rows(ag, "addresses")) == 1
    assert got["agent"]["last_ip_addresses"] == ["192.0.2.5"]
    ag.now["connections"] = [CONNECTIONS[0], twin]
    ag.now["neighbors"] = NEIGHBORS
    assert "resync" not in ag.check_in()
    assert set(g.rows(ag, "connections")) == {"tcp 0.0.0.0:22 * pid 900", "udp 127.0.0.53:53 * pid 621"}
    assert len(g.rows(ag, "neighbours")) == 2


def test_a_lost_delta_is_noticed_and_mended(g, server):
    ag = GrapheonAgent(server, ext=True)
    g.agent(ag)
    ag.check_in()
    ag.now["connections"] = CONNECTIONS[:1]
    _, ag.last = ag.report()  # as if it had been sent
    ag.sequence += 1
    ag.now["connections"] = CONNECTIONS[:1] + [{**CONNECTIONS[0], "local_port": 23}]
    got = ag.check_in()
    assert got["resync"] is True and "resync" in got["checkin"]["flags"]
    got = ag.check_in()
    assert got["checkin"]["full_snapshot"] is True and "resync" not in got
    assert set(g.rows(ag, "connections")) == {"tcp 0.0.0.0:22 * pid 900", "tcp 0.0.0.0:23 * pid 900"}


def test_digests_survive_a_restart_of_the_server(g, server):
    ag = GrapheonAgent(server, ext=True)
    id = g.agent(ag)
    ag.check_in()
    before = g.api("GET", f"/{id}")
    server.kill9()
    server.start()
    ag.now["connections"] = CONNECTIONS[:2]
    got = ag.check_in()
    assert "resync" not in got and got["summary"]["connections_created"] == 0
    assert len(g.rows(ag, "connections")) == 2
    after = g.api("GET", f"/{id}")
    assert {k: after[k] for k in ("last_ip_addresses", "created_at", "api_key_prefix", "last_registration_summary")} == \
        {k: before[k] for k in ("last_ip_addresses", "created_at", "api_key_prefix", "last_registration_summary")}
    assert g.api("GET", f"/{id}/checkins")["total"] == 2


def test_what_is_new_is_counted_after_a_restart_too(g, server):
    ag = GrapheonAgent(server)
    g.agent(ag)
    ag.check_in()
    server.kill9()
    server.start()
    ag.last = None
    got = ag.check_in()["summary"]
    assert (got["hosts_created"], got["arp_entries_created"], got["connections_created"]) == (0, 0, 0)


def test_a_repeat_changes_nothing(g, server):
    ag = GrapheonAgent(server, ext=True)
    id = g.agent(ag)
    body, _ = ag.report()
    first, second = ag.send(body), ag.send(body)
    assert "repeat" not in first and second["repeat"] is True and second["checkin"]["id"] == first["checkin"]["id"]
    assert g.api("GET", f"/{id}/checkins")["total"] == 1


def test_a_section_that_failed_closes_nothing(g, server):
    ag = GrapheonAgent(server, ext=True)
    g.agent(ag)
    ag.check_in()
    ag.want_full = True
    body, _ = ag.report(neighbors=[], section_status={"neighbors": "failed"})
    del body["digest"]["neighbors"]
    ag.send(body)
    assert len(g.rows(ag, "neighbours")) == 2
    host = g.hosts()[0]
    secs = {x["section"]: x["status"] for x in server.get(f"/api/v1/agents/{host['id']}/inventory")["sections"]}
    assert secs["neighbours"] == "failed" and secs["addresses"] == "ok"


def test_bad_rows_are_refused_alone(g, server):
    ag = GrapheonAgent(server)
    g.agent(ag)
    ag.now["connections"] = CONNECTIONS + [{**CONNECTIONS[0], "state": "close", "local_port": 7}]
    ag.now["addresses"] = ADDRESSES + [{**ADDRESSES[0], "ip_address": "192.0.2.6", "mac_address": "00:" * 19 + "00"}]
    got = ag.check_in()
    assert got["rows_rejected"] == 2 and {x["type"] for x in got["rejected"]} == {"value_error"}
    assert sorted(x["field"].rsplit(".", 1)[1] for x in got["rejected"]) == ["mac_address", "state"]
    assert len(g.rows(ag, "connections")) == 4 and len(g.rows(ag, "addresses")) == 3
    assert "rows_rejected" in got["checkin"]["flags"]


def test_in_parity_one_bad_row_refuses_all(fleet):
    s = fleet.server(args=["--grapheon-strict"])
    g = Console(s)
    ag = GrapheonAgent(s)
    g.agent(ag)
    ag.now["connections"] = CONNECTIONS + [{**CONNECTIONS[0], "state": "close"}]
    r = refused(422, ag.check_in)
    assert r.json["errors"][0]["field"].startswith("connections.") and r.json["errors"][0]["field"].endswith(".state")


# -- keys and claims
def test_nobody_takes_the_key_of_a_claimed_agent(g, server):
    k = g.key()["enrollment_key"]
    ag = GrapheonAgent(server, claim="c" * 43)
    ag.register(k)
    thief = GrapheonAgent(server, agent_uuid=ag.uuid)
    refused(403, thief.register, k)
    thief.claim = "d" * 43
    refused(403, thief.register, k)
    g.api("POST", f"/{g.id_of(ag)}/approve", {})
    refused(403, thief.register, k)
    ag.register(k)
    assert ag.api_key and not thief.api_key


def test_a_lost_key_is_issued_again_until_it_was_used(g, server):
    k = g.key(auto_approve=True)["enrollment_key"]
    ag = GrapheonAgent(server, claim="c" * 43)
    ag.register(k)
    first = ag.api_key
    ag.register(k)
    assert ag.api_key != first
    second, ag.api_key = ag.api_key, first
    refused(401, ag.check_in)
    ag.api_key = second
    ag.check_in()
    assert ag.register(k)["api_key"] is None
    unclaimed = GrapheonAgent(server)
    assert unclaimed.register(k)["api_key"]
    assert unclaimed.register(k)["api_key"] is None


def test_keys_that_ended_still_serve_who_is_known(g, server):
    k = g.key(max_registrations=1)
    ag = GrapheonAgent(server)
    ag.register(k["enrollment_key"])
    refused(403, GrapheonAgent(server).register, k["enrollment_key"])
    g.api("PATCH", f"/enrollment-keys/{k['key']['id']}", {"expires_at": "2020-01-01T00:00:00Z", "max_registrations": None})
    refused(403, GrapheonAgent(server).register, k["enrollment_key"])
    g.api("PATCH", f"/enrollment-keys/{k['key']['id']}", {"is_active": False})
    refused(401, GrapheonAgent(server).register, k["enrollment_key"])
    g.api("POST", f"/{g.id_of(ag)}/approve", {})
    assert ag.register(k["enrollment_key"])["api_key"]
    other = g.key("other")["enrollment_key"]
    refused(409, ag.register, other)


def test_verbs_of_both_sides_have_one_effect(g, server):
    k = g.key()["enrollment_key"]
    ag = GrapheonAgent(server)
    ag.register(k)
    id = g.id_of(ag)
    server.cli("approve", "host-a", check=0)
    assert g.api("GET", f"/{id}")["enrollment_state"] == "active" and g.api("GET", f"/{id}")["approved_at"]
    ag.register(k)
    ag.check_in()
    server.cli("revoke", "host-a", check=0)
    assert g.api("GET", f"/{id}")["enrollment_state"] == "revoked"
    refused(403, ag.check_in)
    # let in again: the old key stays dead and is not shown, a new one is fetched
    again = g.api("POST", f"/{id}/approve", {})
    assert again["enrollment_state"] == "active" and again["api_key_prefix"] is None and again["api_key_issued_at"] is None
    refused(401, ag.check_in)
    assert ag.register(k)["api_key"]
    assert g.api("GET", f"/{id}")["api_key_prefix"] == ag.api_key[:20]
    ag.check_in()
    assert g.api("POST", f"/{id}/reject", {"reason": "no more"})["last_registration_summary"]["rejection_reason"] == "no more"
    refused(403, ag.check_in)
    refused(403, ag.register, k)
    assert g.hosts()[0]["state"] == "rejected"
    g.api("POST", f"/{id}/revoke", {})
    refused(403, ag.check_in)
    g.api("DELETE", f"/{id}", expect=204)
    refused(401, ag.check_in)
    assert g.hosts() == []
    assert ag.register(k)["status"] == "pending"  # a newcomer


def test_switched_off_is_not_revoked(g, server):
    ag = GrapheonAgent(server)
    id = g.agent(ag)
    g.api("PATCH", f"/{id}", {"is_active": False})
    refused(401, ag.check_in)
    g.api("POST", f"/{id}/rotate-api-key", {}, expect=409)
    g.api("PATCH", f"/{id}", {"is_active": True})
    ag.check_in()


def test_an_agent_written_in_beforehand(g, server):
    ag = GrapheonAgent(server)
    row = g.api("POST", "", {"agent_uuid": ag.uuid, "enrollment_state": "active", "site_name": "X"}, expect=201)
    assert row["enrollment_state"] == "active" and row["last_ip_addresses"] == []
    g.api("POST", "", {"agent_uuid": ag.uuid}, expect=409)
    assert ag.register(g.key()["enrollment_key"])["api_key"]
    ag.check_in()


# -- limits, hostility
def all_but_the_last_byte(server, ag, **more):
    """A check-in on a connection of its own, and what is still to be sent."""
    body = gzip.compress(json.dumps(ag.report(**more)[0]).encode())
    c = socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=60)
    c.sendall(f"POST /api/agents/check-in HTTP/1.1\r\nHost: x\r\nX-Agent-Api-Key: {ag.api_key}\r\nContent-Encoding: gzip\r\n"
              f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
    return c, body[-1:]


def test_refusals_of_a_check_in_in_their_order(g, server):
    ag = GrapheonAgent(server)
    p = g.policy("small", max_report_bytes=16384)
    id = g.agent(ag)
    g.api("PATCH", f"/{id}", {"policy_id": p["id"]})
    url = server.url + "/api/agents/check-in"
    body, _ = ag.report()

    def post(raw, **h):
        h = {k.replace("_", "-"): v for k, v in h.items()}
        return requests.post(url, data=raw, headers={"X-Agent-Api-Key": ag.api_key, **h}, timeout=30)

    good = json.dumps(body).encode()
    assert requests.post(url, data=good, timeout=30).status_code == 401
    assert post(b"x" * 262145).status_code == 413
    assert post(b"x" * 262145, X_Agent_Api_Key="gpak_" + "x" * 43).status_code == 401
    for enc in ("identity", "br", "deflate"):
        assert post(good, Content_Encoding=enc).status_code == 415
    z = gzip.compress(good)
    assert post(good, Content_Encoding="gzip").status_code == 400
    for cut in (3, len(z) // 2, len(z) - 1):
        assert post(z[:cut], Content_Encoding="GZIP").status_code == 400
    assert post(z + b"junk", Content_Encoding="gzip").status_code == 400
    for said in (0, 1, len(good) - 1, len(good) + 1, 0xffffffff):
        assert post(z[:-4] + said.to_bytes(4, "little"), Content_Encoding="gzip").status_code == 400
    bomb = gzip.compress(b" " * (200 << 20))
    assert len(bomb) < 262144 and post(bomb, Content_Encoding="gzip").status_code == 413
    pad = dict(body, metadata={"pad": ""})
    pad["metadata"]["pad"] = "x" * (16384 - len(json.dumps(pad)))
    assert len(json.dumps(pad)) == 16384 and post(gzip.compress(json.dumps(pad).encode()), Content_Encoding="gzip").status_code == 200
    pad["metadata"]["pad"] += "x"
    assert post(gzip.compress(json.dumps(pad).encode()), Content_Encoding="gzip").status_code == 413
    assert post(b"", Content_Encoding="gzip").status_code == 422
    for bad, field in ((dict(body, sequence_number=-1), "sequence_number"), (dict(body, addresses=None), "addresses"),
                       ({k: v for k, v in body.items() if k != "observed_at"}, "observed_at"), (dict(body, hostname="x" * 256), "hostname")):
        r = post(json.dumps(bad).encode())
        assert r.status_code == 422 and [e["field"] for e in r.json()["errors"]] == [field], r.text
    assert post(json.dumps(dict(body, agent_uuid="other")).encode()).status_code == 409
    r = post(good)
    assert r.status_code == 200 and r.json()["checkin"]["content_encoding"] == "identity" and re.fullmatch(
        r"[0-9a-f-]{36}", r.headers["X-Request-ID"])


def test_guessing_is_slowed_down_and_written_down(g, server):
    codes = set()
    for i in range(160):
        try:
            GrapheonAgent(server).register(f"gaek_wrong{i}")
        except Refused as e:
            codes.add(e.status)
            if e.status == 429:
                assert int(e.headers["Retry-After"]) >= 1
    assert codes == {401, 429}
    rows = server.get("/api/v1/audit?limit=100")["rows"]
    assert any(r["verb"] == "report.register" and r["outcome"] == "denied" for r in rows)
    # whoever has a good key is not stopped by it
    assert GrapheonAgent(server).register(g.key()["enrollment_key"])["status"] == "pending"


def test_many_at_once_stay_in_order_and_lose_nothing(g, server):
    key = g.key(auto_approve=True)["enrollment_key"]
    agents = [GrapheonAgent(server, f"h{i}", ext=i % 2 == 0) for i in range(12)]
    for a in agents:
        a.register(key)

    def run(a):
        for i in range(15):
            a.now["connections"] = [{**CONNECTIONS[2], "remote_port": 1000 + j} for j in range(i, i + 20)]
            assert "resync" not in a.check_in()

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(run, agents))
    for a in agents:
        assert g.api("GET", f"/{g.id_of(a)}/checkins")["total"] == 15
        assert len(g.rows(a, "connections")) == (20 if a.ext else 34)


def test_a_burst_is_queued_and_not_refused(g, server):
    """Five hundred connections send at once; what waits does so as small as it was sent."""
    key = g.key(auto_approve=True)["enrollment_key"]
    agents = [GrapheonAgent(server, f"h{i}", ext=True) for i in range(125)]
    conns = []
    for a in agents:
        a.register(key)
    for i in range(500):
        conns.append(all_but_the_last_byte(server, agents[i % 125], sequence_number=i + 1))
    for c, last in conns:
        c.sendall(last)
    statuses = collections.Counter()
    for c, _ in conns:
        with c, c.makefile("rb") as f:
            statuses[f.readline().split()[1]] += 1
    assert statuses == {b"200": 500}
    for id in [x["id"] for x in g.api("GET", "?limit=1000")["items"]]:
        assert g.api("GET", f"/{id}/checkins")["total"] == 4


def test_one_agent_does_not_take_the_places_of_all(g, server):
    """Four of its reports are on their way at most; who else comes meanwhile is served."""
    key = g.key(auto_approve=True)["enrollment_key"]
    greedy, other = GrapheonAgent(server, ext=True), GrapheonAgent(server, ext=True)
    greedy.register(key)
    other.register(key)
    conns = [all_but_the_last_byte(server, greedy, sequence_number=i + 1) for i in range(12)] + [all_but_the_last_byte(server, other)]
    server.proc.p.send_signal(signal.SIGSTOP)  # all of them are there when it looks again
    try:
        for c, last in conns:
            c.sendall(last)
    finally:
        server.proc.p.send_signal(signal.SIGCONT)
    answers = []
    for c, _ in conns:
        with c, c.makefile("rb") as f:
            answers.append((int(f.readline().split()[1]), dict(line.decode().strip().lower().split(": ", 1) for line in iter(f.readline, b"\r\n"))))
    taken = sum(s == 200 for s, _ in answers[:12])  # more than four where it answered some before it looked at the rest
    assert 4 <= taken < 12 and sorted(s for s, _ in answers[:12]) == [200] * taken + [429] * (12 - taken) and answers[12][0] == 200
    assert all(int(h["retry-after"]) >= 1 and h["x-request-id"] for s, h in answers if s == 429)
    assert g.api("GET", f"/{g.id_of(greedy)}/checkins")["total"] == taken


def test_what_was_answered_survives_a_kill(g, server):
    ag = GrapheonAgent(server, ext=True)
    id = g.agent(ag)
    for i in range(5):
        ag.now["connections"] = [{**CONNECTIONS[2], "remote_port": 1000 + i}]
        got = ag.check_in()
        server.kill9()
        server.start()
        assert g.api("GET", f"/{id}/checkins")["items"][0]["id"] == got["checkin"]["id"]
        assert list(g.rows(ag, "connections")) == [f"tcp 192.0.2.5:443 198.51.100.21:{1000 + i}"]


def test_people_log_in_by_the_accents_own_route(g, server):
    server.api("POST", "/api/v1/users", {"name": "vera", "role": "viewer", "password": "correct horse battery"}, expect=201)
    r = server.api("POST", "/api/auth/login/local", {"username": "vera", "password": "correct horse battery"}, expect=200).json()
    assert r["token_type"] == "Bearer" and r["role"] == "viewer" and r["expires_in"] == 3600
    again = server.api("POST", "/api/auth/login/local", {"username": "vera", "password": "correct horse battery"}, expect=200).json()
    assert again["access_token"] != r["access_token"]  # of the same second, too
    h = {"Authorization": f"Bearer {r['access_token']}"}
    assert server.api("GET", "/api/agents", headers=h).status_code == 200
    assert server.api("GET", "/api/agents/policies", headers=h).status_code == 200
    assert server.api("GET", "/api/agents/enrollment-keys", headers=h).status_code == 403
    assert server.api("POST", "/api/agents/policies", {"name": "x"}, headers=h).status_code == 403
    bad = server.api("POST", "/api/auth/login/local", {"username": "vera", "password": "no"})
    assert bad.status_code == 401 and bad.json()["detail"]
    assert server.api("GET", "/api/agents", headers={"Authorization": "Bearer a.b.c"}).status_code == 401


class Browser:
    """A person at the page: cookies kept, forms sent as they stand in the last answer."""

    def __init__(self, server):
        self.server, self.s, self.text = server, requests.Session(), ""

    def get(self, path):
        return self.took(self.s.get(self.server.url + path, timeout=30))

    def took(self, r):
        self.text = r.text
        return r

    def log_in(self, user, password="correct horse battery"):
        self.get("/grapheon/agents")
        assert 'action="/grapheon/login"' in self.text
        r = self.took(self.s.post(self.server.url + "/grapheon/login", {"username": user, "password": password}, timeout=30))
        assert r.status_code == 200 and r.url.endswith("/grapheon/agents"), r.text
        return self

    def press(self, id, word, **more):
        form = re.search(rf'action="(/grapheon/agents/{id}/{word})">(.*?)</form>', self.text, re.S)
        fields = dict(re.findall(r'name="(\w+)" value="(\w+)"', form[2]))
        return self.took(self.s.post(self.server.url + form[1], {**fields, **more}, headers={"Origin": self.server.url}, timeout=30))

    def row(self, name):
        return next(r for r in re.findall(r'<tr role="row">.*?</tr>', self.text, re.S) if f"<bdi>{name}</bdi>" in r)


def age(server, seconds):
    """As if all that was seen and decided had been that long ago."""
    server.stop()
    with contextlib.closing(sqlite3.connect(server.state / "muster.db")) as db:
        for id, body in db.execute("SELECT id, body FROM object WHERE body LIKE '%\"approved_at_us\"%'").fetchall():
            body = re.sub(r'("approved_at_us":)(\d+)', lambda m: m[1] + str(int(m[2]) - seconds * 10**6), body)
            db.execute("UPDATE object SET body = ? WHERE id = ? AND body LIKE '%\"approved_at_us\"%'", (body, id))
        db.commit()
    server.start()


def test_the_page_shows_how_agents_fare_and_its_buttons_decide(g, server):
    p = g.policy(checkin_interval_seconds=600, target_version="9.9")
    late = GrapheonAgent(server, hostname="late")
    g.agent(late, g.key("auto", auto_approve=True, default_policy_id=p["id"])["enrollment_key"])
    age(server, 3600)
    assert g.api("GET", f"/{g.id_of(late)}")["overdue"] is True

    ek = g.key("manual")["enrollment_key"]
    ag = GrapheonAgent(server, hostname="web-1", ext=True)
    assert ag.register(ek)["status"] == "pending"
    b = Browser(server)
    b.s.cookies.set("muster_page", "a.b.c", domain="127.0.0.1", path="/grapheon")  # of a session that is over
    b.log_in("ann")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = requests.post(server.url.replace("http:", "https:") + "/grapheon/login", {"username": "ann", "password": "correct horse battery"},
                          timeout=30, verify=False, allow_redirects=False)
    assert r.status_code == 303 and r.headers["Set-Cookie"].endswith("; Secure")
    assert "ann (admin)" in b.text and "9.9 wanted" in b.row("late") and "overdue" in b.row("late") and "waiting" in b.row("web-1")
    b.get("/grapheon/agents?show=overdue")
    assert "Overdue 1" in b.text and b.row("late") and "web-1" not in b.text
    b.get("/grapheon/agents?show=pending")
    id = g.id_of(ag)
    r = b.press(id, "approve")
    assert r.status_code == 200 and r.history[0].status_code == 303 and "was let in" in b.text

    assert ag.register(ek)["status"] == "active"
    ag.check_in(section_status={"connections": "failed"}, collector_status={"docker_ps": "missing"})
    body, _ = ag.report()
    refused(409, ag.send, {**body, "agent_uuid": "another"})
    got = g.api("GET", f"/{id}")
    assert got["failing_collectors"] == ["connections"] and got["last_refusal"]["code"] == "report.uuid" and not got["overdue"]
    b.get("/grapheon/agents?show=failing")
    assert "Failing 1" in b.text and "<bdi>late</bdi>" not in b.text
    assert "connections failed" in b.row("web-1") and "lacks one" in b.row("web-1") and "agent_uuid is not" in b.row("web-1") and "overdue" not in b.row("web-1")

    old = ag.api_key
    r = b.press(id, "rotate", reason="leaked")
    assert r.status_code == 200 and not r.history and r.headers["Cache-Control"] == "no-store"
    ag.api_key = re.search(r"<code>(gpak_[\w-]{43})</code>", b.text)[1]
    assert ag.api_key != old and ag.api_key not in server.log and b.s.cookies["muster_page"] not in server.log
    ag.check_in()
    ag.api_key, new = old, ag.api_key
    refused(401, ag.check_in)
    b.get("/grapheon/agents")
    assert new not in b.text
    assert b.press(id, "revoke").status_code == 200 and "was revoked" in b.text
    ag.api_key = new
    refused(403, ag.check_in)


def test_the_pages_examples_run(server):
    assert run_examples("grapheon", server) > 0
