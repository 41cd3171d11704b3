#!/usr/bin/env python3
"""The peers of docs/performance.md: other people's servers and agents, doing the same work in the same run as ours.

    bench/peers.py fetch DIR      their Debian packages, downloaded and unpacked into DIR; nothing is installed, no daemon started
    bench/run.py --peers DIR      measures them between our own rounds

Each peer runs from DIR with its packaged defaults and what the work needs (limits, loopback, a free port), on core 0 as musterd does; its
clients (bench/peer_clients.py) on core 1. A peer that cannot run is one line with the reason."""
import contextlib
import csv
import getpass
import json
import os
import pathlib
import random
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from measure import absent, pinned, private_kb, tree

WANTED = {"nats-server": "nats-server", "mosquitto": "mosquitto", "redis-server": "redis-server", "redis-tools": "redis-benchmark",
          "openssh-server": "sshd", "openssh-client": "ssh", "collectd-core": "collectd", "zabbix-agent": "zabbix_agentd",
          "prometheus-node-exporter": "prometheus-node-exporter"}


class Gone(Exception):
    """A peer that cannot do it here; the text says why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- fetch: packages into a directory ---

def fetch(dir):
    debs, root = dir / "debs", dir / "root"
    shutil.rmtree(dir / "root", ignore_errors=True)
    debs.mkdir(parents=True, exist_ok=True)
    root.mkdir()
    plan = subprocess.run(["apt-get", "-s", "install", "--no-install-recommends", *WANTED], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if plan.returncode:
        sys.exit(f"apt-get cannot plan the peers (an old package list? try apt-get update):\n{plan.stdout[-1000:]}")
    # "Inst NAME (VERSION ..." is new; "Inst NAME [OLD] (VERSION ..." would renew something that is here and does as it is.
    new = re.findall(r"^Inst (\S+) \(", plan.stdout, re.M)
    names = list(dict.fromkeys([*WANTED, *new]))
    as_root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    for old in debs.glob("*.deb"):
        old.unlink()
    if subprocess.run(["apt-get", *as_root, "-qq", "download", *names], cwd=debs).returncode:
        sys.exit("apt-get download failed; see above")
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg", "-x", deb, root], check=True)
        say(f"  {deb.name}")
    say(f"fetched {len(names)} packages; now: bench/run.py --peers {dir}")


# --- one peer process ---

def free_port():
    """Below the range clients get theirs from, so that 10,000 of them cannot take it between this look and the peer's start."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            return port


def accepts(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Daemon:
    """A peer's process: started, waited for until it accepts, ended by its id."""

    def __init__(self, peers, dir, argv, port, **popen):
        self.log = pathlib.Path(dir) / "daemon.log"
        with open(self.log, "ab") as log:
            self.p = subprocess.Popen(list(map(str, argv)), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=peers.env, cwd=dir,
                                      preexec_fn=pinned(0), **popen)
        self.pid, end = self.p.pid, time.monotonic() + 15
        try:
            while port and not accepts(port):
                if self.p.poll() is not None or time.monotonic() > end:
                    raise Gone(f"did not start: {self.reason()}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise

    def reason(self):
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return (lines[-1].strip() if lines else f"exit code {self.p.poll()}")[:200]

    def stop(self):
        if self.p.poll() is None:
            below = tree(self.pid)[1:]
            self.p.terminate()
            try:
                self.p.wait(10)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()
                for pid in below:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Holder:
    """The clients of one broker, a process of its own on core 1: connects @n, then answers `publish` and `stamp` lines with milliseconds."""

    def __init__(self, kind, port, n, tls=None):
        argv = [sys.executable, pathlib.Path(__file__).with_name("peer_clients.py"), kind, str(port), str(n), *([str(tls)] if tls else [])]
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(1))
        try:
            self.answer(90)
        except BaseException:
            self.__exit__()
            raise

    def answer(self, seconds):
        if not select.select([self.p.stdout], [], [], seconds)[0]:
            raise Gone(f"its clients said nothing for {seconds} s")
        got = json.loads(self.p.stdout.readline() or '{"error": "its clients ended"}')
        if "error" in got:
            raise Gone(got["error"])
        return got

    def publish(self, how):
        self.p.stdin.write(how + "\n")
        self.p.stdin.flush()
        return self.answer(60)["ms"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.kill()
        self.p.wait()


# --- the peers and their figures ---

class Peers:
    """All of them. Without a directory every call is a no-op, so the caller need not ask."""

    def __init__(self, dir, work):
        self.root, self.work, self.got, self.dead, self.version = dir and pathlib.Path(dir).resolve() / "root", pathlib.Path(work), {}, {}, {}
        if not dir:
            say("peers: skipped. To measure them beside us: bench/peers.py fetch DIR, then --peers DIR or MUSTER_BENCH_PEERS=DIR")
            return
        if not self.root.is_dir():
            sys.exit(f"{dir} holds no peers: bench/peers.py fetch {dir}")
        libs = [*self.root.glob("usr/lib/*-linux-gnu*"), *self.root.glob("lib/*-linux-gnu*"), self.root / "usr/lib"]
        self.env = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libs))}
        for deb in (self.root.parent / "debs").glob("*.deb"):
            name, version = deb.name.split("_")[:2]
            self.version[name] = version.replace("%3a", ":")

    def program(self, name):
        for d in ("usr/sbin", "usr/bin"):
            if (self.root / d / name).exists():
                return self.root / d / name
        raise Gone("not fetched")

    def tried(self, key, fn, *args):
        """@fn's result, in a fresh directory, on the second attempt if need be; None and remembered when the peer cannot."""
        for attempt in range(2):
            try:
                result = fn(self, pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=self.work)), *args)
                self.dead.pop(key, None)
                return result
            except (Gone, OSError, ValueError, subprocess.SubprocessError) as e:
                self.dead[key] = str(e) or type(e).__name__
                say(f"peer {key if isinstance(key, str) else key[1]}, attempt {attempt + 1}: {self.dead[key]}")

    def round(self, figure, *args):
        """One round of every peer of @figure, between two of ours."""
        for peer, fn in FIGURES[figure] if self.root else ():
            if (figure, peer) not in self.dead:
                for key, value in (self.tried((figure, peer), fn, peer, *args) or {}).items():
                    self.got.setdefault((figure, peer), {}).setdefault(key, []).append(value)
                for d in self.work.glob("peer-*"):
                    shutil.rmtree(d, ignore_errors=True)

    def rows(self, figure, row):
        for peer, _ in FIGURES[figure] if self.root else ():
            got = self.got.get((figure, peer), {})
            for (name, unit, note), values in got.items():
                row(f"peer: {peer}, {name}", unit, values, "-", note)
            if (figure, peer) in self.dead:
                absent(f"peer: {peer}, {figure}" + (", further rounds" if got else ""), self.dead[figure, peer])


def certificates(d):
    """A CA and a server key on P-256, a client key on Ed25519, as ours are. One client certificate for all clients."""
    def openssl(*args):
        r = subprocess.run(["openssl", *args], cwd=d, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode:
            raise Gone(f"openssl {args[0]}: {r.stdout[-150:]}")
    p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    openssl("req", "-x509", *p256, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=peers", "-days", "2")
    (d / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, key in (("server", p256), ("client", ["-newkey", "ed25519"])):
        openssl("req", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2",
                "-extfile", "san")


def broker(peers, d, peer, tls):
    port = free_port()
    if tls:
        certificates(d)
    if peer == "nats-server":
        block = f'tls {{ cert_file: "{d}/server.pem", key_file: "{d}/server.key", ca_file: "{d}/ca.pem", verify: true }}\n' if tls else ""
        (d / "conf").write_text(f"listen: 127.0.0.1:{port}\n{block}")
    else:
        block = f"cafile {d}/ca.pem\ncertfile {d}/server.pem\nkeyfile {d}/server.key\nrequire_certificate true\n" if tls else ""
        user = "user root\n" if os.geteuid() == 0 else ""
        (d / "conf").write_text(f"listener {port} 127.0.0.1\n{block}allow_anonymous true\nlog_dest stderr\nlog_type error\n{user}")
    return Daemon(peers, d, [peers.program(peer), "-c", d / "conf"], port), port


def memory(peers, d, peer, n, settle):
    daemon, port = broker(peers, d, peer, True)
    with daemon:
        time.sleep(1)
        before = private_kb(daemon.pid)
        with Holder(peer, port, n, d):
            time.sleep(settle)
            return {(f"private memory per mutual-TLS connection ({n})", "KB", "one subscription each, silent; one certificate for all clients"):
                    (private_kb(daemon.pid) - before) / n}


def fanout(peers, d, peer, n):
    daemon, port = broker(peers, d, peer, False)
    with daemon, Holder(peer, port, n) as clients:
        ms = {"publish": [], "stamp": []}
        for how in ["publish"] * 3 + ["stamp"] * 3:
            time.sleep(1)
            ms[how].append(clients.publish(how))
        name, note = f"one publish to {n} subscribers: last delivery", "plain TCP, 200 bytes, median of 3 a round; nothing stored, nothing answered"
        return {(name, "ms", note): statistics.median(ms["publish"]),
                (f"{name}, in the subscriber's kernel", "ms", "no cost of the clients in it"): statistics.median(ms["stamp"])}


def durable(peers, d, peer, n):
    port = free_port()
    daemon = Daemon(peers, d, [peers.program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--dir", d, "--appendonly", "yes",
                               "--appendfsync", "always", "--save", ""], port)
    with daemon:
        r = subprocess.run([peers.program("redis-benchmark"), "-h", "127.0.0.1", "-p", str(port), "-c", "500", "-n", str(n), "-r", "100000", "-d", "200",
                            "-t", "set", "--csv"], env=peers.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, preexec_fn=pinned(1))
        got = [line for line in csv.reader(r.stdout.splitlines()) if line and line[0] == "SET"]
        if not got:
            raise Gone(r.stdout[-200:].strip())
        note = "appendfsync always, 500 plain connections, closed loop: 200 bytes appended and fsynced before the reply; no TLS, no rows or indexes, no history"
        return {("SET, acknowledged after fsync", "/s", note): float(got[0][1]), ("the same, p99 of the reply at full rate", "ms", ""): float(got[0][6])}


def ssh(peers, d, peer, n):
    """A login by key for each command, as an operator's loop does it; then the same over one kept connection."""
    port, user = free_port(), getpass.getuser() if os.geteuid() else "root"
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d / key], check=True, stdin=subprocess.DEVNULL)
    (d / "conf").write_text(f"ListenAddress 127.0.0.1:{port}\nHostKey {d}/host\nAuthorizedKeysFile {d}/user.pub\nPermitRootLogin prohibit-password\n"
                            f"StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nUseDNS no\n")
    argv = [peers.program("sshd"), "-D", "-e", "-f", d / "conf"]
    if os.geteuid() == 0:
        # As root sshd wants its user and /run/sshd. It gets them in a mount namespace of its own; the system's files stay as they are.
        (d / "passwd").write_text(f"root:*:0:0::{d}:/bin/sh\nsshd:*:65533:65534::/run/sshd:/usr/sbin/nologin\n")
        (d / "shadow").write_text("root:*:19000:0:99999:7:::\n")
        script = f"mount --bind {d}/passwd /etc/passwd && mount --bind {d}/shadow /etc/shadow && mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd"
        argv = ["unshare", "-m", "sh", "-c", script + ' && exec "$@"', "sh", *argv]
    call = [str(peers.program("ssh")), "-F", "none", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes",
            "-o", "ConnectTimeout=10", "-o", "IdentitiesOnly=yes", "-i", str(d / "user"), "-p", str(port)]

    def timed(*args):
        ms = []
        for _ in range(n):
            t0 = time.perf_counter()
            r = subprocess.run([*call, *args, f"{user}@127.0.0.1", "true"], env=peers.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, timeout=30, preexec_fn=pinned(1))
            if r.returncode:
                raise Gone(f"ssh exits {r.returncode}: {r.stderr.decode().strip()[-100:] or daemon.reason()}")
            ms.append((time.perf_counter() - t0) * 1000)
        return statistics.median(ms)

    with Daemon(peers, d, argv, port) as daemon:
        new = timed()
        keeper = subprocess.Popen([*call, "-M", "-S", d / "s", "-N", f"{user}@127.0.0.1"], env=peers.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  preexec_fn=pinned(1))
        try:
            end = time.monotonic() + 10
            while not (d / "s").exists() and keeper.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            return {("ssh true, a login each", "ms", f"key login, UsePAM no, p50 of {n} a round"): new,
                    ("ssh true over one kept connection", "ms", f"ControlMaster; the client's start is in it, p50 of {n} a round"): timed("-S", str(d / "s"))}
        finally:
            keeper.terminate()
            keeper.wait()


FIGURES = {"memory": [("nats-server", memory), ("mosquitto", memory)], "fanout": [("nats-server", fanout), ("mosquitto", fanout)],
           "checkin": [("redis-server", durable)], "command": [("openssh", ssh)]}


# --- agents ---

def collectd(peers, d):
    plugins = ["cpu", "df", "disk", "interface", "load", "memory", "processes", "uptime", "users", "network"]
    here = sorted(p for p in plugins if (peers.root / f"usr/lib/collectd/{p}.so").exists())
    (d / "conf").write_text(f'BaseDir "{d}"\nPluginDir "{peers.root}/usr/lib/collectd"\nTypesDB "{peers.root}/usr/share/collectd/types.db"\nInterval 10\n'
                            + "".join(f"LoadPlugin {p}\n" for p in here) + f'<Plugin network>\n  Server "127.0.0.1" "{free_port()}"\n</Plugin>\n')
    daemon = Daemon(peers, d, [peers.program("collectd"), "-f", "-C", d / "conf", "-P", d / "pid"], 0)
    return daemon, None, f"{len(here) - 1} plugins at 10 s, sent as UDP in the clear"


def zabbix(peers, d):
    port = free_port()
    (d / "conf").write_text(f"Server=127.0.0.1\nListenIP=127.0.0.1\nListenPort={port}\nLogType=console\nHostname=peer\nPidFile={d}/pid\n"
                            + ("AllowRoot=1\n" if os.geteuid() == 0 else ""))

    def ask():
        for item in ("system.cpu.load", "system.cpu.util", "vm.memory.size[available]", "vfs.fs.size[/,free]", "system.uptime"):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                s.sendall(b"ZBXD\x01" + len(item).to_bytes(8, "little") + item.encode())
                if not s.recv(4096).startswith(b"ZBXD"):
                    raise Gone("answers nothing")
    return Daemon(peers, d, [peers.program("zabbix_agentd"), "-f", "-c", d / "conf"], port), ask, "asked for 5 values every 10 s, no TLS; all its processes"


def node_exporter(peers, d):
    port = free_port()

    def ask():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as r:
            r.read()
    return Daemon(peers, d, [peers.program("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}"], port), ask, "scraped every 10 s, no TLS"


class Agents:
    """The agents that run here, each asked every 10 s what our heartbeat carries, by one thread."""

    def __init__(self, peers):
        self.running, self.over = {}, threading.Event()
        for name, start in (("collectd", collectd), ("zabbix_agentd", zabbix), ("node_exporter", node_exporter)) if peers.root else ():
            got = peers.tried(name, start)
            if got:
                self.running[name] = got
            else:
                absent(f"peer: {name} idle", peers.dead[name])
        self.thread = threading.Thread(target=self.asking, daemon=True)
        self.thread.start()

    def asking(self):
        while True:
            for name, (_, ask, _) in self.running.items():
                try:
                    ask and ask()
                except (Gone, OSError) as e:
                    say(f"peer {name}: {e}")
            if self.over.wait(10):
                return

    def pids(self):
        """Every process of each, those that ended left out."""
        return {name: tree(daemon.pid) for name, (daemon, _, _) in self.running.items() if daemon.p.poll() is None}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(30)
        for daemon, _, _ in self.running.values():
            daemon.stop()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "fetch":
        sys.exit(__doc__)
    fetch(pathlib.Path(sys.argv[2]).resolve())
