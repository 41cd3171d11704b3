"""The command line against a stand-in server that says what each test needs (cli_mock.py); what needs a real one is in the
other files of this folder."""
import datetime
import fcntl
import hashlib
import ipaddress
import json
import os
import pathlib
import pty
import re
import select
import signal
import ssl
import stat
import struct
import subprocess
import termios
import threading
import time

import pytest
from cli_mock import NOW, Break, Mock, UnixMock, agent, job, output, task, wait_for
from conftest import BUILD, SLOW, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MUSTER = BUILD / "muster"


@pytest.fixture
def mock():
    m = Mock()
    yield m
    m.close()


@pytest.fixture
def home(tmp_path):
    h = tmp_path / "home"
    h.mkdir()
    return h


def env_of(home, **kw):
    e = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
    e.pop("XDG_CONFIG_HOME", None)
    return {**e, "HOME": str(home), "LC_ALL": "C.UTF-8", **kw}


@pytest.fixture
def cli(mock, home):
    def run(*args, input=None, env=None, text=True, server=None, cwd=None):
        kw = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([MUSTER, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text, timeout=40 * SLOW,
                              cwd=cwd or home, env=env_of(home, MUSTER_SERVER=server or mock.url, **(env or {})), **kw)
    return run


def follow_route(mock, *events):
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, events)


def one_job(*middle, code=0, **kw):
    return [("job", job(1)), *middle, ("task", task(1, "web-1", code=code, **kw)), ("end", job(1, "succeeded"))]


# -- lists

def test_hosts_is_a_table_for_people_and_json_for_scripts(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("db-1", 2, status="disconnected", labels={})]}
    lines = cli("hosts").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATUS", "ADDRESS", "OS", "LABELS", "SEEN"]
    assert lines[1].split()[:2] == ["web-1", "ready"] and "role=web" in lines[1] and lines[2].split()[:2] == ["db-1", "disconnected"]
    assert lines[1].index("ready") == lines[2].index("disconnected")
    r = cli("hosts", "--json")
    assert r.stderr == "" and [a["name"] for a in json.loads(r.stdout)["agents"]] == ["web-1", "db-1"]
    assert cli("hosts", "-o", "name").stdout == "web-1\ndb-1\n"
    wide = cli("-o", "wide", "hosts").stdout
    assert "00000000-0000-4000-8000-000000000001" in wide and "KERNEL" in wide
    assert "\x1b" not in wide


def test_a_host_that_is_not_let_in_shows_its_state(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1)]}
    assert "STATE" not in cli("hosts").stdout.split()
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("db-1", 2, status="disconnected", state="revoked")]}
    rows = [line.split() for line in cli("hosts").stdout.splitlines()]
    assert rows[0][1:3] == ["STATUS", "STATE"] and rows[1][2] == "approved" and rows[2][2] == "revoked"


def test_a_host_of_an_accent_shows_its_dialect(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("edge", 2, dialect="sigma", aliases=["sigma:edge"]),
                                                         agent("db-1", 3, aliases=["grapheon:0193", "grapheon:0194"])]}
    rows = [line.split() for line in cli("hosts").stdout.splitlines()]
    at = rows[0].index("DIALECT")
    assert [r[at + 1] for r in rows[1:]] == ["native", "sigma", "native+grapheon"]  # the OS is two words
    mock.routes[("GET", "/api/v1/agents/db-1")] = agent("db-1", 3, aliases=["grapheon:0193"])
    assert [line.split()[1] for line in cli("host", "db-1").stdout.splitlines() if line.startswith("dialect:")] == ["native+grapheon"]


def test_filters_travel_percent_encoded(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": []}
    r = cli("hosts", "-l", "role=web", "-l", "a=b c", "--status", "ready")
    assert r.returncode == 0 and "no host matches" in r.stderr and r.stdout == ""
    q = mock.of("GET", "/api/v1/agents")[0]["query"]
    assert "label=role%3Dweb%2Ca%3Db%20c" in q and "status=ready" in q


def test_pages_are_joined(mock, cli):
    def page(h, r):
        more = "after=" not in r["query"]
        h.reply(200, {"agents": [agent("a" if more else "b", 1)], **({"next": "a b"} if more else {})})
    mock.routes[("GET", "/api/v1/agents")] = page
    assert cli("hosts", "-o", "name").stdout == "a\nb\n"
    assert [a["name"] for a in json.loads(cli("hosts", "--json").stdout)["agents"]] == ["a", "b"]
    assert "after=a%20b" in mock.of("GET", "/api/v1/agents")[1]["query"]


def test_what_hosts_say_cannot_move_the_cursor(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("evil\x1b[2J\nname", 1)]}
    out = cli("hosts").stdout
    assert "\x1b" not in out and len(out.splitlines()) == 2 and "\\x1B" in out


def test_host_shows_one_object_and_every_part(mock, cli):
    mock.routes[("GET", "/api/v1/agents/web-1")] = agent("web-1", 1)
    out = cli("host", "web-1").stdout
    assert re.search(r"^fingerprint: +sha256:abab", out, re.M) and re.search(r"^  kernel: +6.1", out, re.M) and "2.0 GiB" in out


def test_status_says_pin_and_pending(mock, cli):
    mock.routes[("GET", "/api/v1/status")] = {
        "version": "0.1.0", "fleet": "f1", "uptime_seconds": 61, "hosts": {"total": 3, "ready": 2, "busy": 0, "stale": 0, "disconnected": 1,
        "pending": 4}, "jobs": {"open": 1}, "store": {"healthy": True, "reason": None, "db_bytes": 4096}, "heartbeat_seconds": 10,
        "pin": "sha256:" + "cd" * 32, "listen": {"grpc": 8120, "ws": 8121, "http": 8122, "more_http": ["0.0.0.0:3000", "[::]:80"]}, "dev": True}
    out = cli("status").stdout
    assert "http 8122, http 0.0.0.0:3000, http [::]:80\n" in out and re.search(r"^heartbeat +every 10 s$", out, re.M)
    assert "sha256:" + "cd" * 32 in out and "4 pending" in out and "2 ready" in out and "4.0 KiB" in out and "http 8122" in out
    mock.routes[("GET", "/api/v1/status")]["heartbeat_now_seconds"] = 12.5
    assert re.search(r"^heartbeat +every 12.5 s, stretched for so many agents \(configured: 10 s\)$", cli("status").stdout, re.M)


# -- errors and exit codes

@pytest.mark.parametrize("status,code,rc", [(404, "host.unknown", 4), (403, "auth.denied", 5), (401, "auth.required", 5), (409, "host.ambiguous", 7),
                                            (409, "host.offline", 6), (503, "store.unavailable", 6), (429, "rate.limited", 6), (400, "selector.bad", 2),
                                            (500, "internal", 1)])
def test_refusals_become_exit_codes_and_say_what_to_do(mock, cli, status, code, rc):
    mock.routes[("GET", "/api/v1/agents/web-9")] = lambda h, r: h.error(status, code, "no host named web-9")
    r = cli("host", "web-9")
    assert r.returncode == rc and r.stdout == "" and r.stderr.startswith(f"muster: {code}: no host named web-9"), r
    assert len(r.stderr.splitlines()) == 1
    if code == "host.unknown":
        assert r.stderr == "muster: host.unknown: no host named web-9. List them with: muster hosts\n"


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_a_denial_names_the_role_it_takes(mock, cli, role):
    mock.routes[("GET", "/api/v1/agents/web-9")] = lambda h, r: h.error(403, "auth.denied", "no", user="ann", required_role=role)
    assert cli("host", "web-9").stderr.endswith(f"An admin can give that role: muster user role ann {role}; a token keeps the role it was made with\n")


def test_a_server_that_is_not_there_is_exit_6(cli, home):
    r = cli("hosts", server="http://127.0.0.1:1")
    assert r.returncode == 6 and r.stderr.count("\n") == 1
    assert "cannot connect to 127.0.0.1 port 1: Connection refused. Is musterd running there?" in r.stderr
    r = cli("hosts", server=f"unix:{home}/none.sock")
    assert r.returncode == 6 and f"cannot connect to the socket {home}/none.sock: No such file" in r.stderr and "port" not in r.stderr
    assert "Is musterd running?" in r.stderr and "8122" not in r.stderr


def test_what_is_wrong_comes_with_what_to_do(mock, cli, home):
    """One sentence each: what, and the next step."""
    (home / "short").write_text("")
    mock.routes[("POST", "/api/v1/users")] = lambda h, r: h.error(409, "user.exists", "there is a user ann already", fields=[
        {"path": "name", "message": "there is a user ann already"}])
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.error(400, "field.range", "at most 49 days", fields=[
        {"path": "timeout", "message": "at most 49 days"}])
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = lambda h, r: h.error(409, "job.finished", "job 7 has finished")
    mock.routes[("GET", "/api/v1/agents")] = lambda h, r: h.error(401, "auth.expired", "this API token has expired")
    for words, rc, text in (
            (["user", "add", "ann", "--password-file", home / "short"], 2, "the password is empty. Type it at the terminal, pipe it, or name a file"),
            (["user", "add", "ann"], 2, "the password is empty. Type it"),
            (["host", ""], 2, "argument 1 of host is empty. Usage: muster host HOST"),
            (["rename", "web-1", ""], 2, "argument 2 of rename is empty. Usage: muster rename HOST NEW-NAME"),
            (["run", "web-1", "--user", "", "--", "true"], 2, "--user is empty; leave it out to take the agent's own"),
            (["run", "web-1", "--timeout", "999999h", "--", "true"], 2, "field.range: timeout: at most 49 days"),
            (["run", "web-1", "--timeout", "soon", "--", "true"], 2, "muster: --timeout must be a duration, such as"),
            (["cancel", "7"], 7, "job 7 has finished. How it ended: muster job ID"),
            (["hosts"], 5, "muster login gets another token; for a script: muster api-token create NAME"),
            (["logout"], 4, "context.none: you are not logged in. Log in with: muster login URL"),
            (["hosts", "--server", ""], 78, "an empty word is no server address"),
            (["hosts", "--server", "https://x", "--pin", "no"], 78, "64 hexadecimal digits. muster status shows it on the server"),
            (["hosts", "--server", "https://x", "--ca", home / "short"], 78, "--ca takes certificates in PEM")):
        r = cli(*words)
        assert r.returncode == rc and text in r.stderr and r.stderr.count("\n") == 1, (words, r)
    (home / "pw").write_text("long enough\n")
    r = cli("user", "add", "ann", "--password-file", home / "pw")
    assert r.returncode == 7 and "exists: there is a user ann already. Change that one with: muster user passwd" in r.stderr


def test_a_port_that_is_not_ours_is_told(mock, cli):
    mock.routes[("GET", "/api/v1/agents")] = lambda h, r: h.reply(400, b"")
    r = cli("hosts")
    assert r.returncode == 1 and "http.400" in r.stderr and "8122" in r.stderr


def test_an_empty_token_is_nobodys_wish_to_be_somebody_else(mock, cli, home):
    """An empty variable is unset, as everywhere; an empty flag or file is a script whose secret did not come."""
    mock.routes[("GET", "/api/v1/agents")] = {"agents": []}
    assert cli("hosts", env={"MUSTER_TOKEN": ""}).returncode == 0
    (home / "empty").write_text("")
    for args, env in ((["--token", ""], {}), ([], {"MUSTER_TOKEN_FILE": str(home / "empty")})):
        r = cli("hosts", *args, env=env)
        assert r.returncode == 78 and "token.empty" in r.stderr, r


def test_words_that_are_wrong_are_answered_with_those_there_are(cli):
    assert "did you mean --status? See muster hosts --help" in cli("hosts", "--sttus", "ready").stderr
    assert "there is no option -z; see muster hosts --help" in cli("hosts", "-z").stderr
    r = cli("hosts", "--status", "gone")
    assert r.returncode == 2 and "ready, busy, stale, disconnected" in r.stderr
    assert "did you mean: token create?" in cli("token", "crate").stderr
    r = cli("token", "nonsense")
    assert r.returncode == 2 and r.stderr == "muster: there is no verb token nonsense. All of them: muster help token\n"
    assert cli("user", "list", "x").stderr.endswith("Usage: muster user list\n")


@pytest.mark.parametrize("group,verbs", [("user", 6), ("token", 3), ("api-token", 3), ("context", 3)])
def test_help_knows_groups_of_verbs(cli, group, verbs):
    out = cli("help", group).stdout
    assert len(re.findall(rf"^  {group} \S+ +\w", out, re.M)) == verbs and f"Usage: muster {group} " in out
    assert cli(group, "--help").stdout == out
    assert cli("help", group, re.search(rf"^  {group} (\S+)", out, re.M).group(1)).returncode == 0


def test_a_group_alone_is_its_list_or_its_help(cli):
    r = cli("user")
    assert r.returncode == 2 and "user passwd" in r.stderr and r.stdout == ""


@pytest.mark.parametrize("args", [["no-such-verb"], ["host"], ["host", "a", "b"], ["run", "web-1", "uptime"], ["run", "--", "true"],
                                  ["run", "--all", "web-1", "--", "true"], ["hosts", "--no-such-flag"], ["label", "h", "novalue"], []])
def test_a_wrong_command_line_is_exit_2(cli, mock, args):
    r = cli(*args)
    assert r.returncode == 2 and r.stderr
    assert mock.requests == []


def test_a_broken_answer_is_exit_1_with_a_sentence(mock, cli):
    for body in (b"", b"<html>", b'{"agents":7}', b'{"agents":[7]}', b'{"agents":[{"name":7}]}', b"\xff\xfe"):
        mock.routes[("GET", "/api/v1/agents")] = lambda h, r, b=body: h.reply(200, b)
        r = cli("hosts")
        assert r.returncode == 1 and r.stderr.startswith("muster: ") and len(r.stderr.splitlines()) == 1, (body, r)


def test_the_admin_socket_is_found_in_var(home, cli, mock):
    (home / "var/server").mkdir(parents=True)
    u = UnixMock(home / "var/server/musterd.sock")
    u.routes[("GET", "/api/v1/agents")] = {"agents": [agent("local", 1)]}
    try:
        r = subprocess.run([MUSTER, "hosts", "-o", "name"], stdout=subprocess.PIPE, text=True, cwd=home, env=env_of(home), timeout=20)
        assert r.returncode == 0 and r.stdout == "local\n"
        assert cli("hosts", "-o", "name", server=f"unix:{u.path}").stdout == "local\n"
    finally:
        u.close()


# -- tokens never go astray

def test_a_token_goes_to_its_server_only_and_leaves_argv(mock, cli, home):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": []}
    cli("hosts", env={"MUSTER_TOKEN": "em_live_x"})
    assert mock.requests[-1]["headers"]["authorization"] == "Bearer em_live_x"
    cfg = home / ".config/muster/config.yaml"
    cfg.parent.mkdir(parents=True)
    cfg.write_text(f"current: a\ncontexts:\n  a:\n    server: {mock.url}\n    token: em_live_ctx\n")
    cfg.chmod(0o600)
    cli("hosts")
    assert mock.requests[-1]["headers"]["authorization"] == "Bearer em_live_ctx"
    other = Mock()
    other.routes[("GET", "/api/v1/agents")] = {"agents": []}
    cli("hosts", server=other.url)
    assert "authorization" not in other.requests[-1]["headers"]
    other.close()
    r = cli("hosts", "--server", "http://192.0.2.1:8122", "--token", "t")
    assert r.returncode == 78 and "clear text" in r.stderr
    cfg.chmod(0o644)
    r = cli("hosts")
    assert r.returncode == 78 and "chmod 600" in r.stderr


def test_https_without_pin_is_refused_before_connecting(cli):
    r = cli("hosts", server="https://127.0.0.1:1")
    assert r.returncode == 78 and "--pin" in r.stderr


def test_login_keeps_a_token_in_a_private_file_and_logout_revokes_it(mock, cli, home):
    mock.routes[("POST", "/api/v1/login")] = lambda h, r: h.reply(200, {"token": "em_live_secret", "token_id": 12, "user": "ann", "role": "admin",
                                                                       "expires_at": None})
    mock.routes[("GET", "/api/v1/status")] = {"fleet": "f1"}
    mock.routes[("DELETE", "/api/v1/api-tokens/12")] = {"id": 12, "revoked": True}
    mock.routes[("GET", "/api/v1/agents")] = {"agents": []}
    e = {k: v for k, v in env_of(home).items()}
    r = subprocess.run([MUSTER, "login", mock.url, "--user", "ann", "--name", "prod"], input="pa ss\n", stdout=subprocess.PIPE, text=True, env=e, timeout=20)
    assert r.returncode == 0 and "em_live" not in r.stdout
    assert json.loads(mock.of("POST", "/api/v1/login")[0]["body"])["password"] == "pa ss"
    cfg = home / ".config/muster/config.yaml"
    assert stat.S_IMODE(cfg.stat().st_mode) == 0o600 and "em_live_secret" in cfg.read_text() and "pa ss" not in cfg.read_text()
    assert stat.S_IMODE(cfg.parent.stat().st_mode) == 0o700
    run = lambda *a: subprocess.run([MUSTER, *a], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=e, timeout=20)
    assert run("hosts").returncode == 0 and mock.requests[-1]["headers"]["authorization"] == "Bearer em_live_secret"
    assert [c["name"] for c in json.loads(run("context", "list", "--json").stdout)["contexts"]] == ["prod"]
    assert "em_live" not in run("context", "list").stdout
    assert run("context", "use", "nope").returncode == 4
    assert run("logout").returncode == 0 and mock.of("DELETE", "/api/v1/api-tokens/12")
    assert "em_live_secret" not in cfg.read_text() and mock.url in cfg.read_text()
    assert run("context", "remove", "prod").returncode == 0 and run("--context", "prod", "hosts").returncode == 78


def test_a_refused_login_changes_nothing(mock, cli, home):
    mock.routes[("POST", "/api/v1/login")] = lambda h, r: h.error(401, "auth.bad_credential", "wrong user or password")
    r = cli("login", mock.url, "--user", "ann", input="x\n")
    assert r.returncode == 5 and not (home / ".config").exists()


def test_a_login_that_could_not_be_kept_is_not_made(mock, home):
    mock.routes[("POST", "/api/v1/login")] = lambda h, r: h.reply(200, {"token": "em_live_s", "token_id": 1, "user": "ann", "role": "admin"})
    theirs = home / "musterd.yaml"
    theirs.write_text("listen: 0.0.0.0:8120\n")
    r = subprocess.run([MUSTER, "login", mock.url, "--user", "ann"], input="pw\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       env={**env_of(home), "MUSTER_CONFIG": str(theirs)}, timeout=20)
    assert r.returncode == 78 and "is not muster's own file" in r.stderr and not mock.of("POST", "/api/v1/login"), r.stderr
    assert theirs.read_text() == "listen: 0.0.0.0:8120\n"


# -- TLS: the pin decides

FLEET = "f1"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A CA, its server's certificate, one of its hosts' (which must not pass for the server), and the CA's pin."""
    d = tmp_path_factory.mktemp("pki")
    now = datetime.datetime.utcnow()

    def issue(name, ca=None, eku=None, uri=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        c = (x509.CertificateBuilder().subject_name(subject).issuer_name(ca[1].subject if ca else subject).public_key(key.public_key())
             .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
             .not_valid_after(now + datetime.timedelta(days=20)).add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True))
        if eku:
            c = c.add_extension(x509.ExtendedKeyUsage([eku]), critical=False).add_extension(x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(uri), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        cert = c.sign(ca[0] if ca else key, hashes.SHA256())
        pem = cert.public_bytes(serialization.Encoding.PEM)
        (d / f"{name}.pem").write_bytes(pem + (ca[1].public_bytes(serialization.Encoding.PEM) if ca else b""))
        (d / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return key, cert
    ca = issue("ca")
    issue("server", ca, ExtendedKeyUsageOID.SERVER_AUTH, f"spiffe://{FLEET}/server")
    issue("host", ca, ExtendedKeyUsageOID.CLIENT_AUTH, f"spiffe://{FLEET}/host/x")
    issue("other", ca, ExtendedKeyUsageOID.SERVER_AUTH, "spiffe://f2/server")
    der = ca[0].public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return d, "sha256:" + hashlib.sha256(der).hexdigest()


@pytest.fixture
def tls(pki):
    made = []

    def make(name):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.minimum_version = ssl.TLSVersion.TLSv1_3
        ctx.load_cert_chain(pki[0] / f"{name}.pem", pki[0] / f"{name}.key")
        m = Mock(tls=ctx)
        made.append(m)
        m.routes[("POST", "/api/v1/login")] = lambda h, r: h.reply(200, {"token": "em_live_s", "token_id": 1, "user": "ann", "role": "admin"})
        m.routes[("GET", "/api/v1/status")] = {"fleet": FLEET}
        m.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1)]}
        return m
    yield make
    for m in made:
        m.close()


def test_login_over_tls_checks_the_pin_keeps_the_ca_and_the_fleet(tls, pki, home):
    m = tls("server")
    run = lambda *a, **kw: subprocess.run([MUSTER, *a], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env_of(home), timeout=20, **kw)
    url = m.url.replace("127.0.0.1", "localhost")  # the name does not matter, the key does
    r = run("login", url, "--pin", pki[1], "--user", "ann", "--name", "t", input="pw\n")
    assert r.returncode == 0, r.stderr
    text = (home / ".config/muster/config.yaml").read_text()
    assert pki[1] in text and "BEGIN CERTIFICATE" in text and f'fleet: "{FLEET}"' in text
    r = run("hosts", "-o", "name")
    assert r.returncode == 0 and r.stdout == "web-1\n", r.stderr
    other = tls("other")  # the right CA, another fleet's name
    r = run("--server", other.url, "hosts")
    assert r.returncode == 78  # no context knows this address: nothing vouches for it
    cfg = home / ".config/muster/config.yaml"
    cfg.write_text(text.replace(url, other.url))
    cfg.chmod(0o600)
    r = run("hosts")
    assert r.returncode == 5 and "tls." in r.stderr and other.requests == [], r


@pytest.mark.parametrize("who,pin", [("server", "sha256:" + "00" * 32), ("host", None)])
def test_a_wrong_server_never_hears_the_password(tls, pki, home, who, pin):
    m = tls(who)
    r = subprocess.run([MUSTER, "login", m.url, "--pin", pin or pki[1], "--user", "ann"], input="pw\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, env=env_of(home), timeout=20)
    assert r.returncode == 5 and r.stderr.startswith("muster: tls.") and m.requests == [], r
    assert not (home / ".config").exists()


def test_ca_file_checks_the_name(tls, pki, home):
    m = tls("server")
    run = lambda url: subprocess.run([MUSTER, "--ca", pki[0] / "ca.pem", "--server", url, "hosts", "-o", "name"], stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, env=env_of(home), timeout=20)
    assert run(m.url).stdout == "web-1\n"
    r = run(m.url.replace("127.0.0.1", "localhost"))
    assert r.returncode == 5 and "tls." in r.stderr


# -- enrolment, people

def test_token_create_prints_token_and_line_and_json_has_token(mock, cli):
    mock.routes[("POST", "/api/v1/tokens")] = lambda h, r: h.reply(201, {"id": 3, "token": "CODE@sha256:ab", "command": "muster-agent --token CODE",
                                                                        "expires_at": NOW})
    out = cli("token", "create", "--uses", "0", "--ttl", "2h", "--label", "role=web", "--auto-approve").stdout
    assert out.splitlines()[0] == "CODE@sha256:ab" and "muster-agent --token CODE" in out
    body = json.loads(mock.requests[-1]["body"])
    assert body == {"uses": 0, "ttl": 7200, "auto_approve": True, "labels": {"role": "web"}}
    assert json.loads(cli("token", "create", "--json").stdout)["token"] == "CODE@sha256:ab"
    assert cli("-o", "name", "token", "create").stdout == "CODE@sha256:ab\n"


def test_approve_goes_on_after_a_failure_and_says_partial(mock, cli):
    mock.routes[("POST", "/api/v1/agents/a/approve")] = agent("a", 1)
    mock.routes[("POST", "/api/v1/agents/x/approve")] = lambda h, r: h.error(404, "host.unknown", "no host named x")
    r = cli("approve", "x", "a")
    assert r.returncode == 3 and r.stdout == "a: approved\n" and "host.unknown" in r.stderr
    assert cli("approve", "x").returncode == 4
    assert cli("approve", "a").returncode == 0


def test_passwords_come_from_files_and_pipes_without_their_newline(mock, cli, home):
    mock.routes[("POST", "/api/v1/users")] = lambda h, r: h.reply(201, {"name": "bo", "role": "operator", "disabled": False, "created_at": NOW})
    f = home / "pw"
    f.write_text("secret\n")
    assert cli("user", "add", "bo", "--role", "operator", "--password-file", f).returncode == 0
    assert json.loads(mock.requests[-1]["body"]) == {"name": "bo", "role": "operator", "password": "secret"}
    assert cli("user", "add", "bo", input="piped\n").returncode == 0
    assert json.loads(mock.requests[-1]["body"])["password"] == "piped"
    assert cli("user", "add", "bo", input="\n").returncode == 2
    assert cli("user", "add", "bo", "--role", "king", input="x").returncode == 2


def test_labels_are_set_and_taken_off(mock, cli):
    mock.routes[("PATCH", "/api/v1/agents/web%201")] = agent("web 1", 1)
    assert cli("label", "web 1", "a=b=c", "old-", "e=").returncode == 0
    assert json.loads(mock.requests[-1]["body"]) == {"labels": {"a": "b=c", "old": None, "e": ""}}


# -- run

def test_one_host_is_raw_and_keeps_streams_and_code(mock, cli):
    data = bytes(range(256)) * 40
    follow_route(mock, *one_job(("output", output(1, "web-1", data)), ("output", output(1, "web-1", "err\n", stream="stderr")), code=42))
    r = cli("run", "web-1", "--", "x", text=False)
    assert (r.returncode, r.stdout, r.stderr) == (42, data, b"err\n")
    sent = mock.of("POST", "/api/v1/jobs")[0]
    assert "follow=true" in sent["query"] and sent["headers"]["idempotency-key"]
    assert json.loads(sent["body"]) == {"targets": {"hosts": ["web-1"]}, "argv": ["x"]}


@pytest.mark.parametrize("words,path", [(["run", "web-1", "--", "true"], "/api/v1/jobs"), (["cancel", "7"], "/api/v1/jobs/7/cancel")])
def test_a_server_that_holds_its_answer_back_is_asked_why_and_it_is_said_once(mock, home, words, path):
    go = threading.Event()

    def late(h, r):
        go.wait(60)
        h.error(503, "store.unavailable", "the outcome is not known")
    mock.routes[("POST", path)] = late
    mock.routes[("GET", "/readyz")] = lambda h, r: h.reply(503, {"status": "not_ready", "reason": "store.disk_full"})
    p = subprocess.Popen([MUSTER, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                         env=env_of(home, MUSTER_SERVER=mock.url))
    assert p.stderr.readline() == "muster: waiting for the server: its disk is full\n"
    go.set()
    out, err = p.communicate(timeout=30 * SLOW)
    assert p.returncode == 6 and "waiting" not in err and "store.unavailable" in err and not out
    assert len(mock.of("GET", "/readyz")) == 1 and "authorization" not in mock.of("GET", "/readyz")[0]["headers"]


def test_every_option_of_run_reaches_the_server(mock, cli):
    follow_route(mock, *one_job())
    cli("run", "-t", "role=web", "-l", "a=b", "--timeout", "90s", "--user", "bo", "--cwd", "/t", "--env", "A=1,2", "--env", "B=x y", "--max-parallel", "5",
        "--grace", "1500ms", "--deadline", "5m", "--output-cap", "1MiB", "--shell", "--", "echo", "$A")
    assert json.loads(mock.of("POST", "/api/v1/jobs")[0]["body"]) == {
        "targets": {"selector": "role=web,a=b"}, "shell": "echo $A", "user": "bo", "cwd": "/t", "env": {"A": "1,2", "B": "x y"}, "timeout": 90,
        "deadline": 300, "grace": 1.5, "max_parallel": 5, "output_cap": 1 << 20}


def test_words_after_dashes_are_never_options_of_ours(mock, cli):
    follow_route(mock, *one_job())
    cli("run", "web-1", "--", "ls", "--json", "--", "-l", "")
    assert json.loads(mock.of("POST", "/api/v1/jobs")[0]["body"])["argv"] == ["ls", "--json", "--", "-l", ""]


@pytest.mark.parametrize("kw,rc,word", [
    (dict(outcome="signaled", signal=9), 137, "SIGKILL"), (dict(outcome="timed_out"), 6, "timed out"), (dict(outcome="lost"), 1, "lost"),
    (dict(outcome="expired"), 6, "expired|unreachable"), (dict(outcome="refused", message="run is off here"), 1, "run is off here"),
    (dict(outcome="cancelled"), 1, "cancelled"), (dict(code=255), 255, "")])
def test_the_end_of_one_host_is_the_exit_code(mock, cli, kw, rc, word):
    follow_route(mock, *one_job(**kw))
    r = cli("run", "web-1", "--", "x")
    assert r.returncode == rc and re.search(word, r.stderr), r


def test_several_hosts_are_whole_prefixed_lines(mock, cli):
    follow_route(mock, ("job", job(2)), ("output", output(1, "web-1", "one\ntw")), ("output", output(2, "db-1", "eins\nlast without end")),
                 ("output", output(1, "web-1", "o\n", 6)), ("output", output(2, "db-1", "oops\n", stream="stderr")),
                 ("task", task(1, "web-1")), ("task", task(2, "db-1")), ("end", job(2, "succeeded")))
    r = cli("run", "--all", "--", "x")
    assert r.returncode == 0 and r.stderr == "db-1 | oops\n"
    assert sorted(r.stdout.splitlines()) == ["db-1 | eins", "db-1 | last without end", "web-1 | one", "web-1 | two"]


@pytest.mark.parametrize("codes,rc", [((0, 0), 0), ((0, 3), 3), ((1, 3), 1)])
def test_several_hosts_make_0_3_or_1(mock, cli, codes, rc):
    follow_route(mock, ("job", job(2)), ("task", task(1, "a", code=codes[0])), ("task", task(2, "b", code=codes[1])), ("end", job(2, "partial")))
    r = cli("run", "--all", "--", "x")
    assert r.returncode == rc
    assert ("hosts failed" in r.stderr) == (rc != 0) and ("exit 3" in r.stderr) == (rc != 0)


def test_tasks_the_stream_left_out_are_asked_for(mock, cli):
    follow_route(mock, ("job", job(2)), ("task", task(1, "a")), ("end", job(2, "partial")))
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "a"), task(2, "b", code=9)]}
    r = cli("run", "--all", "--", "x")
    assert r.returncode == 3 and "exit 9" in r.stderr


def test_a_broken_stream_is_resumed_without_gap_or_repeat(mock, cli):
    follow_route(mock, ("job", job(1)), ("output", output(1, "web-1", "hello wor")), Break)
    mock.routes[("GET", "/api/v1/jobs/7/output")] = lambda h, r: h.stream(200, one_job(
        ("output", output(1, "web-1", "hello ")), ("output", output(1, "web-1", "world\n", 6)), code=5))
    r = cli("run", "web-1", "--", "x")
    assert (r.returncode, r.stdout) == (5, "hello world\n") and "coming back" in r.stderr
    assert len(mock.of("POST", "/api/v1/jobs")) == 1


@pytest.mark.parametrize("status,code,rc", [(401, "auth.disabled", 5), (403, "auth.denied", 5), (404, "job.unknown", 4)])
def test_who_is_cut_off_from_a_job_is_told_that_it_goes_on(mock, cli, status, code, rc):
    follow_route(mock, ("job", job(1)), ("output", output(1, "web-1", "on\n")), Break)
    mock.routes[("GET", "/api/v1/jobs/7/output")] = lambda h, r: h.error(status, code, "no more")
    r = cli("run", "web-1", "--", "x")
    assert (r.returncode, r.stdout) == (rc, "on\n")
    told = [x for x in r.stderr.splitlines() if "job 7 goes on without us" in x]
    assert len(told) == (code != "job.unknown") and all("muster job 7 --follow" in x and "muster cancel 7" in x for x in told), r.stderr
    assert r.stderr.splitlines()[-1].startswith(f"muster: {code}: no more")


def test_a_post_that_broke_before_its_answer_is_sent_again_with_the_same_key(mock, cli):
    def first(h, r):
        if len(mock.of("POST", "/api/v1/jobs")) == 1:
            h.close_connection = True
        else:
            h.stream(201, one_job(("output", output(1, "web-1", "ok\n"))))
    mock.routes[("POST", "/api/v1/jobs")] = first
    r = cli("run", "web-1", "--", "x")
    assert r.returncode == 0 and r.stdout == "ok\n"
    assert len({p["headers"]["idempotency-key"] for p in mock.of("POST", "/api/v1/jobs")}) == 1


def test_a_gap_is_asked_for_again_and_then_told(mock, cli):
    follow_route(mock, ("job", job(1)), ("output", output(1, "web-1", "aa")), ("gap", {"task_id": 1, "stream": "stdout", "from": 2, "to": 4}),
                 mock.hold)
    mock.routes[("GET", "/api/v1/jobs/7/output")] = lambda h, r: h.stream(200, one_job(
        ("output", output(1, "web-1", "aabb")), ("gap", {"task_id": 1, "stream": "stdout", "from": 4, "to": 10}),
        *([] if len(mock.of("GET", "/api/v1/jobs/7/output")) == 1 else [("output", output(1, "web-1", "cc", 10))])))
    r = cli("run", "web-1", "--", "x")
    assert r.stdout == "aabbcc" and "6 bytes of standard output are missing" in r.stderr


def test_an_offline_host_is_given_up_cancelled_and_explained(mock, cli):
    done = []

    def cancel(h, r):
        done.append(1)
        h.reply(202, job(1))

    def stream(h, r):
        h.stream(201, [("job", job(1)), lambda: wait_for(lambda: done), ("task", task(1, "web-1", outcome="cancelled", started_at=None)),
                       ("end", job(1, "cancelled"))])
    mock.routes[("POST", "/api/v1/jobs")] = stream
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = cancel
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "web-1", state="queued")]}
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1, status="disconnected", connected_at=None)]}
    r = cli("run", "--wait", "200ms", "web-1", "--", "x")
    assert r.returncode == 6 and done and "--detach" in r.stderr and "host.offline" in r.stderr


def test_a_task_nobody_can_end_is_left_only_once_its_cancel_was_taken(mock, cli):
    calls, left = [], threading.Event()

    def cancel(h, r):
        calls.append(1)
        if len(calls) < 2:
            h.error(503, "store.unavailable", "the outcome is not known")
        else:
            h.reply(202, job(1))
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [("job", job(1)), lambda: left.wait(60)])
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = cancel
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "web-1", state="offered")]}
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1, status="disconnected", connected_at=None)]}
    r = cli("run", "--wait", "200ms", "web-1", "--", "x")
    left.set()
    assert r.returncode == 6 and len(calls) == 2, r
    assert r.stderr.count("could not cancel job 7") == 1 and "web-1 went away" in r.stderr and "muster job 7" in r.stderr


def test_one_that_is_back_with_the_command_after_it_was_given_up_is_waited_for(mock, cli):
    def cancel(h, r):
        mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "web-1", state="running")]}
        mock.routes[("GET", "/api/v1/agents")] = {"agents": []}
        looks.append(len(mock.of("GET", "/api/v1/jobs/7/tasks")))
        h.reply(202, job(1))
    looks = []
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [
        ("job", job(1)), lambda: wait_for(lambda: looks and len(mock.of("GET", "/api/v1/jobs/7/tasks")) >= looks[0] + 2),
        ("task", task(1, "web-1", exit_code=5)), ("end", job(1, "failed"))])
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = cancel
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "web-1", state="offered")]}
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1, status="disconnected", connected_at=None)]}
    r = cli("run", "--wait", "200ms", "web-1", "--", "x")
    assert r.returncode == 5, r


def test_cancel_leaves_the_grace_to_the_job_unless_told(mock, cli):
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = lambda h, r: h.reply(202, job(1))
    for more in ([], ["--grace", "3s"], ["--grace", "0s"]):
        assert cli("cancel", "7", *more).returncode == 0
    assert [json.loads(r["body"]) for r in mock.of("POST", "/api/v1/jobs/7/cancel")] == [{}, {"grace": 3}, {"grace": 0}]


def test_hosts_that_run_are_waited_for_before_the_rest_is_given_up(mock, cli):
    state = {"end": False, "cancel": False}

    def cancel(h, r):
        assert state["end"]
        state["cancel"] = True
        h.reply(202, job(2))

    def finish():
        wait_for(lambda: len(mock.of("GET", "/api/v1/agents")) >= 1)
        state["end"] = True
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [
        ("job", job(2)), ("task", task(1, "a", state="running")), finish, ("task", task(1, "a")), lambda: wait_for(lambda: state["cancel"]),
        ("task", task(2, "b", outcome="cancelled", started_at=None)), ("end", job(2, "partial"))])
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = cancel
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "a", state="running"), task(2, "b", state="queued")]}
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("b", 2, status="disconnected", connected_at=None)]}
    r = cli("run", "--wait", "100ms", "--all", "--", "x")
    assert r.returncode == 3 and "unreachable" in r.stderr and state["cancel"]


def test_detach_only_leaves_the_order(mock, cli):
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.reply(201, job(3))
    r = cli("run", "--all", "--detach", "--", "x")
    assert r.returncode == 0 and "job 7" in r.stdout and "muster job 7" in r.stdout
    assert "follow" not in mock.requests[-1]["query"]
    assert json.loads(cli("run", "--all", "--detach", "--json", "--", "x").stdout)["id"] == 7
    assert cli("run", "--all", "-d", "-o", "name", "--", "x").stdout == "7\n"


def test_small_input_goes_with_the_job(mock, cli):
    follow_route(mock, *one_job())
    cli("run", "web-1", "--stdin", "--", "cat", input="hi\n")
    body = json.loads(mock.of("POST", "/api/v1/jobs")[0]["body"])
    assert body["stdin"] == "aGkK" and "stdin_open" not in body


@pytest.mark.parametrize("as_file", [True, False])
def test_large_input_is_sent_in_order_and_a_lost_answer_harms_nothing(mock, cli, tmp_path, home, as_file):
    data = os.urandom(600_000)
    got, state = bytearray(), {"eof": False, "n": 0}

    def stdin(h, r):
        q = dict(x.split("=") for x in r["query"].split("&"))
        state["n"] += 1
        if int(q["offset"]) != len(got):
            return h.error(409, "job.input_offset", "not the next byte")
        if state["n"] == 3:
            return h.error(503, "server.overloaded", "later")
        got.extend(r["body"])
        state["eof"] |= q.get("eof") == "true"
        h.reply(200, {"accepted": len(r["body"])})
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [("job", job(1)), lambda: wait_for(lambda: state["eof"]), *one_job()[1:]])
    mock.routes[("POST", "/api/v1/jobs/7/stdin")] = stdin
    if as_file:
        f = tmp_path / "in"
        f.write_bytes(data)
        with f.open("rb") as fh:
            r = subprocess.run([MUSTER, "run", "web-1", "--stdin", "--", "cat"], stdin=fh, env=env_of(home, MUSTER_SERVER=mock.url), timeout=40)
    else:
        r = cli("run", "web-1", "--stdin", "--", "cat", input=data, text=False)
    assert r.returncode == 0 and bytes(got) == data and state["eof"]


def start(mock, home, *args, **kw):
    return subprocess.Popen([MUSTER, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=env_of(home, MUSTER_SERVER=mock.url), **kw)


def test_ctrl_c_cancels_and_waits_and_a_second_one_leaves(mock, home):
    cancelled = []
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = lambda h, r: (cancelled.append(1), h.reply(202, job(1)))
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [
        ("job", job(1)), ("output", output(1, "web-1", "on\n")), lambda: wait_for(lambda: cancelled),
        ("task", task(1, "web-1", outcome="cancelled")), ("end", job(1, "cancelled"))])
    p = start(mock, home, "run", "web-1", "--", "x")
    assert p.stdout.readline() == b"on\n"
    p.send_signal(signal.SIGINT)
    assert p.wait(20 * SLOW) == 130 and cancelled and b"Ctrl-C again" in p.stderr.read()
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [("job", job(1)), ("output", output(1, "web-1", "on\n")), mock.hold])
    p = start(mock, home, "run", "web-1", "--", "x")
    assert p.stdout.readline() == b"on\n"
    n = len(cancelled)
    p.send_signal(signal.SIGINT)
    assert wait_for(lambda: len(cancelled) > n)
    p.send_signal(signal.SIGINT)
    assert p.wait(5 * SLOW) == 130 and b"left while job 7 is being cancelled; how it ends: muster job 7" in p.stderr.read()


def test_a_reader_that_left_cancels_the_job(mock, home):
    cancelled = []
    mock.routes[("POST", "/api/v1/jobs/7/cancel")] = lambda h, r: (cancelled.append(1), h.reply(202, job(1)))
    mock.routes[("POST", "/api/v1/jobs")] = lambda h, r: h.stream(201, [
        ("job", job(1)), *[("output", output(1, "web-1", b"x" * 60000, i * 60000)) for i in range(100)], mock.hold])
    p = start(mock, home, "run", "web-1", "--", "yes")
    p.stdout.read(10)
    p.stdout.close()
    assert p.wait(20 * SLOW) == 141 and cancelled


def test_run_json_is_one_event_a_line(mock, cli):
    follow_route(mock, *one_job(("output", output(1, "web-1", "x")), code=2))
    r = cli("run", "web-1", "--json", "--", "x")
    assert r.returncode == 2 and [json.loads(x)["event"] for x in r.stdout.splitlines()] == ["job", "output", "task", "end"]


# -- on a terminal

def on_tty(mock, home, *args, timeout=20, until=None, then=None, columns=80):
    """Runs on a terminal of its own; calls then() once the text until was seen."""
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.execve(MUSTER, ["muster", *args], env_of(home, MUSTER_SERVER=mock.url, TERM="xterm"))
    out = b""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                b = os.read(fd, 65536)
            except OSError:
                break
            if not b:
                break
            out += b
            if until and until.encode() in out:
                then()
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode(errors="replace")


def test_a_terminal_gets_colours_a_bar_and_no_foreign_escapes(mock, home):
    bar = threading.Event()
    follow_route(mock, ("job", job(2)), lambda: bar.wait(10), ("output", output(1, "a", "plain\n\x1b[31mred\x1b[2Jx\n10%\r100%\n")),
                 ("task", task(1, "a")), ("task", task(2, "b", code=1)), ("end", job(2, "partial")))
    rc, out = on_tty(mock, home, "run", "--all", "--", "x", until="/2 done", then=bar.set)
    assert rc == 3 and "/2 done" in out and "\x1b[2J" not in out and "\\x1B[2J" in out and "\x1b[31mred" in out
    assert "10%" not in out.replace("100%", "") and re.search(r"\x1b\[3\dm(a)\x1b\[0m \| plain", out)
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1)]}
    assert "\x1b[32mready" in on_tty(mock, home, "hosts")[1]
    assert "\x1b" not in on_tty(mock, home, "hosts", "--no-color")[1]


@pytest.mark.parametrize("columns,bar_width", [(80, 24), (36, 20), (20, 0)])
def test_where_it_is_narrow_the_numbers_stay_and_the_bar_goes(mock, home, columns, bar_width):
    seen = threading.Event()
    follow_route(mock, ("job", job(2)), lambda: seen.wait(10), ("task", task(1, "a")), ("task", task(2, "b")), ("end", job(2, "succeeded")))
    rc, out = on_tty(mock, home, "run", "--all", "--", "x", until="0/2 done", then=seen.set, columns=columns)
    line = re.search(r"\r(?:\[(\.*)\] )?0/2 done.*?\x1b\[K", out)
    assert rc == 0 and line and len(line.group(1) or "") == bar_width and len(line.group(0)) - 4 < columns


# -- jobs, events, audit

def test_job_shows_its_hosts_logs_and_follow(mock, cli):
    mock.routes[("GET", "/api/v1/jobs/7")] = job(2, "partial", succeeded=1, failed=1)
    mock.routes[("GET", "/api/v1/jobs/7/tasks")] = {"tasks": [task(1, "a"), task(2, "b", code=3)]}
    out = cli("job", "7").stdout
    assert re.search(r"^done: +2/2", out, re.M) and "exit 3" in out and "HOST" in out
    both = json.loads(cli("job", "7", "--json").stdout)
    assert both["job"]["id"] == 7 and len(both["tasks"]) == 2
    mock.routes[("GET", "/api/v1/jobs/7/output")] = lambda h, r: h.stream(200, [
        ("job", job(2)), ("output", output(1, "a", "x\n")), ("output", output(2, "b", "y\n")), ("task", task(1, "a")), ("task", task(2, "b", code=3)),
        ("end", job(2, "partial"))])
    r = cli("job", "7", "--logs")
    assert r.returncode == 0 and sorted(r.stdout.splitlines()) == ["a | x", "b | y"]
    assert cli("job", "7", "--follow").returncode == 3
    assert cli("job", "seven").returncode == 2


def test_logs_of_a_job_that_still_runs_end_where_they_are(mock, cli):
    mock.routes[("GET", "/api/v1/jobs/7/output")] = lambda h, r: h.stream(200, [("job", job(1)), ("output", output(1, "a", "so far\n")),
                                                                                ("task", task(1, "a", state="running"))])
    r = cli("job", "7", "--logs")
    assert (r.returncode, r.stdout, r.stderr) == (0, "so far\n", "")


def event(i, **kw):
    return {"id": i, "timestamp": NOW, "event_type": "host.online", "agent_id": "", "vm_name": f"h{i}", "details": {"k": "v"}, **kw}


def test_events_are_oldest_first_and_follow_resumes_after_a_break(mock, home, cli):
    mock.routes[("GET", "/api/v1/events")] = lambda h, r: (
        h.reply(200, {"events": [event(3), event(2)], "total_count": 2, "last_event_id": 3}) if "follow" not in r["query"] else
        h.stream(200, [(None, event(4)), Break]) if not any("after=4" in x["query"] for x in mock.requests) else
        h.stream(200, [(None, event(5)), (None, event(1)), mock.hold]))  # the last: a server that was restored counts on from before
    assert [re.search(r"h\d", x).group() for x in cli("events").stdout.splitlines()] == ["h2", "h3"]
    assert json.loads(cli("events", "--json").stdout)["last_event_id"] == 3
    p = start(mock, home, "events", "--follow")
    got = [p.stdout.readline().decode() for _ in range(5)]
    p.send_signal(signal.SIGINT)
    assert p.wait(10) == 0 and [re.search(r"h\d", x).group() for x in got] == ["h2", "h3", "h4", "h5", "h1"]


def test_audit_verify_tells_by_exit_code(mock, cli):
    mock.routes[("GET", "/api/v1/audit/verify")] = {"ok": True, "rows": 4, "first_id": 1, "last_id": 4, "last_hash": "ab"}
    r = cli("audit", "--verify")
    assert r.returncode == 0 and "4 rows" in r.stdout
    mock.routes[("GET", "/api/v1/audit/verify")] = {"ok": False, "rows": 4, "first_id": 1, "last_id": 4, "last_hash": "ab",
                                                    "broken": {"id": 2, "reason": "it was changed"}}
    r = cli("audit", "--verify")
    assert r.returncode == 1 and "row 2" in r.stderr and cli("audit", "--verify", "--json").returncode == 1


def test_inventory_rows_and_history_are_tables(mock, cli):
    mock.routes[("GET", "/api/v1/agents/a/inventory/services")] = {
        "section": "services", "status": "ok", "rows": [{"key": "ssh", "name": "ssh", "active": True}, {"key": "cron", "name": "cron", "ports": [1, 2]}]}
    out = cli("inventory", "a", "services").stdout.splitlines()
    assert out[0].split() == ["KEY", "NAME", "ACTIVE", "PORTS"] and out[1].split() == ["ssh", "ssh", "yes", "-"] and out[2].split()[-1] == "1,2"
    mock.routes[("GET", "/api/v1/agents/a/history")] = {"changes": [
        {"id": 2, "at": NOW, "section": "packages", "key": "vim", "before": None, "after": {"version": "9"}},
        {"id": 1, "at": NOW, "section": "packages", "key": "nano", "before": {"version": "7"}, "after": None}]}
    out = cli("inventory", "a", "--history").stdout
    assert "now, this is the value since then" in " ".join(cli("help", "inventory").stdout.split())
    assert re.search(r"vim +now", out) and re.search(r"nano +removed", out)


# -- texts

def test_help_man_and_completion_know_every_verb(cli, home):
    verbs = re.findall(r"^  (\S+(?: \S+)?)  ", cli("help").stdout, re.M)
    assert {"run", "token create", "api-token revoke", "backup"} <= set(verbs)
    man = cli("--man").stdout
    for v in verbs:
        r = cli("help", *v.split())
        assert r.returncode == 0 and f"muster {v}" in r.stdout, v
        assert cli(*v.split(), "--help").stdout == r.stdout
        assert f".SS muster {v}".replace("-", "\\-") in man
    r = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-"], input=man, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True) if pathlib.Path("/usr/bin/man").exists() else None
    assert r is None or r.stderr == ""
    for shell in ("bash", "zsh", "fish"):
        text = cli("completion", shell).stdout
        assert "api-token" in text and "max-parallel" in text
        if pathlib.Path(f"/bin/{shell}").exists():
            assert subprocess.run([shell, "-n"], input=text, text=True).returncode == 0


def complete(home, mock, line):
    words = [w for x in line.split(" ") for w in re.findall("[:=]+|[^:=]+", x) or [""]]  # as readline does
    script = f"""source <({MUSTER} completion bash)
PATH={BUILD}:$PATH
COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=(); _muster; printf '%s\\n' "${{COMPREPLY[@]}}" """
    r = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, env=env_of(home, MUSTER_SERVER=mock.url), timeout=20)
    return r.stdout.split()


def test_bash_completes_verbs_flags_and_host_names(mock, home):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("db-1", 2)]}
    assert complete(home, mock, "muster ho") == ["hosts", "host"]
    assert complete(home, mock, "muster --server http://127.0.0.1:8122 ho") == complete(home, mock, "muster --server=unix:/x ho") == ["hosts", "host"]
    assert complete(home, mock, "muster token ") == ["create", "list", "revoke"]
    assert complete(home, mock, "muster host w") == ["web-1"]
    assert "--max-parallel" in complete(home, mock, "muster run web-1 --ma")
    assert complete(home, mock, "muster run web-1 -- l") == []
    assert complete(home, mock, "muster hosts --status ") == ["any", "ready", "busy", "stale", "disconnected"]
    assert complete(home, mock, "muster -o w") == ["wide"] and complete(home, mock, "muster user add ann -r a") == ["admin"]
    assert complete(home, mock, "muster completion ") == ["bash", "zsh", "fish"] and complete(home, mock, "muster help to") == ["token"]
    assert complete(home, mock, f"muster --ca {home}/x") == [] and complete(home, mock, "muster run --timeout w") == []
    (home / "xy.pem").write_text("")
    assert complete(home, mock, f"muster --ca {home}/x") == complete(home, mock, f"muster backup {home}/x") == [f"{home}/xy.pem"]


def in_shell(home, mock):
    """An environment where muster is in the path, and a file is there to complete."""
    (home / "bin").mkdir()
    (home / "bin/muster").symlink_to(MUSTER)
    (home / "xy.pem").write_text("")
    return env_of(home, MUSTER_SERVER=mock.url, PATH=f"{home}/bin:{os.environ['PATH']}")


@pytest.mark.skipif(not pathlib.Path("/usr/bin/zsh").exists(), reason="zsh is not installed")
def test_zsh_completes_from_its_first_tab_on(mock, home, cli):
    """Found in fpath, as installed: the shell's first Tab loads the file and wants the words at once."""
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("db-1", 2)]}
    env = in_shell(home, mock)
    (home / "_muster").write_text(cli("completion", "zsh").stdout)
    script = """fpath=($HOME $fpath); autoload -U _muster
        compadd() { shift; local x; for x; do [[ $x = $words[CURRENT]* ]] && print -r -- $x; done; true }
        _files() { print FILES }; compdef() { print COMPDEF }
        words=("${(@s: :)1}"); CURRENT=$#words; _muster"""

    def comp(line):
        return subprocess.run(["zsh", "-f", "-c", script, "zsh", line], stdout=subprocess.PIPE, text=True, env=env, timeout=30).stdout.split()
    assert comp("muster ho") == comp("muster --server x ho") == ["hosts", "host"]
    assert comp("muster token ") == ["create", "list", "revoke"] and comp("muster host w") == ["web-1"]
    assert comp("muster hosts --status re") == ["ready"] and comp("muster run web-1 --max-p") == ["--max-parallel"]
    assert comp("muster --ca x") == comp("muster backup x") == comp("muster run web-1 -- l") == ["FILES"] and comp("muster run --timeout w") == []
    r = subprocess.run(["zsh", "-f", "-c", "compdef() { print $* }; source <(muster completion zsh)"], stdout=subprocess.PIPE, text=True, env=env, timeout=30)
    assert r.stdout == "_muster muster\n"


@pytest.mark.skipif(not pathlib.Path("/usr/bin/fish").exists(), reason="fish is not installed")
def test_fish_completes_verbs_options_and_host_names(mock, home):
    mock.routes[("GET", "/api/v1/agents")] = {"agents": [agent("web-1", 1), agent("token", 2)]}
    env = in_shell(home, mock)

    def comp(line):
        r = subprocess.run(["fish", "-N", "-c", "muster completion fish | source; complete -C $argv[1]", line], stdout=subprocess.PIPE, text=True, env=env,
                           timeout=30)
        return [x.split("\t")[0] for x in r.stdout.splitlines()]
    assert comp("muster ho") == ["host", "hosts"] and comp("muster --server x ho") == ["host", "hosts"]
    assert comp("muster token ") == ["create", "list", "revoke"] and comp("muster host token ") == comp("muster host ") == ["token", "web-1"]
    assert comp("muster hosts --status re") == ["ready"] and comp("muster run web-1 --max-p") == ["--max-parallel"]
    assert comp("muster jobs --max-p") == [] and comp("muster context use ") == []
    assert comp(f"muster --ca {home}/x") == comp(f"muster run web-1 -- cat {home}/x") == [f"{home}/xy.pem"]


# -- a real server, where it is built

real = pytest.mark.skipif(not (BUILD / "musterd").exists(), reason="musterd is not built")


@real
def test_a_server_killed_under_a_run_costs_no_byte_and_no_code(pair, tmp):
    s, a = pair
    out = tmp / "out"
    go = tmp / "go"
    script = f"for i in $(seq 200); do echo line $i; done; while [ ! -e {go} ]; do sleep 0.05; done; for i in $(seq 200); do echo more $i; done; exit 7"
    with out.open("wb") as f:
        p = subprocess.Popen([MUSTER, "run", a.host["name"], "--", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.PIPE,
                             env=env_of(s.dir, MUSTER_SERVER=f"unix:{s.sock}"))
        until(lambda: out.read_text().endswith("line 200\n"), what="the first half")
        s.kill9()
        s.start()
        a.wait_ready()
        go.touch()
        assert p.wait(60 * SLOW) == 7
    assert out.read_text() == "".join(f"line {i}\n" for i in range(1, 201)) + "".join(f"more {i}\n" for i in range(1, 201))
    assert b"coming back" in p.stderr.read()


@real
def test_login_by_the_pin_status_shows_works_and_logout_ends_it(pair):
    s, a = pair
    pin = json.loads(s.cli("status", "--json", check=0).stdout)["pin"]
    s.cli("user", "add", "ann", "--role", "viewer", input="a long password\n", check=0)
    url = s.url.replace("http:", "https:")
    plain = {"MUSTER_SERVER": ""}
    s.cli("login", url, "--pin", pin, "--user", "ann", "--name", "t", input="a long password\n", env=plain, check=0)
    assert s.cli("hosts", "-o", "name", env=plain, check=0).stdout.split() == [a.host["name"]]
    r = s.cli("run", a.host["name"], "--", "true", env=plain)
    assert r.returncode == 5 and "auth.denied" in r.stderr
    token = re.search(r'token: "(\S+)"', (s.dir / ".config/muster/config.yaml").read_text()).group(1)
    s.cli("logout", env=plain, check=0)
    r = s.cli("--server", url, "--pin", pin, "hosts", env={**plain, "MUSTER_TOKEN": token})
    assert r.returncode == 5, r
    assert s.cli("login", url, "--pin", "sha256:" + "0" * 64, "--user", "ann", input="x\n", env=plain).returncode == 5


@real
def test_a_name_of_the_certificate_validates_with_the_ca_that_is_handed_out(fleet, tmp):
    s = fleet.server(args=["--tls-name", "fleet.test", "--tls-name", "127.0.0.9", "--http-listen", "127.0.0.1:0"])
    listens = re.search(r"^listens +(.*)$", s.cli("status", check=0).stdout, re.M).group(1)
    assert listens.startswith(f"grpc 127.0.0.1:{s.base}, ") and re.search(r", http 127\.0\.0\.1:[1-9]\d*, http 127\.0\.0\.1:[1-9]\d*$", listens)
    out, pin = s.cli("ca", check=0).stdout, s.cli("ca", "-o", "name", check=0).stdout.strip()
    assert out.splitlines()[0].endswith(pin) and s.cli("--json", "status", check=0).stdout.count(pin) == 1
    ca = tmp / "ca.pem"
    ca.write_text(out)

    def curl(name):
        return subprocess.run(["curl", "-s", "--noproxy", "*", "--cacert", ca, "--resolve", f"{name}:{s.base + 2}:127.0.0.1", f"https://{name}:{s.base + 2}/healthz"],
                              capture_output=True, text=True, timeout=20)
    assert curl("fleet.test").stdout == "ok" and curl("localhost").stdout == "ok"
    assert curl("other.test").returncode == 60
    r = s.cli("--server", f"https://127.0.0.1:{s.base + 2}", "--ca", ca, "hosts", env={"MUSTER_TOKEN": s.cli("api-token", "create", "x", check=0).stdout.strip()})
    assert r.returncode == 0, r
    other = tmp / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-out", other, "-subj", "/CN=x"],
                   check=True, capture_output=True)
    r = s.cli("--server", f"https://127.0.0.1:{s.base + 2}", "--ca", other, "hosts")
    assert r.returncode == 5 and "tls.untrusted" in r.stderr and "--pin" in r.stderr and "--ca FILE" in r.stderr


@real
def test_a_backup_needs_a_new_file_and_says_so(pair, tmp):
    s, _ = pair
    f = tmp / "copy"
    assert s.cli("backup", f, check=0).stdout == f"{f}\n" and f.stat().st_size > 0
    r = s.cli("backup", f)
    assert r.returncode == 1 and "exists" in r.stderr
    assert s.cli("--server", s.url, "backup", tmp / "other").returncode == 2
