"""Disk full, read-only state, corrupt database: refuse, say so, recover, lose nothing."""
import os
import shutil
import socket
import sqlite3
import subprocess

import pytest
import requests
from conftest import BUILD, Proc, Server, until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small_disk(tmp):
    d = tmp / "disk"
    d.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(d)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield d
    subprocess.run(["umount", "-l", str(d)], check=False)


def test_a_full_disk_refuses_writes_and_recovers_without_losing_what_was_acknowledged(fleet, small_disk):
    s = Server(small_disk / "s")
    s.dir.mkdir(exist_ok=True)
    try:
        s.start()
        keep = s.api("POST", "/api/v1/tokens", {"note": "before"}, expect=201).json()["id"]
        filler = small_disk / "filler"
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
            except OSError:
                pass

        def refused():
            r = s.api("POST", "/api/v1/tokens", {"note": "x" * 200})
            return r.status_code == 503 and r.json()["error"]["code"] == "store.unavailable"
        until(refused, 60, "writes to be refused")
        r = requests.get(s.url + "/readyz", timeout=5)
        assert r.status_code == 503 and "store" in r.text
        assert requests.get(s.url + "/healthz", timeout=5).text == "ok"
        assert [t for t in s.get("/api/v1/tokens")["tokens"] if t["id"] == keep]
        filler.unlink()
        until(lambda: requests.get(s.url + "/readyz", timeout=5).status_code == 200, 30, "readiness to come back")
        after = s.api("POST", "/api/v1/tokens", {"note": "after"}, expect=201).json()["id"]
        s.kill9()
        s.start()
        ids = [t["id"] for t in s.get("/api/v1/tokens")["tokens"]]
        assert keep in ids and after in ids
        # Seen from a read-only mount the server still holds its directory: its ports are not somebody else's.
        look = f'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@" --state-dir {s.state} --listen {s.host}:{s.base}'
        r = subprocess.run(["unshare", "-m", "sh", "-c", look, str(small_disk), BUILD / "musterd", "doctor"], stdout=subprocess.PIPE, text=True, timeout=60)
        assert "is read-only" in r.stdout and r.stdout.count("in use, as it should") == 3, r.stdout
        s.kill9()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        r = subprocess.run([BUILD / "musterd", "doctor", "--state-dir", str(s.state)], stdout=subprocess.PIPE, text=True, timeout=60)
        wrong = [x for x in r.stdout.splitlines() if x.startswith("WRONG")]
        assert r.returncode == 1 and len(wrong) == 1 and "is read-only" in wrong[0] and "restore" not in r.stdout, r.stdout
    finally:
        if s.proc and s.proc.alive():
            s.stop()


def test_a_corrupt_database_is_named_and_nothing_is_overwritten(fleet):
    s = fleet.server()
    s.api("POST", "/api/v1/tokens", {}, expect=201)
    s.stop()
    db = next(s.state.glob("*.db"))
    for extra in ("-wal", "-shm"):
        db.with_name(db.name + extra).unlink(missing_ok=True)
    data = b"this is not a database" * 400
    db.write_bytes(data)
    s.start(wait=False)
    assert s.proc.wait(20) != 0
    assert "not a database" in s.log or "corrupt" in s.log or "damaged" in s.log
    assert "Move the state directory away" in s.log  # restore takes an empty one, and with the file alone gone its locks are left
    assert db.read_bytes() == data
    r = subprocess.run([BUILD / "musterd", "doctor", "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=60)
    assert r.returncode != 0 and "restore" in r.stdout
    db.write_bytes(b"")  # and an emptied one is no first start: a new CA would lock every host out
    s.start(wait=False)
    assert s.proc.wait(20) == 1
    assert "empty or gone" in s.log and "musterd restore" in s.log and db.read_bytes() == b""
    r = subprocess.run([BUILD / "musterd", "doctor", "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=60)
    assert r.returncode != 0 and "empty or gone" in r.stdout
    sqlite3.connect(db).execute("PRAGMA journal_mode=WAL")  # nor is one page without tables, what is left of a log that was thrown away
    assert db.stat().st_size == 4096
    s.start(wait=False)
    assert s.proc.wait(20) == 1 and db.stat().st_size == 4096
    r = subprocess.run([BUILD / "musterd", "doctor", "--state-dir", str(s.state)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=60)
    assert r.returncode != 0 and "empty or gone" in r.stdout


def doctor(state, *more):
    r = subprocess.run([BUILD / "musterd", "doctor", "--state-dir", str(state), *more], stdout=subprocess.PIPE, text=True, timeout=60)
    return r.returncode, [x for x in r.stdout.splitlines() if x.startswith("WRONG")], r.stdout


@needs_root
def test_the_doctor_sees_a_file_system_that_stopped_at_its_own_error(tmp):
    disk, img = tmp / "disk", tmp / "img"
    disk.mkdir()
    with open(img, "wb") as f:
        f.truncate(16 << 20)
    if subprocess.run(["mkfs.ext4", "-q", img], stderr=subprocess.DEVNULL).returncode or \
            subprocess.run(["mount", "-o", "loop,errors=remount-ro", img, disk], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("cannot mount an image here")
    try:
        dev = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(disk.stat().st_dev)}:{os.minor(disk.stat().st_dev)}"))
        state = disk / "s"
        state.mkdir(mode=0o700)
        sqlite3.connect(state / "muster.db").execute("CREATE TABLE t (x)").connection.close()
        (state / "muster.db").chmod(0o600)
        with open(f"/sys/fs/ext4/{dev}/trigger_fs_error", "w") as f:
            f.write("1")
        rc, wrong, all_of_it = doctor(state)
        assert rc == 1 and len(wrong) == 1 and str(state) in wrong[0], all_of_it
        assert "ead-only" in wrong[0] and "database: whole" not in all_of_it and "restore" not in all_of_it, all_of_it
    except OSError:
        pytest.skip("no way to make ext4 fail here")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@needs_root
def test_the_doctor_sees_files_that_the_servers_user_cannot_use(tmp):
    state, conf = tmp / "s", tmp / "musterd.yaml"
    state.mkdir(mode=0o700)
    conf.write_text("log-level: info\n")
    conf.chmod(0o600)
    (state / "musterd.lock").write_text("")
    (state / "musterd.lock").chmod(0o600)
    assert not doctor(state, "--config", conf, "--listen", "127.0.0.1:0")[1]
    os.chown(state, 65534, 65534)
    rc, wrong, _ = doctor(state, "--config", conf, "--listen", "127.0.0.1:0")
    assert rc == 1 and len(wrong) == 2
    assert "musterd.lock belongs to user 0, the directory to user 65534" in wrong[0] and f"{conf} cannot be read by user 65534" in wrong[1]


def test_the_doctor_finds_what_a_start_would_stumble_over(tmp):
    state, junk = tmp / "s", tmp / "junk"
    junk.write_text("junk")
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    at = ("--listen", "127.0.0.1:0")
    for args, want, fix in (
            (at + ("--http-listen", f"127.0.0.1:{port}"), f"port {port} on 127.0.0.1 is in use", "stop what uses it"),
            (("--listen", "192.0.2.77:8120"), "Cannot assign requested address", "an address that this machine has"),
            (at + ("--tls-cert", junk, "--tls-key", junk), f"{junk}: the certificate: ", "in PEM"),
            (at + ("--tls-cert", tmp / "none", "--tls-key", junk), f"{tmp}/none cannot be read", "put the file there"),
            (at + ("--log-file", tmp / "no" / "log"), f"log file {tmp}/no/log cannot be written", "make the directory"),
            (at + ("--log-file", tmp), f"log file {tmp} cannot be written", "it is a directory"),
            (at + ("--state-dir", junk / "s"), f"state directory {junk}/s cannot be made", "is no directory")):
        rc, wrong, text = doctor(state, *args)
        assert rc == 1 and wrong and all(want in x for x in wrong) and fix in text, text
        p = Proc([BUILD / "musterd", "--state-dir", state, *args], tmp / "log")  # and so does a start
        assert p.wait(10) == 1 and "ready" not in p.log, p.log
    shutil.rmtree(state, ignore_errors=True)
    rc, wrong, text = doctor(state, *at, "--log-file", tmp / "log.new", "--http-listen", "127.0.0.1:0")
    assert rc == 0 and not wrong, text
    assert not state.exists() and not (tmp / "log.new").exists()  # nothing was changed
    taken.close()


@needs_root
def test_the_doctor_asks_as_who_the_server_will_be(tmp):
    shut, log = tmp / "shut", tmp / "musterd.log"
    shut.mkdir(mode=0o700)
    log.write_text("")
    log.chmod(0o600)
    mine = tmp / "mine"
    mine.mkdir(mode=0o700)
    os.chown(mine, 65534, 65534)
    _, wrong, text = doctor(mine, "--listen", "127.0.0.1:0", "--log-file", log)  # root may write it, the directory's owner may not
    assert len(wrong) == 1 and f"log file {log} cannot be written by user 65534" in wrong[0], text
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", BUILD / "musterd"]
    if subprocess.run([*nobody, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("that user cannot run what was built here")
    r = subprocess.run([*nobody, "--dev", "--listen", "127.0.0.1:0", "--state-dir", f"/proc/1/muster/{tmp.name}", "doctor"],
                       stdout=subprocess.PIPE, text=True, timeout=60)  # no directory is made there
    assert r.returncode == 1 and "cannot be made or entered by user 65534" in r.stdout, r.stdout


def test_a_broken_state_directory_is_one_clear_sentence(tmp):
    f = tmp / "file"
    f.write_text("")
    p = Proc([BUILD / "musterd", "--dev", "--state-dir", f, "--listen", "127.0.0.1:0"], tmp / "log")
    assert p.wait(10) == 1
    lines = [x for x in p.log.splitlines() if x.strip()]
    assert len(lines) <= 2 and str(f) in p.log


def test_two_servers_cannot_share_a_state_directory(fleet):
    s = fleet.server()
    p = Proc([BUILD / "musterd", "--dev", "--state-dir", s.state, "--listen", "127.0.0.1:0"], fleet.dir / "second.log")
    assert p.wait(10) == 1 and "already" in p.log.lower()


def test_a_port_in_use_is_one_clear_sentence(fleet):
    s = fleet.server()
    p = Proc([BUILD / "musterd", "--dev", "--state-dir", fleet.dir / "other", "--listen", f"127.0.0.1:{s.base}"], fleet.dir / "second.log")
    assert p.wait(10) == 1 and str(s.base) in p.log and "in use" in p.log
