"""Wire cases without code: tests/wire/<surface>/<case>.txt against a real server.

A case is exchanges, one after another:

    # a comment; the first one says what is promised
    @ fresh                     a server of its own (else one is shared); `@ args --flag ...` likewise
    @ host web-1 pending        a host that has asked (approved: and was let in; linked: and lives, answering every command)
    @ as none|unix|$token       who speaks from here on: nobody (the default), root over the local socket, a bearer token
    > POST /api/v1/tokens       a request; `> Name: value` adds a header; then the body, as it is
    {"uses": 1}
    < 201                       the status; `< Name: regex` checks a header, `< !Name` that there is none
    {"id": "@id"}               a subset of the JSON answer; or `~ regex` / `= text` for other bodies

In expected JSON "*" is anything, "@x" stores the value as $x, "~re" matches text, null is null; a list must match in order and
length, [..., "..."] may go on. A named group of a regex, (?P<x>...), is stored as $x too. `$x` in requests and expectations is what was stored; `{{pad:N}}` is N letters x, `{{nul}}` a NUL,
`{{many:N:text}}` the text N times;
`@ times N` sends the next request N times and looks at the last answer; `@ until N` sends it until the status is the wanted one, at
most N times (a bucket refills while a slow machine empties it)."""
import http.client
import io
import json
import pathlib
import queue
import re
import socket
import threading

import pytest
from conftest import ROOT
from test_grpc import Link, Peer, hello, pb  # noqa: F401

CASES = sorted((ROOT / "tests/wire").rglob("*.txt"))


class Host:
    """A host as somebody else's agent: enrols, and when linked answers every command with `hi` and exit code 0."""

    def __init__(self, s, pb, name, how):
        self.pb, self.how = pb, how
        self.peer = Peer(s, pb)
        token = s.token().split("@")[0] if how != "pending" else ""
        with self.peer.channel() as ch:
            call = ch.unary_unary("/muster.v1.Fleet/Enroll", pb.EnrollRequest.SerializeToString, pb.EnrollReply.FromString)
            r = call(pb.EnrollRequest(csr_pem=self.peer.csr, token=token, agent_version="1.0",
                                      claims=pb.HostClaims(hostname=name, os="Wire OS", kernel="6.1", arch="x86_64",
                                                           addresses=["192.0.2.7"], labels={"rack": "r1"})), timeout=20)
        self.id = r.host_id
        self.peer.cert = r.certificate_pem.encode() or None
        self.link = None
        if how == "linked":
            self.link = Link(self.peer)
            self.link.send(hello(pb))
            self.link.next("welcome")
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        pb = self.pb
        while True:
            try:
                m = self.link.inbox.get(timeout=60)
            except queue.Empty:
                return
            if m is None:
                return
            if m.WhichOneof("body") == "offer":
                t = m.offer.task_id
                self.link.send(pb.AgentMessage(task_output=pb.TaskOutput(task_id=t, stream=1, offset=0, data=b"hi\n")))
                self.link.send(pb.AgentMessage(task_finished=pb.TaskFinished(task_id=t, outcome=pb.TASK_OUTCOME_EXITED, stdout_bytes=3)))

    def close(self):
        if self.link:
            self.link.close()


class Case:
    def __init__(self, path, make_server, pb):
        self.path, self.make_server, self.pb = path, make_server, pb
        self.vars, self.who, self.hosts, self.times, self.is_until = {}, "none", [], 1, False
        self.server = None

    # -- text
    def fill(self, text):
        text = re.sub(r"\{\{pad:(\d+)\}\}", lambda m: "x" * int(m[1]), text).replace("{{nul}}", "\0")
        text = re.sub(r"\{\{many:(\d+):([^}]*)\}\}", lambda m: m[2] * int(m[1]), text)
        return re.sub(r"\$(\w+)", lambda m: str(self.vars[m[1]]) if m[1] in self.vars else m[0], text)

    def fail(self, line, why):
        raise AssertionError(f"{self.path.name}:{line}: {why}")

    # -- running
    def run(self):
        lines = self.path.read_text().split("\n")
        head = [x for x in lines if x.startswith("@ fresh") or x.startswith("@ args")]
        self.server = self.make_server(bool(head), [w for x in head if x.startswith("@ args") for w in x.split()[2:]])
        i = 0
        try:
            while i < len(lines):
                line = lines[i]
                if line.startswith("@ "):
                    self.directive(line.split()[1:])
                    i += 1
                elif line.startswith("> "):
                    i = self.exchange(lines, i)
                elif line.strip() == "" or line.startswith("#"):
                    i += 1
                else:
                    self.fail(i + 1, f"not understood: {line!r}")
        finally:
            for h in self.hosts:
                h.close()

    def directive(self, w):
        if w[0] == "as":
            self.who = self.fill(w[1])
        elif w[0] in ("times", "until"):
            self.times, self.is_until = int(w[1]), w[0] == "until"
        elif w[0] == "host":
            h = Host(self.server, self.pb, w[1], w[2])
            self.hosts.append(h)
            self.vars[w[1].replace("-", "_")] = h.id
        elif w[0] not in ("fresh", "args"):
            raise AssertionError(f"{self.path.name}: @ {w[0]}")

    def exchange(self, lines, i):
        start, headers, body, want_headers, want = i + 1, [], [], [], []
        request = self.fill(lines[i][2:])
        i += 1
        while i < len(lines) and lines[i].startswith("> "):
            headers.append(self.fill(lines[i][2:]))
            i += 1
        while i < len(lines) and not lines[i].startswith("< "):
            if not lines[i].startswith("#"):
                body.append(lines[i])
            i += 1
        if i == len(lines):
            self.fail(start, "an exchange without an answer")
        status = int(lines[i][2:].split()[0])
        i += 1
        while i < len(lines) and lines[i].startswith("< "):
            want_headers.append(lines[i][2:])
            i += 1
        while i < len(lines) and not lines[i].startswith(("> ", "@ ", "#")):
            want.append(lines[i])
            i += 1
        for _ in range(self.times):
            got = self.send(request, headers, self.fill("\n".join(body).strip("\n")))
            if self.is_until and got.status == status:
                break
        self.times, self.is_until = 1, False
        if got.status != status:
            self.fail(start, f"{request[:100]}: wanted {status}, got {got.status} {got.body[:400]!r}")
        for h in want_headers:
            self.check_header(start, h, got)
        text = "\n".join(want).strip()
        if text:
            self.check_body(start, text, got)
        return i

    def send(self, request, headers, body):
        method, _, target = request.partition(" ")
        raw = body.encode()
        head = [f"{method} {target} HTTP/1.1", "Connection: close"]
        if not any(h.lower().startswith("host:") for h in headers):
            head.append(f"Host: 127.0.0.1:{self.server.base + 2}")
        if self.who not in ("none", "unix"):
            head.append(f"Authorization: Bearer {self.who}")
        if raw and not any(h.lower().startswith(("content-length:", "transfer-encoding:")) for h in headers):
            head.append(f"Content-Length: {len(raw)}")
        if self.who == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(20)
            sock.connect(str(self.server.sock))
        else:
            sock = socket.create_connection(("127.0.0.1", self.server.base + 2), timeout=20)
        with sock:
            try:
                sock.sendall("\r\n".join(head + headers).encode() + b"\r\n\r\n" + raw)
            except OSError:
                pass  # refused while we still send: the answer says why
            got = b""
            try:
                while chunk := sock.recv(65536):
                    got += chunk
            except ConnectionResetError:
                pass
        class Reply(io.BytesIO):
            def makefile(self, *_):
                return self
        r = http.client.HTTPResponse(Reply(got), method=method)
        r.begin()
        r.body = r.read()
        return r

    # -- looking
    def check_header(self, line, h, got):
        if h.startswith("!"):
            if got.getheader(h[1:]) is not None:
                self.fail(line, f"header {h[1:]} is there")
            return
        name, _, pattern = h.partition(":")
        value = got.getheader(name)
        m = value is not None and re.search(self.fill(pattern.strip()), value)
        if not m:
            self.fail(line, f"header {name}: wanted {pattern.strip()!r}, got {value!r}")
        self.vars.update(m.groupdict())

    def check_body(self, line, text, got):
        body = got.body.decode(errors="replace")
        if text.startswith("~ "):
            m = re.search(self.fill(text[2:]), body, re.S)
            if not m:
                self.fail(line, f"wanted /{text[2:]}/, got {body[:600]!r}")
            self.vars.update(m.groupdict())
        elif text.startswith("="):
            if body != self.fill(text[1:].lstrip(" ")):
                self.fail(line, f"wanted {text[2:]!r}, got {body[:600]!r}")
        else:
            self.subset(line, "", json.loads(self.fill(text)), json.loads(body))

    def subset(self, line, path, want, got):
        if isinstance(want, str) and want.startswith("@"):
            self.vars[want[1:]] = got
        elif want == "*":
            return
        elif isinstance(want, str) and want.startswith("~"):
            if not isinstance(got, str) or not re.search(want[1:], got):
                self.fail(line, f"{path}: wanted /{want[1:]}/, got {got!r}")
        elif isinstance(want, dict):
            if not isinstance(got, dict):
                self.fail(line, f"{path}: wanted an object, got {got!r}")
            for k, v in want.items():
                if k not in got:
                    self.fail(line, f"{path}.{k} is missing in {str(got)[:300]}")
                self.subset(line, f"{path}.{k}", v, got[k])
        elif isinstance(want, list):
            open_end = want[-1:] == ["..."]
            want = want[:-1] if open_end else want
            if not isinstance(got, list) or len(got) < len(want) or (len(got) > len(want) and not open_end):
                self.fail(line, f"{path}: wanted a list of {len(want)}, got {str(got)[:300]}")
            for n, v in enumerate(want):
                self.subset(line, f"{path}[{n}]", v, got[n])
        elif want != got or isinstance(want, bool) != isinstance(got, bool):
            self.fail(line, f"{path}: wanted {want!r}, got {got!r}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from conftest import Server
    s = Server(tmp_path_factory.mktemp("wire")).start()
    yield s
    s.stop()


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_wire(path, shared, fleet, pb):  # noqa: F811
    def make_server(fresh, args):
        return fleet.server(args=args) if fresh else shared
    Case(pathlib.Path(path), make_server, pb).run()
