"""`make up`, as a new user would: up, found again, Ctrl-C, port taken, ends when either ends."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest
from conftest import BUILD, ROOT, Proc, free_base, until

pytestmark = pytest.mark.skipif("asan" in BUILD.name, reason="tests the script, with the release build")


def up(tmp, base, log, ignored=False, build=BUILD, **env):
    """@ignored: as a script's background job has it, which is how CI may start us. @env: also set."""
    def inherit():
        signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
    return Proc(["bash", ROOT / "tools/up.sh", build, base], tmp / log, env={"MUSTER_VAR": str(tmp / "var"), **env}, cwd=ROOT,
                start_new_session=True, preexec_fn=inherit)


def end(p):
    os.killpg(p.p.pid, signal.SIGINT)
    return p.wait(20)


def cli(tmp, *args):
    return subprocess.run([BUILD / "muster", "--server", f"unix:{tmp}/var/server/musterd.sock", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=30)


def test_up_enrols_this_machine_and_finds_it_again(tmp):
    base = free_base()
    # What its user has set for another server is nothing to it.
    (tmp / "home/muster").mkdir(parents=True)
    (tmp / "home/muster/config.yaml").write_text("x: [\n")
    (tmp / "cli.yaml").write_text("current: \"x\"\ncontexts: {}\n")
    p = up(tmp, base, "one.log", XDG_CONFIG_HOME=str(tmp / "home"), MUSTER_TOKEN_FILE="/none", MUSTER_CONTEXT="none", MUSTER_PIN="none", MUSTER_CA="/none",
           MUSTER_CONFIG=str(tmp / "cli.yaml"))
    until(lambda: "Muster is up" in p.log or not p.alive(), 40, "make up")
    assert "Muster is up" in p.log, p.log
    assert f"MUSTER_CONFIG ({tmp}/cli.yaml) is not a file of musterd" in p.log
    assert f"http://127.0.0.1:{base + 2}" in p.log
    cmds = re.findall(r"^  (\S.*)$", p.log, re.M)
    assert len(cmds) == 3
    for c in cmds:
        r = subprocess.run(c, shell=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
        assert r.returncode == 0 and r.stdout, (c, r.stdout)
    ids = cli(tmp, "hosts", "--json").stdout
    # Another host of this fleet, newer and not there next time, is not the one to try things on.
    token = json.loads(cli(tmp, "token", "create", "--auto-approve", "--json").stdout)["token"]
    r = subprocess.run([BUILD / "muster-agent", "--server", f"127.0.0.1:{base}", "--state-dir", tmp / "other", "enroll"], timeout=30,
                       env={**os.environ, "MUSTER_TOKEN": token})
    assert r.returncode == 0
    assert end(p) == 0, p.log
    # The same with a directory named as the default one is, from here, and a home with such a file.
    (tmp / "home/.config").symlink_to(tmp / "home")
    (tmp / "server.yaml").write_text("heartbeat: 5s\n")  # and its own file is musterd's
    p = up(tmp, base, "two.log", MUSTER_VAR=os.path.relpath(tmp / "var", ROOT), HOME=str(tmp / "home"), MUSTER_CONFIG=str(tmp / "server.yaml"))
    until(lambda: "Muster is up" in p.log or not p.alive(), 40, "make up again")
    assert "Muster is up" in p.log and "not a file" not in p.log, p.log
    assert json.loads(cli(tmp, "status", "--json").stdout)["heartbeat_seconds"] == 5
    one = re.findall(r'"id": ?"([0-9a-f-]{36})"', ids)
    two = re.findall(r'"id": ?"([0-9a-f-]{36})"', cli(tmp, "hosts", "--json").stdout)
    assert one and len(two) == 2 and one[0] in two
    name = json.loads(cli(tmp, "host", one[0], "--json").stdout)["name"]
    assert f" run {name} -- uname" in p.log
    assert end(p) == 0, p.log
    # A certificate that cannot be read is asked for anew: the key is the host.
    (tmp / "var/agent/cert.pem").write_text("junk\n")
    p = up(tmp, base, "three.log", MUSTER_VAR=str(tmp / "var"), HOME=str(tmp / "home"))
    until(lambda: "Muster is up" in p.log or not p.alive(), 40, "make up once more")
    assert f" run {name} -- uname" in p.log, p.log
    # and no token that was not needed for it lies about: it would let in whoever came by it
    tokens = json.loads(cli(tmp, "token", "list", "--json").stdout)["tokens"]
    assert len(tokens) == 3 and all(t["revoked"] or t["used"] == t["uses"] for t in tokens), tokens
    assert end(p) == 0, p.log


def test_ctrl_c_stops_it_where_interrupts_were_inherited_as_ignored(tmp):
    base = free_base()
    p = up(tmp, f"0{base}", "up.log", ignored=True)  # and a zero in front makes no other number of it
    until(lambda: "Muster is up" in p.log or not p.alive(), 40, "make up")
    assert end(p) == 0, p.log
    assert f"http://127.0.0.1:{base + 2} " in p.log, p.log


def test_a_hang_up_stops_it_though_nobody_reads_its_words(tmp):
    base = free_base()
    with subprocess.Popen(["bash", ROOT / "tools/up.sh", BUILD, str(base)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "MUSTER_VAR": str(tmp / "var")}, cwd=ROOT, start_new_session=True) as p:
        assert any(b"Muster is up" in line for line in p.stdout)
        p.stdout.close()
        p.send_signal(signal.SIGHUP)
        assert p.wait(20) == 0
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", base))  # the server is gone with it


@pytest.mark.parametrize("victim", ["musterd", "muster-agent"])
def test_up_ends_when_either_ends(tmp, victim):
    base = free_base()
    p = up(tmp, base, "up.log")
    until(lambda: "Muster is up" in p.log or not p.alive(), 40, "make up")
    kids = subprocess.run(["pgrep", "-P", str(p.p.pid), "-x", victim], stdout=subprocess.PIPE, text=True).stdout.split()
    assert len(kids) == 1, p.log
    os.kill(int(kids[0]), signal.SIGKILL)
    assert p.wait(20) != 0


def test_a_taken_port_is_one_sentence_and_exit_1(tmp):
    base = free_base()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", base))
        s.listen()
        p = up(tmp, base, "taken.log")
        assert p.wait(20) == 1
    assert str(base) in p.log and "in use" in p.log


def test_a_second_one_on_the_same_state_says_so(tmp):
    base = free_base()
    one = up(tmp, base, "one.log")
    until(lambda: "Muster is up" in one.log or not one.alive(), 40, "make up")
    two = up(tmp, free_base(), "two.log")
    assert two.wait(20) == 1
    assert "already runs" in two.log and "Muster is up" not in two.log
    assert one.alive() and end(one) == 0


def test_a_broken_state_directory_is_one_sentence_and_exit_1(tmp):
    (tmp / "var").write_text("not a directory")
    p = up(tmp, free_base(), "broken.log")
    assert p.wait(20) == 1 and str(tmp / "var") in p.log


def test_a_port_that_is_none_is_one_sentence_and_exit_1(tmp):
    for i, port in enumerate(("", "nine", "-1", "91x0", "8120 1")):
        p = up(tmp, port, f"word{i}.log")
        assert p.wait(20) == 1 and p.log == f"make up: PORT must be a number, not '{port}'\n"
    for i, port in enumerate(("0", "00", "65534", "070000", "9" * 30)):
        p = up(tmp, port, f"range{i}.log")
        assert p.wait(20) == 1
        assert p.log == f"make up: PORT must be 1 to 65533 (PORT+1 and PORT+2 are used too), not {port}\n"


def test_a_server_that_cannot_be_asked_ends_it_with_the_command_lines_sentence(tmp):
    build = tmp / "build"
    build.mkdir()
    (build / "musterd").symlink_to(BUILD / "musterd")
    (build / "muster").write_text("#!/bin/sh\necho 'muster: no, and waiting will not help' >&2\nexit 78\n")
    (build / "muster").chmod(0o755)
    p = up(tmp, free_base(), "asked.log", build=build)
    assert p.wait(20) == 1
    assert "make up: musterd cannot be asked: muster: no, and waiting will not help\n" in p.log
    assert not subprocess.run(["pgrep", "-f", f"{tmp}/var/server"], stdout=subprocess.PIPE).stdout, "musterd was left"
