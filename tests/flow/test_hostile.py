"""Bad input from the network: a 4xx with a reason or a closed connection, bounded memory, nothing else disturbed."""
import os
import select
import socket
import ssl

import pytest
import requests
from conftest import SLOW, unsanitized, until


def raw(port, data, timeout=20, close=False):
    with socket.create_connection(("127.0.0.1", port)) as c:
        c.settimeout(timeout * SLOW)
        c.sendall(data)
        if close:
            c.shutdown(socket.SHUT_WR)
        out = b""
        try:
            while True:
                b = c.recv(65536)
                if not b:
                    break
                out += b
                if b"\r\n\r\n" in out and not close:
                    break
        except (TimeoutError, ConnectionResetError):
            pass
        return out


def status(out):
    return int(out.split(b" ", 2)[1]) if out.startswith(b"HTTP/1.") else None


def rss_kb(pid):
    return sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Private"))


@pytest.fixture
def s(fleet):
    return fleet.server()


CASES = [
    ("half a request line", b"GET /", None),
    ("not http", b"\x00\x01\x02\x03\r\n\r\n", 400),
    ("10,000 headers", b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(10000)) + b"\r\n", 431),
    ("a huge header", b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100000 + b"\r\n\r\n", 431),
    ("a long path", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    ("1 GiB announced", b"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n", 413),
    ("two lengths", b"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    ("length and chunked", b"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("negative length", b"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
    ("NUL in a header", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400),
    ("bad chunk", b"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
    ("path traversal", b"GET /api/v1/agents/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
    ("NUL in a name", b"GET /api/v1/agents/a%00b HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404)),
    ("bad escape", b"GET /api/v1/agents?label=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("unknown method", b"BREW /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 405, 501)),
    ("wrong method", b"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("HTTP/2 preface on the HTTP port", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505, None)),
]


@pytest.mark.parametrize("name,data,want", CASES, ids=[c[0] for c in CASES])
def test_malformed_http(s, name, data, want):
    got = status(raw(s.base + 2, data, close=want is None))
    assert got in (want if isinstance(want, tuple) else (want,)), (name, got)
    assert requests.get(s.url + "/healthz", timeout=5).text == "ok"


def post(s, body, path="/api/v1/tokens"):
    return requests.post(s.url + path, data=body, timeout=20)


def test_bad_json_is_named(s):
    for body, code in ((b"{", "json.syntax"), (b'{"a":1,"a":2}', "json.duplicate"), (b"[" * 5000 + b"]" * 5000, "json.depth"),
                       (b'{"note":"\xff\xfe"}', "json.utf8"), (b'{} {}', "json.syntax"), (b'[]', None), (b'{"uses":"x"}', None),
                       (b'{"uses":-1}', None), (b'{"uses":1e99}', None), (b'{"note":' + b'"' + b"x" * 60000 + b'"}', None)):
        r = post(s, body)
        assert r.status_code in (400, 413), (body[:40], r.status_code, r.text[:200])
        if code:
            assert r.json()["error"]["code"] in (code, "json.syntax"), (body[:40], r.text)
    r = post(s, b'{"uses":"x","ttl":5,"labels":3}')
    assert {f["path"] for f in r.json()["error"]["fields"]} >= {"uses", "labels"}
    r = post(s, b'{"surprise":1}')
    assert r.status_code == 201


def test_slow_clients_are_closed_and_do_not_disturb(s):
    conns = []
    for _ in range(200):
        c = socket.create_connection(("127.0.0.1", s.base + 2))
        c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        conns.append(c)
    assert requests.get(s.url + "/healthz", timeout=5 * SLOW).text == "ok"
    assert not select.select(conns, [], [], 0)[0]  # all of them were there, and are

    def closed(c):
        c.settimeout(30 * SLOW)
        try:
            data = c.recv(4096)
            return data == b"" or b" 408 " in data
        except ConnectionResetError:
            return True
    assert all(closed(c) for c in conns)
    for c in conns:
        c.close()


def test_half_handshakes_and_garbage_on_the_grpc_port_leave_it_working(pair):
    s, a = pair
    before = rss_kb(s.proc.p.pid)
    socks = []
    for i in range(300):
        c = socket.create_connection(("127.0.0.1", s.base))
        c.sendall(b"\x16\x03\x01" if i % 2 else os.urandom(200))
        socks.append(c)
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.set_alpn_protocols(["h2"])
    for _ in range(20):
        with ctx.wrap_socket(socket.create_connection(("127.0.0.1", s.base))) as t:
            t.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(5000))
    assert s.cli("run", a.host["name"], "--", "echo", "still here", check=0).stdout == "still here\n"
    for c in socks:
        c.close()
    assert rss_kb(s.proc.p.pid) - before < 40_000 * (5 if SLOW > 1 else 1)


def test_tls_below_1_3_is_refused_on_the_agent_port(s):
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    ctx.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        ctx.wrap_socket(socket.create_connection(("127.0.0.1", s.base)))


def test_unauthenticated_enrolment_is_rate_limited(s):
    import subprocess
    from test_grpc import Peer
    from conftest import ROOT
    import sys
    import grpc
    d = s.dir / "pb"
    d.mkdir()
    subprocess.run(["protoc", f"--proto_path={ROOT}/proto/muster/v1", f"--python_out={d}", "muster.proto"], check=True)
    sys.path.insert(0, str(d))
    import muster_pb2
    codes = []
    for _ in range(60):
        try:
            Peer(s, muster_pb2).enroll("")
            codes.append(None)
        except grpc.RpcError as e:
            codes.append(e.code())
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes and None in codes


@unsanitized
def test_memory_is_bounded_under_a_flood_of_bodies(s):
    pid = s.proc.p.pid
    for _ in range(20):
        post(s, b'{"note":"' + b"x" * 50000 + b'"}')
    before = rss_kb(pid)
    for _ in range(300):
        post(s, b'{"note":"' + b"x" * 50000 + b'"}')
    assert rss_kb(pid) - before < 8_000 * (10 if SLOW > 1 else 1)


def test_a_slow_reader_of_output_does_not_grow_the_server(pair):
    s, a = pair
    j = s.api("POST", "/api/v1/jobs", {"targets": {"hosts": [a.host["name"]]}, "argv": ["sh", "-c", "head -c 40000000 /dev/zero"]}, expect=201).json()["id"]
    c = socket.create_connection(("127.0.0.1", s.base + 2))
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.sendall(f"GET /api/v1/jobs/{j}/output?follow=true HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    until(lambda: s.get(f"/api/v1/jobs/{j}")["state"] != "running", 120, "the job to end although nobody reads")
    assert rss_kb(s.proc.p.pid) < 120_000 * (6 if SLOW > 1 else 1)
    c.close()
