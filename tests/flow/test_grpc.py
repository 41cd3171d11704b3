"""An independent client: Python's grpcio plays an agent against the native service."""
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import BUILD, ROOT, Proc, job_done, tasks_of, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture(scope="module")
def pb(tmp_path_factory):
    d = tmp_path_factory.mktemp("pb")
    subprocess.run(["protoc", f"--proto_path={ROOT}/proto/muster/v1", f"--python_out={d}", "muster.proto"], check=True)
    sys.path.insert(0, str(d))
    import muster_pb2
    return muster_pb2


def server_chain(s):
    out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{s.base}", "-showcerts", "-alpn", "h2"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace").stdout
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", out, re.S)


class Peer:
    def __init__(self, s, pb):
        self.s, self.pb = s, pb
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.key_pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.csr = (x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "py")]))
                    .sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode())
        self.ca = server_chain(s)[-1].encode()
        self.cert = None

    def channel(self):
        cred = grpc.ssl_channel_credentials(self.ca, self.key_pem if self.cert else None, self.cert)
        return grpc.secure_channel(f"localhost:{self.s.base}", cred)

    def enroll(self, token=""):
        pb = self.pb
        with self.channel() as ch:
            call = ch.unary_unary("/muster.v1.Fleet/Enroll", pb.EnrollRequest.SerializeToString, pb.EnrollReply.FromString)
            r = call(pb.EnrollRequest(csr_pem=self.csr, token=token, claims=pb.HostClaims(hostname="py-host", os="Python")), timeout=20)
        if r.certificate_pem:
            self.cert = r.certificate_pem.encode()
            self.id = r.host_id
        return r


class Link:
    """A live stream with a queue each way."""

    def __init__(self, peer):
        import queue
        import threading
        pb = peer.pb
        self.out, self.inbox, self.error = queue.Queue(), queue.Queue(), None
        self.ch = peer.channel()
        call = self.ch.stream_stream("/muster.v1.Fleet/Link", pb.AgentMessage.SerializeToString, pb.ServerMessage.FromString)
        self.stream = call(iter(self.out.get, None))

        def reader():
            try:
                for m in self.stream:
                    self.inbox.put(m)
            except grpc.RpcError as e:
                self.error = e
            self.inbox.put(None)
        self.t = threading.Thread(target=reader, daemon=True)
        self.t.start()

    def send(self, m):
        self.out.put(m)

    def next(self, kind, timeout=20):
        while True:
            m = self.inbox.get(timeout=timeout)
            assert m is not None, f"stream ended while waiting for {kind}: {self.error}"
            if m.WhichOneof("body") == kind:
                return getattr(m, kind)

    def close(self):
        self.out.put(None)
        self.ch.close()


def hello(pb, **kw):
    return pb.AgentMessage(hello=pb.Hello(protocol=1, agent_version="py", spool_epoch=7, commands_allowed=True,
                                          claims=pb.HostClaims(hostname="py-host"), **kw))


def test_an_independent_agent_enrols_links_and_runs_a_task(fleet, pb):
    s = fleet.server()
    p = Peer(s, pb)
    r = p.enroll(s.token().split("@")[0])
    assert r.state == pb.ENROLL_STATE_APPROVED and r.fleet
    link = Link(p)
    link.send(hello(pb))
    w = link.next("welcome")
    assert w.host_id == p.id and w.config.heartbeat_ms > 0
    link.send(pb.AgentMessage(heartbeat=pb.Heartbeat(load1=1.5, memory_total_bytes=100, uptime_seconds=5)))
    until(lambda: s.get(f"/api/v1/agents/{p.id}")["metrics"]["uptime_seconds"] == 5, what="the heartbeat")
    link.send(pb.AgentMessage(heartbeat=pb.Heartbeat(load1=float("nan"), load5=float("inf"), memory_total_bytes=2**64 - 1)))
    until(lambda: s.get(f"/api/v1/agents/{p.id}")["metrics"] is None, what="the numbers of no machine to be dropped")
    j = s.api("POST", "/api/v1/jobs", {"targets": {"hosts": [p.id]}, "argv": ["ignored"]}, expect=201).json()["id"]
    offer = link.next("offer")
    tid = offer.task_id
    link.send(pb.AgentMessage(task_output=pb.TaskOutput(task_id=tid, stream=1, offset=0, data=b"from python\n")))
    link.send(pb.AgentMessage(task_finished=pb.TaskFinished(task_id=tid, outcome=pb.TASK_OUTCOME_EXITED, exit_code=9, stdout_bytes=12)))
    while not link.next("task_ack").finished:
        pass
    assert job_done(s, j)["state"] == "failed" and tasks_of(s, j)[0]["exit_code"] == 9
    assert s.cli("job", j, "--logs").stdout.endswith("from python\n")
    link.close()


def test_a_host_that_goes_away_with_the_command_holds_nobody(fleet, pb):
    s = fleet.server()
    p = Peer(s, pb)
    p.enroll(s.token().split("@")[0])
    with ThreadPoolExecutor() as pool:
        link = Link(p)
        link.send(hello(pb))
        link.next("welcome")
        run = pool.submit(s.cli, "run", p.id, "--wait", "1s", "--", "true")
        link.next("offer")
        link.close()  # whether the command began is known to nobody here
        r = run.result()
        job = s.get("/api/v1/jobs")["jobs"][0]
        assert r.returncode == 6 and r.stdout == "" and f"muster job {job['id']}" in r.stderr, r
        assert job["state"] == "cancelling" or not job["finished_at"], job

        link = Link(p)
        link.send(hello(pb))
        link.next("welcome")
        run = Proc([BUILD / "muster", "run", p.id, "--wait", "1s", "--", "true"], s.dir / "run.log", {"MUSTER_SERVER": f"unix:{s.sock}"})
        offered = until(lambda: (t := link.next("offer").task_id) != job["id"] and t, what="the new task")
        link.send(pb.AgentMessage(task_output=pb.TaskOutput(task_id=offered, stream=1, offset=0, data=b"begun\n")))
        until(lambda: "begun\n" in run.log, what="output")
        link.close()
        until(lambda: "not connected any more" in run.log, what="the word that it went away")
        link = Link(p)
        link.send(hello(pb))
        link.next("welcome")
        assert run.wait() == 1 and "lost" in run.log, run.log  # it named no task in its hello
        # One that is back with the command before we left is waited for.
        run = pool.submit(s.cli, "run", p.id, "--wait", "1s", "--", "true")
        task = until(lambda: (t := link.next("offer").task_id) != offered and t, what="the third task")
        link.close()
        until(lambda: len(s.get("/api/v1/events?event_type=job.cancel_requested")["events"]) == 2, what="that it gives up")
        link = Link(p)
        again = hello(pb)
        again.hello.tasks.add().task_id = task
        link.send(again)
        link.next("welcome")
        link.send(pb.AgentMessage(task_started=pb.TaskStarted(task_id=task)))
        assert link.next("cancel").task_id == task
        until(lambda: tasks_of(s, 3)[0]["state"] == "running", what="the task to run")
        link.send(pb.AgentMessage(task_finished=pb.TaskFinished(task_id=task, outcome=pb.TASK_OUTCOME_EXITED, exit_code=9)))
        assert run.result().returncode == 9, run.result()
        link.close()


def test_numbered_messages_are_acknowledged_after_commit_and_repeats_are_dropped(fleet, pb):
    import hashlib
    s = fleet.server()
    p = Peer(s, pb)
    p.enroll(s.token().split("@")[0])
    row = '{"name":"x"}'
    h = int.from_bytes(hashlib.sha256(b"muster.row\0k\0" + row.encode()).digest(), "little")
    digest = (h % 2**256).to_bytes(32, "little")

    def inv(seq, full=True, base=b"", dig=digest):
        return pb.AgentMessage(seq=seq, inventory=pb.Inventory(sections=[pb.SectionDelta(
            name="users", status=pb.SECTION_STATUS_OK, full=full, rows=[pb.FactRow(key="k", json=row)], base_digest=base, digest=dig)]))
    link = Link(p)
    link.send(hello(pb))
    assert link.next("welcome").acked_seq == 0
    link.send(inv(1))
    assert link.next("ack").seq == 1
    link.send(inv(1))
    assert link.next("ack").seq == 1
    sec = s.get(f"/api/v1/agents/{p.id}/inventory/users")
    assert [r["key"] for r in sec["rows"]] == ["k"]
    link.close()
    s.kill9()
    s.start()
    link = Link(p)
    link.send(hello(pb))
    assert link.next("welcome").acked_seq == 1
    # A delta on a base the server does not have is answered by a resync.
    link.send(inv(2, full=False, base=b"\1" * 32, dig=b"\2" * 32))
    assert "users" in link.next("resync").sections
    link.close()


def test_a_second_connection_replaces_the_first(fleet, pb):
    s = fleet.server()
    p = Peer(s, pb)
    p.enroll(s.token().split("@")[0])
    one = Link(p)
    one.send(hello(pb))
    g1 = one.next("welcome").generation
    two = Link(p)
    two.send(hello(pb))
    assert two.next("welcome").generation > g1
    assert one.next("goodbye").reason == "link.replaced"
    assert s.get(f"/api/v1/agents/{p.id}")["status"] == "ready"
    one.close()
    two.close()


def test_link_needs_a_certificate_and_enroll_a_good_token(fleet, pb):
    s = fleet.server()
    p = Peer(s, pb)
    with pytest.raises(grpc.RpcError) as e:
        p.enroll("nosuchtokenatall1234")
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED and "token.unknown" in e.value.details()
    with p.channel() as ch:
        call = ch.stream_stream("/muster.v1.Fleet/Link", pb.AgentMessage.SerializeToString, pb.ServerMessage.FromString)
        with pytest.raises(grpc.RpcError) as e:
            next(call(iter([hello(pb)]), timeout=10))
    assert e.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with p.channel() as ch:
        with pytest.raises(grpc.RpcError) as e:
            ch.unary_unary("/muster.v1.Fleet/NoSuch")(b"", timeout=10)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
    p.csr = "nonsense"
    with pytest.raises(grpc.RpcError) as e:
        p.enroll(s.token().split("@")[0])
    assert e.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_renewal_over_the_live_link_gives_a_new_certificate(fleet, pb):
    s = fleet.server()
    p = Peer(s, pb)
    p.enroll(s.token().split("@")[0])
    link = Link(p)
    link.send(hello(pb))
    link.next("welcome")
    link.send(pb.AgentMessage(renew=pb.RenewRequest(csr_pem=p.csr)))
    r = link.next("renewed")
    assert not r.error
    new = x509.load_pem_x509_certificate(r.certificate_pem.encode())
    uris = new.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris[0].endswith(f"/host/{p.id}")
    assert new.serial_number != x509.load_pem_x509_certificate(p.cert).serial_number
    link.close()


def test_cleartext_http2_is_refused_by_default(fleet, pb):
    s = fleet.server()
    with grpc.insecure_channel(f"127.0.0.1:{s.base}") as ch:
        with pytest.raises(grpc.RpcError):
            ch.unary_unary("/muster.v1.Fleet/Enroll")(b"", timeout=10)
    assert s.proc.alive() and pathlib.Path(s.sock).exists()
