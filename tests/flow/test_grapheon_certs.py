"""Client certificates of Graphēon agents: Python's ssl, curl and openssl as clients that owe us nothing, then our own agent."""
import hashlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess

import pytest
from conftest import until
from test_grapheon_agent import Console, Host

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates")


class Key:
    """A key with a certificate that nobody has vouched for."""

    def __init__(self, top, name, *algorithm):
        self.cert, self.key = top / f"{name}.pem", top / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-newkey", *(algorithm or ("ed25519",)),
                        "-keyout", str(self.key), "-out", str(self.cert)], check=True, capture_output=True)
        self.cert.chmod(0o600)
        self.key.chmod(0o600)

    def again(self, top, name):
        """Another certificate for the same key."""
        c = Key.__new__(Key)
        c.cert, c.key = top / f"{name}.pem", self.key
        subprocess.run(["openssl", "req", "-x509", "-days", "9", "-subj", f"/CN={name}", "-key", str(self.key), "-out", str(c.cert)], check=True, capture_output=True)
        return c

    @property
    def sha256(self):  # as docs/wire/grapheon.md tells operators to find it
        pem = subprocess.run(["openssl", "x509", "-in", str(self.cert), "-noout", "-pubkey"], check=True, capture_output=True).stdout
        return hashlib.sha256(subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, check=True, capture_output=True).stdout).hexdigest()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    top = tmp_path_factory.mktemp("keys")
    return {"own": Key(top, "own"), "other": Key(top, "other", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), "rsa": Key(top, "rsa", "rsa:2048"), "weak": Key(top, "weak", "rsa:1024"), "top": top}


@pytest.fixture
def server(fleet):
    return fleet.server(args=["--http-client-certs", "--trusted-proxy", "127.0.0.2"])


def context(key=None, version=None):
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    if version:
        ctx.maximum_version = version
    if key:
        ctx.load_cert_chain(key.cert, key.key)
    return ctx


def https(server, key=None, version=None, source=None):
    return http.client.HTTPSConnection("127.0.0.1", server.base + 2, context=context(key, version), timeout=30, source_address=source)


def post(conn, path, body, **headers):
    conn.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    r = conn.getresponse()
    return r.status, json.loads(r.read())


def register(conn, key, uuid, **headers):
    return post(conn, "/api/agents/register", {"enrollment_key": key, "agent_uuid": uuid}, **headers)


def check_in(conn, key, uuid, n=[0]):
    n[0] += 1
    return post(conn, "/api/agents/check-in", {"agent_uuid": uuid, "observed_at": "2026-01-01T00:00:00Z", "sequence_number": n[0]}, **{"X-Agent-Api-Key": key})


def audit(server, code):
    return [r for r in server.get("/api/v1/audit?limit=200")["rows"] if r.get("code") == code]


def test_an_agent_is_bound_to_the_key_it_came_with(server, keys):
    api = Console(server.url)
    made = api("POST", "/enrollment-keys", {"name": "bound", "auto_approve": True, "require_client_cert": True})
    ek = made["enrollment_key"]
    own, other = keys["own"], keys["other"]

    # A key that can be found out is no proof.
    weak = context()
    weak.set_ciphers("DEFAULT@SECLEVEL=0")
    weak.load_cert_chain(keys["weak"].cert, keys["weak"].key)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        register(http.client.HTTPSConnection("127.0.0.1", server.base + 2, context=weak, timeout=30), ek, "u1")
    # None on TLS, none on plain HTTP: out, and nothing is left behind.
    for conn in (https(server), http.client.HTTPConnection("127.0.0.1", server.base + 2)):
        status, body = register(conn, ek, "u1")
        assert status == 403 and "certificate" in body["detail"], body
    # A proxy's own certificate is nobody's behind it, whatever it says of them.
    for headers in ({"X-Forwarded-For": "192.0.2.9"}, {"X-Forwarded-For": "unknown"}, {"X-Forwarded-For": "127.0.0.2"}, {"X-Forwarded-Proto": "https"}, {}):
        assert register(https(server, own, source=("127.0.0.2", 0)), ek, "u1", **headers)[0] == 403, headers
    assert api("GET", "")["total"] == 0

    status, body = register(https(server, own), ek, "u1")
    assert status == 200 and body["agent"]["client_key_sha256"] == own.sha256
    api_key, id = body["api_key"], body["agent"]["id"]
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        conn = https(server, own, version)
        for _ in range(2):  # kept alive: the connection is still its
            assert check_in(conn, api_key, "u1")[0] == 200
        status, body = check_in(https(server, other, version), api_key, "u1")
        assert status == 403 and "another" in body["detail"], body
        assert check_in(https(server, None, version), api_key, "u1")[0] == 403
    assert check_in(http.client.HTTPConnection("127.0.0.1", server.base + 2), api_key, "u1")[0] == 403
    assert register(https(server, other), ek, "u1")[0] == 403
    # A certificate made anew for the same key is the same agent; after a restart too.
    assert check_in(https(server, own.again(keys["top"], "renewed")), api_key, "u1")[0] == 200
    server.kill9()
    server.start()
    assert check_in(https(server, own), api_key, "u1")[0] == 200
    assert check_in(https(server, other), api_key, "u1")[0] == 403
    assert audit(server, "client_cert.required") and audit(server, "client_cert.other")

    # curl's view, with an RSA key that an operator put in place of the first.
    agent = api("PATCH", f"/{id}", {"client_key_sha256": keys["rsa"].sha256})
    assert agent["client_key_sha256"] == keys["rsa"].sha256
    body = '{"agent_uuid": "u1", "observed_at": "2026-01-01T00:00:00Z"}'
    curl = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-d", body, "-H", "Content-Type: application/json", "-H", f"X-Agent-Api-Key: {api_key}",
            f"https://127.0.0.1:{server.base + 2}/api/agents/check-in"]
    mine = ["--cert", str(keys["rsa"].cert), "--key", str(keys["rsa"].key)]
    assert subprocess.run(curl + mine, capture_output=True, text=True).stdout == "200"
    assert subprocess.run(curl, capture_output=True, text=True).stdout == "403"

    # Cleared: whoever has the API key binds the next.
    assert "client_key_sha256" not in api("PATCH", f"/{id}", {"client_key_sha256": None})
    assert check_in(https(server), api_key, "u1")[0] == 403  # its enrollment key still says so
    assert check_in(https(server, other), api_key, "u1")[0] == 200
    assert api("GET", f"/{id}")["client_key_sha256"] == other.sha256


def test_nobody_else_is_disturbed(server, keys):
    """People, agents of other accents and agents without a certificate; a session is never resumed without the proof."""
    api = Console(server.url)
    ek = api("POST", "/enrollment-keys", {"name": "free", "auto_approve": True})["enrollment_key"]
    status, body = register(https(server), ek, "plain")
    assert status == 200 and "client_key_sha256" not in body["agent"]
    assert check_in(https(server), body["api_key"], "plain")[0] == 200
    assert check_in(http.client.HTTPConnection("127.0.0.1", server.base + 2), body["api_key"], "plain")[0] == 200
    for key in (None, keys["own"]):  # a person whose browser does show one
        c = https(server, key)
        c.request("GET", "/api/v1/agents")
        assert c.getresponse().status == 200

    # The question names our own CA, of which no browser has a certificate: it asks its user nothing.
    def s_client(port, *args):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    for version in ("-tls1_3", "-tls1_2"):
        out = s_client(server.base + 2, version)
        assert "Acceptable client certificate CA names\n" in out and "CN = " in out.split("Acceptable client certificate CA names\n")[1].split("\n")[0]
        assert "No client certificate CA names sent" in s_client(server.base + 1, version)  # WebSocket: nobody is bound there

    # There is nothing to resume: every connection proves its key anew.
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        ctx, session = context(keys["own"], version), None
        for _ in range(2):
            with ctx.wrap_socket(socket.create_connection(("127.0.0.1", server.base + 2)), session=session) as t:
                t.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert t.recv(100).startswith(b"HTTP/1.1 ") and not t.session_reused
                session = t.session


def test_the_question_comes_and_goes_with_a_reload(fleet, keys, tmp_path):
    conf = tmp_path / "musterd.yaml"
    conf.write_text("http-client-certs: false\n")
    server = fleet.server(args=["--config", str(conf)])
    r = server.api("POST", "/api/agents/enrollment-keys", {"name": "k", "auto_approve": True, "require_client_cert": True}, expect=409)
    assert "http_client_certs" in r.json()["detail"]
    ek = server.api("POST", "/api/agents/enrollment-keys", {"name": "free", "auto_approve": True}, expect=201).json()["enrollment_key"]
    status, body = register(https(server, keys["own"]), ek, "u1")
    assert status == 200 and "client_key_sha256" not in body["agent"]
    conf.write_text("http-client-certs: true\n")
    server.proc.p.send_signal(1)
    until(lambda: "configuration reloaded" in server.log, what="the reload")
    status, got = check_in(https(server, keys["own"]), body["api_key"], "u1")
    assert status == 200 and got["agent"]["client_key_sha256"] == keys["own"].sha256
    assert [r["target"] for r in server.get("/api/v1/audit?limit=200")["rows"] if r["verb"] == "report.client_key"] == ["u1"]


def test_our_agent_with_its_certificate(server, keys, tmp_path):
    api = Console(server.url)
    policy = api("POST", "/policies", {"name": "fast", "jitter_seconds": 0})["id"]
    ek = api("POST", "/enrollment-keys", {"name": "bound", "auto_approve": True, "require_client_cert": True, "default_policy_id": policy})["enrollment_key"]
    h = Host(tmp_path, f"https://127.0.0.1:{server.base + 2}")
    common = ["--insecure-skip-verify", "--enrollment-key", ek]
    own, other = keys["own"], keys["other"]
    assert "certificate" in h.run(*common, "--register-only", "--exit-codes", "fine", expect=4).stderr
    both = tmp_path / "both.pem"
    both.write_text(own.cert.read_text() + own.key.read_text())
    both.chmod(0o600)
    h.run(*common, "--force", "--client-cert", own.cert, "--client-key", own.key)
    assert api("GET", "")["items"][0]["client_key_sha256"] == own.sha256
    h.run(*common, "--force", env={"GRAPHEON_AGENT_CLIENT_CERT": str(both)})
    before = h.snapshot()
    assert "another client certificate" in h.run(*common, "--force", "--client-cert", other.cert, "--client-key", other.key, expect=1).stderr
    assert "certificate" in h.run(*common, "--force", "--reregister", "--exit-codes", "fine", expect=4).stderr
    assert h.snapshot() == before  # the key is kept: it is still good

    # What is wrong with the files is said before anything is sent.
    shared = tmp_path / "shared.key"
    shared.write_text(own.key.read_text())
    shared.chmod(0o640)
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "pkey", "-in", str(own.key), "-aes128", "-passout", "pass:x", "-out", str(locked)], check=True)
    locked.chmod(0o600)
    for args, why in [(["--client-cert", own.cert, "--client-key", tmp_path / "none"], "cannot read"),
                      (["--client-cert", tmp_path / "none", "--client-key", own.key], "cannot read"),
                      (["--client-cert", own.cert, "--client-key", other.key], "does not belong"),
                      (["--client-cert", own.cert, "--client-key", shared], "chmod 600"),
                      (["--client-cert", own.cert, "--client-key", own.cert], "private key"),
                      (["--client-cert", own.cert, "--client-key", locked], "private key"),
                      (["--client-cert", own.key, "--client-key", own.key], "certificate"),
                      (["--client-key", own.key], "--client-cert")]:
        for code, fine in ((1, "plain"), (78, "fine")):
            out = h.run(*common, "--force", "--exit-codes", fine, *args, expect=code)
            assert why in out.stderr, (args, out.stderr)
        assert "problem: " in h.run(*common, "--check-config", *args, expect=1).stdout
    out = h.run(*common, "--check-config", "--client-cert", own.cert, "--client-key", own.key).stdout
    assert own.sha256 in out and "PRIVATE" not in out
    h.url = server.url
    assert "only https://" in h.run("--check-config", "--enrollment-key", ek, "--client-cert", own.cert).stderr
