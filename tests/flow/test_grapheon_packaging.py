"""The release of grapheon-agent: tarball, install, upgrade, rollback, uninstall with a systemctl that only takes notes (spec: Graphēon 3.3, 5)."""
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tarfile

import pytest
from conftest import BUILD, ROOT
from test_grapheon_agent import Console, prepared

pytestmark = pytest.mark.skipif("asan" in BUILD.name, reason="tests scripts, with the release build")
BUILDER = ROOT / "packaging/grapheon/build-release.sh"
AGENT = BUILD / "muster-agent"  # a third of the size, for what does not depend on how the program is linked
STATIC = BUILD / "muster-agent-static"  # what is released; a target of its own, which tools/test.py asks for


def sh(*argv, expect=0, **env):
    r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env={"PATH": os.environ["PATH"], "BUILD": str(BUILD), "AGENT": str(AGENT), **env}, timeout=60)
    assert r.returncode == expect, f"{argv}: {r.returncode}\n{r.stdout}\n{r.stderr}"
    return r


def release(tmp, version, **env):
    """An unpacked release of this build that calls itself @version."""
    out = tmp / f"{version}.tar.gz"
    sh(BUILDER, version, out, **env)
    with tarfile.open(out) as t:
        t.extractall(tmp)
    return tmp / f"grapheon-agent-v{version}"


class Box:
    def __init__(self, tmp):
        self.prefix, self.state, self.env, self.systemd = tmp / "opt", tmp / "var/state", tmp / "etc/agent.env", tmp / "systemd"
        self.log = tmp / "systemctl.log"
        self.systemctl = tmp / "systemctl"
        self.systemctl.write_text(f'#!/bin/sh\necho "$@" >>"{self.log}"\n')
        self.systemctl.chmod(0o755)
        self.paths = (self.prefix, self.state, self.env, self.systemd)

    def run(self, script, *args, expect=0, **env):
        return sh(script, *args, expect=expect, SYSTEMCTL_BIN=str(self.systemctl), **env)

    def calls(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def current(self):
        return os.readlink(self.prefix / "agent/current")


def mode(p):
    return stat.S_IMODE(p.stat().st_mode)


def test_the_tarball_has_the_upstream_shape_and_is_the_same_twice(tmp_path):
    one, two = tmp_path / "one.tar.gz", tmp_path / "two.tar.gz"
    sh(BUILDER, "1.2.3", one)
    sh(BUILDER, "1.2.3", two)
    assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "one.tar.gz.sha256").read_text().split() == [hashlib.sha256(one.read_bytes()).hexdigest(), "one.tar.gz"]
    with tarfile.open(one) as t:
        files = {m.name: m for m in t.getmembers()}
    root = "grapheon-agent-v1.2.3"
    for name in ("agent/README.md", "agent/VERSION", "agent/CHANGELOG.md", "agent/grapheon-agent", "deploy/grapheon-agent.env.example", "deploy/grapheon-agent.service",
                 "deploy/grapheon-agent.timer", "docs/agent_quickstart.md", *(f"scripts/{s}-passive-agent.sh" for s in ("install", "upgrade", "rollback", "uninstall"))):
        assert f"{root}/{name}" in files, name
    assert all(m.name.split("/")[0] == root and m.uid == 0 and m.mtime == 0 for m in files.values())
    assert files[f"{root}/agent/grapheon-agent"].mode == files[f"{root}/scripts/install-passive-agent.sh"].mode == 0o755


def test_a_release_can_be_signed(tmp_path):
    key, pub, out = tmp_path / "key.pem", tmp_path / "pub.pem", tmp_path / "a.tar.gz"
    sh("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    sh("openssl", "pkey", "-in", key, "-pubout", "-out", pub)
    sh(BUILDER, "1.0.0", out, SIGN_KEY=str(key))
    sh("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pub, "-rawin", "-in", out, "-sigfile", f"{out}.sig")


def test_install_makes_a_release_and_enables_nothing(tmp_path):
    box, rel = Box(tmp_path), release(tmp_path, "0.1.0")
    out = box.run(rel / "scripts/install-passive-agent.sh", *box.paths).stdout
    dir = box.prefix / "agent/releases/0.1.0"
    assert (dir / "VERSION").read_text().strip() == "0.1.0" and mode(dir / "VERSION") == 0o644 and mode(dir / "grapheon-agent") == 0o755
    assert (box.prefix / "agent/current").resolve() == dir.resolve()
    assert mode(box.state) == 0o700 and mode(box.env) == 0o600 and "gaek_replace_me" in box.env.read_text()
    assert box.calls() == ["daemon-reload"] and "--register-only" in out
    unit = (box.systemd / "grapheon-agent.service").read_text()
    assert f"ExecStart={box.prefix}/agent/current/grapheon-agent --config {box.env}" in unit and f"ReadWritePaths={box.state}" in unit and "StateDirectory" not in unit and "@" not in unit.replace("@system-service", "")
    assert mode(box.systemd / "grapheon-agent.timer") == 0o644
    assert sh(box.prefix / "agent/current/grapheon-agent", "--version").stdout.startswith("grapheon-agent ")
    box.env.write_text("GRAPHEON_AGENT_SERVER_URL=http://127.0.0.1:1\n")
    box.run(rel / "scripts/install-passive-agent.sh", *box.paths)
    assert box.env.read_text() == "GRAPHEON_AGENT_SERVER_URL=http://127.0.0.1:1\n"  # never overwritten
    box.systemctl.unlink()
    assert "nobody was told" in box.run(rel / "scripts/install-passive-agent.sh", *box.paths).stderr


def test_folders_that_are_there_keep_their_modes(tmp_path):
    """Found: settings in /root made it 0755, units in a folder like /tmp took its sticky bit, make install /usr/local/bin's group."""
    box, rel = Box(tmp_path), release(tmp_path, "0.1.0")
    modes = {box.prefix: 0o750, box.state: 0o750, box.env.parent: 0o700, box.systemd: 0o1777, tmp_path / "usr/local/bin": 0o2775, tmp_path / "etc/muster": 0o700}
    for d, m in modes.items():
        d.mkdir(parents=True, exist_ok=True)
        d.chmod(m)
    r = box.run(rel / "scripts/install-passive-agent.sh", *box.paths)
    assert f"chmod 0700 {box.state}" in r.stderr
    box.run(rel / "scripts/upgrade-passive-agent.sh", *box.paths)
    sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX="/usr/local")
    assert {d: mode(d) for d in modes} == modes
    assert mode(box.prefix / "agent/releases") == mode(tmp_path / "usr/local/share/man") == 0o755


def test_upgrade_and_rollback_move_the_link(tmp_path):
    box, old, new = Box(tmp_path), release(tmp_path, "0.1.0"), release(tmp_path, "0.2.0")
    box.run(old / "scripts/install-passive-agent.sh", *box.paths)
    box.calls()
    out = box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths).stdout
    assert box.current() == "releases/0.2.0" and "previous version: 0.1.0" in out and "current version:  0.2.0" in out
    assert box.calls() == ["daemon-reload", "try-restart grapheon-agent.timer"]
    box.run(new / "scripts/rollback-passive-agent.sh", "0.1.0", box.prefix, box.systemd)
    assert box.current() == "releases/0.1.0" and box.calls() == ["daemon-reload"]
    assert "not installed" in box.run(new / "scripts/rollback-passive-agent.sh", "9.9.9", box.prefix, expect=1).stderr
    assert box.current() == "releases/0.1.0"


def test_a_release_that_cannot_work_here_changes_nothing(tmp_path):
    box, old, new = Box(tmp_path), release(tmp_path, "0.1.0"), release(tmp_path, "0.2.0")
    box.run(old / "scripts/install-passive-agent.sh", *box.paths)
    program, text = box.prefix / "agent/current/grapheon-agent", "#!/bin/sh\nexit 1\n"
    good = program.read_bytes()
    for rel in (new, old):  # the same version again is no way to lose it
        (rel / "agent/grapheon-agent").write_text(text)
        assert "does not start" in box.run(rel / "scripts/upgrade-passive-agent.sh", *box.paths, expect=1).stderr
        assert box.current() == "releases/0.1.0" and program.read_bytes() == good
    (new / "agent/grapheon-agent").write_text('#!/bin/sh\ncase "$*" in *--check-config*) exit 1 ;; esac\n')
    assert "does not take the settings" in box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths, expect=1).stderr
    assert box.current() == "releases/0.1.0" and not (box.prefix / "agent/releases/0.2.0").exists()
    program.unlink()  # what took no settings before need not take them now
    program.write_text(text)
    program.chmod(0o755)
    box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths)
    assert box.current() == "releases/0.2.0"


def test_an_upgrade_that_fails_where_it_was_installed_goes_back(tmp_path):
    box, old, new = Box(tmp_path), release(tmp_path, "0.1.0"), release(tmp_path, "0.2.0")
    box.run(old / "scripts/install-passive-agent.sh", *box.paths)
    unit = (box.systemd / "grapheon-agent.timer").read_text()
    (new / "agent/grapheon-agent").write_text('#!/bin/sh\ncase $0 in */current/*) exit 1 ;; esac\n')
    (new / "deploy/grapheon-agent.timer").write_text("# another\n")
    assert "does not work" in box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths, expect=1).stderr
    assert box.current() == "releases/0.1.0" and (box.systemd / "grapheon-agent.timer").read_text() == unit
    assert sh(box.prefix / "agent/current/grapheon-agent", "--version").stdout.startswith("grapheon-agent ")


def test_an_upgrade_that_cannot_be_installed_goes_back(tmp_path):
    box, old, new = Box(tmp_path), release(tmp_path, "0.1.0"), release(tmp_path, "0.2.0")
    box.run(old / "scripts/install-passive-agent.sh", *box.paths)
    units = {u: (box.systemd / u).read_text() for u in ("grapheon-agent.service", "grapheon-agent.timer")}
    for u in units:
        (new / "deploy" / u).write_text("# another\n")
    good = box.systemctl.read_text()
    box.systemctl.write_text("#!/bin/sh\nexit 1\n")  # as in a chroot: after the link has moved
    r = box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths, expect=1)
    assert "could not be installed" in r.stderr and "daemon-reload failed" in r.stderr
    assert box.current() == "releases/0.1.0" and all((box.systemd / u).read_text() == text for u, text in units.items())
    box.systemctl.write_text(good)
    (box.systemd / ".grapheon-agent.timer.new").mkdir()  # the second unit cannot be written
    r = box.run(new / "scripts/upgrade-passive-agent.sh", *box.paths, expect=1)
    assert "could not be put back" in r.stderr
    assert box.current() == "releases/0.1.0" and (box.systemd / "grapheon-agent.service").read_text() == units["grapheon-agent.service"]


class Maker:
    """Somebody with a key who makes releases."""

    def __init__(self, tmp, name):
        self.key, self.pub, self.dir = tmp / f"{name}.pem", tmp / f"{name}.pub", tmp / f"{name}.out"
        sh("openssl", "genpkey", "-algorithm", "ed25519", "-out", self.key)
        sh("openssl", "pkey", "-in", self.key, "-pubout", "-out", self.pub)

    def make(self, version, **env):
        """The manifest of a tarball and a file beside it."""
        self.dir.mkdir(exist_ok=True)
        bundle, other = self.dir / f"grapheon-agent-v{version}.tar.gz", self.dir / "other.deb"
        sh(BUILDER, version, bundle, **{"SIGN_KEY": str(self.key), **env})
        other.write_text("other")
        return pathlib.Path(sh(ROOT / "packaging/grapheon/build-manifest.sh", version, bundle, other, **{"SIGN_KEY": str(self.key), **env}).stdout.strip())


def test_verify_takes_what_was_signed_and_nothing_else(tmp_path):
    agent, a, b = AGENT, Maker(tmp_path, "a"), Maker(tmp_path, "b")
    m = a.make("1.2.3")
    bundle = m.with_name("grapheon-agent-v1.2.3.tar.gz")

    def verify(*argv, expect=0):
        return sh(agent, "grapheon", "verify", *argv, expect=expect)

    assert verify("--key", a.pub, m).stdout == f"signed    {m}\nversion   1.2.3\ngood      {bundle.name}\ngood      other.deb\n"
    assert "good" in verify("--key", a.pub, bundle).stdout
    assert "--key FILE" in verify(m, expect=1).stderr  # this build has no key
    verify("--exit-codes", "fine", m, expect=78)
    assert "no signature" in verify("--key", b.pub, m, expect=1).stderr
    verify("--key", b.pub, "--exit-codes", "fine", m, expect=5)
    verify("--hashes-only", m)
    verify("--hashes-only", "--key", a.pub, m, expect=1)
    (a.dir / "other.deb").write_text("0ther")
    assert "BAD       other.deb" in verify("--key", a.pub, m, expect=1).stdout
    (a.dir / "other.deb").unlink()
    assert "not here  other.deb" in verify("--key", a.pub, m).stdout
    m.with_name(m.name + ".sig").unlink()
    assert "not signed" in verify("--key", a.pub, bundle, expect=1).stderr
    verify(expect=2)
    verify("--nonsense", m, expect=2)
    assert "usage" in verify("--help").stdout


def test_install_and_upgrade_check_a_manifest_before_anything_else(tmp_path):
    box, a, b = Box(tmp_path), Maker(tmp_path, "a"), Maker(tmp_path, "b")
    old, new, foreign = a.make("0.1.0"), a.make("0.2.0"), b.make("0.9.0")
    loose = release(tmp_path, "0.0.1") / "scripts/install-passive-agent.sh"
    box.run(loose, *box.paths, expect=1, MANIFEST=str(old))  # signed, and nothing says by whom it should be
    box.run(loose, *box.paths, expect=1, MANIFEST=str(old), RELEASE_KEY=str(b.pub))
    assert not box.state.exists()
    box.run(loose, *box.paths, MANIFEST=str(old), RELEASE_KEY=str(a.pub))
    assert box.current() == "releases/0.1.0"
    # the maker's key came with the release: from here on the installed script needs nothing but the manifest
    upgrade = box.prefix / "agent/current/scripts/upgrade-passive-agent.sh"
    assert "MANIFEST" in box.run(upgrade, *box.paths, expect=1).stderr
    assert "no signature" in box.run(upgrade, *box.paths, expect=1, MANIFEST=str(foreign)).stderr
    sig, bundle = new.with_name(new.name + ".sig"), new.with_name("grapheon-agent-v0.2.0.tar.gz")
    kept, whole = sig.read_bytes(), bundle.read_bytes()
    sig.unlink()
    assert "not signed" in box.run(upgrade, *box.paths, expect=1, MANIFEST=str(new)).stderr
    sig.write_bytes(kept)
    bundle.write_bytes(whole[:-1] + b"x")
    assert "BAD" in box.run(upgrade, *box.paths, expect=1, MANIFEST=str(new)).stderr
    assert box.current() == "releases/0.1.0"
    bundle.write_bytes(whole)
    box.run(upgrade, *box.paths, MANIFEST=str(new))
    assert box.current() == "releases/0.2.0" and sorted(p.name for p in box.prefix.iterdir()) == ["agent"]
    # with no key anywhere an unsigned manifest guards against accidents
    plain = Maker(tmp_path, "c").make("0.3.0", SIGN_KEY="")
    assert "unsigned" in box.run(loose, *box.paths, MANIFEST=str(plain)).stderr and box.current() == "releases/0.3.0"


def may_chroot():
    return STATIC.exists() and os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not may_chroot(), reason="needs root, for a root folder, and muster-agent-static")
def test_the_released_program_needs_nothing_of_the_machine(fleet, tmp_path):
    server = fleet.server(args=["--tls-name", "roll.example"])
    _, key = prepared(Console(server.url))
    root = tmp_path / "root"
    for d in ("proc", "dev", "etc"):
        (root / d).mkdir(parents=True)
    (root / "dev/null").touch()
    (root / "etc/hosts").write_text("127.0.0.1 roll.example\n")
    # of another distribution: plug-ins that are not there, and would be of another libc
    (root / "etc/nsswitch.conf").write_text("hosts: resolve [!UNAVAIL=return]\npasswd: sss\n")
    program = shutil.copy(release(tmp_path, "1.2.3", AGENT=str(STATIC)) / "agent/grapheon-agent", root / "grapheon-agent")
    assert "NEEDED" not in sh("readelf", "-d", program).stdout and "INTERP" not in sh("readelf", "-l", program).stdout

    def run(*argv, expect=0, **env):
        inside = 'mount -t proc proc "$0/proc" && mount --bind /dev/null "$0/dev/null" && exec chroot "$0" /grapheon-agent "$@"'
        return sh("unshare", "-m", "sh", "-ec", inside, root, *argv, expect=expect, **env)

    talk = ["--config", "/none", "--state-dir", "/state", "--server-url", f"https://roll.example:{server.base + 2}", "--retries", "0"]
    assert run("--version").stdout.startswith("grapheon-agent ")
    report = json.loads(run("--config", "/none", "--state-dir", "/none", "--print-report").stdout)
    assert report["connections"]  # by netlink; which ones they are: test_grapheon_netns
    # whom it trusts without --ca-file: nobody here, what a variable says, and what the distribution keeps
    assert "--ca-file FILE" in run(*talk, "--enrollment-key", key, "--register-only", expect=1).stderr
    ca = root / "ca.pem"
    ca.write_text(server.cli("ca", check=0).stdout)
    run(*talk, "--enrollment-key", key, "--register-only", SSL_CERT_FILE="/ca.pem")
    (root / "etc/pki/tls/certs").mkdir(parents=True)
    ca.rename(root / "etc/pki/tls/certs/ca-bundle.crt")
    assert "Check-in accepted" in run(*talk, "--force").stderr


@pytest.mark.skipif(not shutil.which("dpkg-shlibdeps") or not STATIC.exists(), reason="no dpkg-dev here, or no muster-agent-static")
def test_a_whole_release_is_made_and_checked_in_one_go(tmp_path):
    a = Maker(tmp_path, "a")
    r = sh(ROOT / "packaging/grapheon/release.sh", "1.2.3", a.dir, SIGN_KEY=str(a.key), AGENT=str(STATIC))
    made = r.stdout.split()
    assert "calls itself" in r.stderr  # and not 1.2.3
    assert [pathlib.Path(p).suffix for p in made] == [".gz", ".deb", *([".rpm"] if shutil.which("rpmbuild") else []), ".manifest"]
    assert sh(AGENT, "grapheon", "verify", "--key", a.pub, made[-1]).stdout.count("good ") == len(made) - 1
    assert not sh("dpkg-deb", "-f", made[1], "Depends").stdout.strip()
    for rpm in made[2:-1]:
        needs = sh("rpm", "--dbpath", tmp_path / "db", "-qp", "-R", rpm).stdout.splitlines()
        assert not [n for n in needs if not n.startswith(("/bin/sh", "config(", "rpmlib("))]


def test_old_releases_go_but_never_the_last_two(tmp_path):
    box = Box(tmp_path)
    for i in range(1, 5):
        rel = release(tmp_path, f"0.{i}.0")
        box.run(rel / "scripts/upgrade-passive-agent.sh", *box.paths, KEEP_RELEASES="2")
        os.utime(box.prefix / f"agent/releases/0.{i}.0", (i, i))
        shutil.rmtree(rel)
    assert sorted(p.name for p in (box.prefix / "agent/releases").iterdir()) == ["0.3.0", "0.4.0"]


def test_uninstall_keeps_the_state_unless_told(tmp_path):
    box, rel = Box(tmp_path), release(tmp_path, "0.1.0")
    for purge in ([], ["--purge-state"]):
        box.run(rel / "scripts/install-passive-agent.sh", *box.paths)
        (box.state / "agent_uuid").write_text("x")
        box.calls()
        box.run(rel / "scripts/uninstall-passive-agent.sh", *purge, *box.paths)
        assert box.calls() == ["disable --now grapheon-agent.timer grapheon-agent.service", "daemon-reload"]
        assert not (box.prefix / "agent").exists() and not box.env.exists() and not list(box.systemd.iterdir())
        assert box.state.exists() == (not purge)


@pytest.mark.skipif(not shutil.which("dpkg-shlibdeps"), reason="no dpkg-dev here")
def test_the_debian_package_has_its_files_and_enables_nothing(tmp_path):
    one, two, root = tmp_path / "one.deb", tmp_path / "two.deb", tmp_path / "root"
    for out in (one, two):
        sh(ROOT / "packaging/grapheon/build-deb.sh", "1.2.3", out)
    assert one.read_bytes() == two.read_bytes()
    sh("dpkg-deb", "-x", one, root)
    sh("dpkg-deb", "-e", one, tmp_path / "control")
    assert sh("dpkg-deb", "-f", one, "Package", "Version").stdout.split() == ["Package:", "grapheon-agent", "Version:", "1.2.3"]
    assert "libssl3" in sh("dpkg-deb", "-f", one, "Depends").stdout
    assert (tmp_path / "control/conffiles").read_text() == "/etc/grapheon-agent.env\n" and mode(root / "etc/grapheon-agent.env") == 0o600
    unit = (root / "lib/systemd/system/grapheon-agent.service").read_text()
    assert "ExecStart=/usr/bin/grapheon-agent --config /etc/grapheon-agent.env" in unit and "@" not in unit.replace("@system-service", "")
    assert sh(root / "usr/bin/grapheon-agent", "--version").stdout.startswith("grapheon-agent ")
    state = root / "var/lib/grapheon-agent"
    sh(tmp_path / "control/postinst", "configure", DPKG_ROOT=str(root))
    assert mode(state) == 0o700
    for step in ("remove", "purge"):
        sh(tmp_path / "control/prerm", step, DPKG_ROOT=str(root))
        sh(tmp_path / "control/postrm", step, DPKG_ROOT=str(root))
        assert state.exists() == (step == "remove")


@pytest.mark.skipif(not shutil.which("rpmbuild") or not shutil.which("dpkg-shlibdeps"), reason="no rpm or no dpkg-dev here")
def test_the_rpm_has_the_files_of_the_debian_package(tmp_path):
    one, two, deb, root = tmp_path / "one.rpm", tmp_path / "two.rpm", tmp_path / "a.deb", tmp_path / "root"
    for out in (one, two):
        sh(ROOT / "packaging/grapheon/build-rpm.sh", "1.2.3-rc1", out)
    sh(ROOT / "packaging/grapheon/build-deb.sh", "1.2.3-rc1", deb)
    assert one.read_bytes() == two.read_bytes()

    def ask(*argv):
        return sh("rpm", "--dbpath", tmp_path / "db", "-qp", *argv, one).stdout

    assert ask("--qf", "%{NAME} %{VERSION} %{RELEASE} %{BUILDTIME}") == "grapheon-agent 1.2.3~rc1 1 0" and "libssl.so.3" in ask("-R")
    assert ask("--qf", "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEFLAGS:fflags}\n]").splitlines()[:2] == \
        ["/etc/grapheon-agent.env -rw------- root cn", "/usr/bin/grapheon-agent -rwxr-xr-x root "]
    post, preun = ask("--qf", "%{POSTIN}"), ask("--qf", "%{PREUN}")
    assert "daemon-reload" in post and "enable" not in post and "disable --now grapheon-agent.timer" in preun
    state = tmp_path / "state"
    sh("sh", "-ec", post.replace("/var/lib/grapheon-agent", str(state)).replace("/run/systemd/system", "/nowhere"))
    assert mode(state) == 0o700
    root.mkdir()
    sh("sh", "-ec", f"rpm2archive -n - <{one} | tar -x -C {root}")
    sh("dpkg-deb", "-x", deb, tmp_path / "deb")

    def files(top):
        return {"/" + str(p.relative_to(top)).removeprefix("usr/") if "systemd" in str(p) else "/" + str(p.relative_to(top)):
                (mode(p), p.read_bytes()) for p in top.rglob("*") if p.is_file()}

    version = sh("dpkg-deb", "-f", deb, "Version").stdout.strip()
    assert version == "1.2.3~rc1" and sh("dpkg", "--compare-versions", version, "lt", "1.2.3")
    assert files(root) == files(tmp_path / "deb") and len(files(root)) == 6
    assert sh(root / "usr/bin/grapheon-agent", "--version").stdout.startswith("grapheon-agent ")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_units(tmp_path):
    box, rel = Box(tmp_path), release(tmp_path, "0.1.0")
    box.run(rel / "scripts/install-passive-agent.sh", *box.paths)
    r = subprocess.run(["systemd-analyze", "verify", "--man=no", str(box.systemd / "grapheon-agent.service"), str(box.systemd / "grapheon-agent.timer")],
                       capture_output=True, text=True, timeout=60)
    bad = [line for line in r.stderr.splitlines() if "grapheon-agent" in line]
    assert not bad, bad


def test_make_install_links_the_foreign_names(tmp_path):
    sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX="/usr/local")
    bin = pathlib.Path(tmp_path / "usr/local/bin")
    for name in ("sigma-agent", "grapheon-agent", "argus-agent", "argus-report"):
        assert os.readlink(bin / name) == "muster-agent"
    units = tmp_path / "usr/local/lib/systemd/system"
    unit = (units / "grapheon-agent.service").read_text()
    for line in ("ExecStart=/usr/local/bin/grapheon-agent --config /etc/grapheon-agent.env", "EnvironmentFile=/etc/grapheon-agent.env",
                 "StateDirectory=grapheon-agent", "StateDirectoryMode=0700", "ReadWritePaths=/var/lib/grapheon-agent"):
        assert line in unit.splitlines(), line
    assert "@" not in unit.replace("@system-service", "") and mode(units / "grapheon-agent.service") == mode(units / "grapheon-agent.timer") == 0o644
    assert mode(tmp_path / "usr/local/share/doc/muster/examples/grapheon-agent.env.example") == 0o600
    for name in ("musterd", "muster-agent"):  # what its settings are read from is there
        command = next(line for line in (units / f"{name}.service").read_text().splitlines() if line.startswith("ExecStart=")).split()
        assert (tmp_path / command[command.index("--config") + 1].lstrip("/")).is_file(), command
    assert sh(bin / "grapheon-agent", "--version").stdout.startswith("grapheon-agent ")
    # what belongs to the accents beside their programs
    share = tmp_path / "usr/local/share"
    assert mode(bin / "sigma-file-sd") == 0o755 and mode(share / "doc/muster/examples/sigma-agent.env") == 0o600
    assert sorted(p.name for p in (share / "doc/muster/examples/sigma").iterdir()) == ["Containerfile", "compose.yaml", "daemonset.yaml"]
    assert {"port-scan.json", "port-scan-alerts.yaml"} <= {p.name for p in (share / "muster/grafana").iterdir()}
    unit = (tmp_path / "usr/local/lib/systemd/system/sigma-agent.service").read_text()
    assert "ExecStart=/usr/local/bin/muster-agent sigma" in unit and "@PREFIX@" not in unit


def test_make_install_elsewhere_says_what_its_units_lack(tmp_path):
    out = sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX="/opt/m/").stdout
    units = tmp_path / "opt/m/lib/systemd/system"
    for unit, settings in (("musterd", "musterd.yaml"), ("muster-agent", "agent.yaml")):
        command = next(line for line in (units / f"{unit}.service").read_text().splitlines() if line.startswith("ExecStart=")).split()
        assert command[0] == f"ExecStart=/opt/m/bin/{unit}" and (tmp_path / command[0].split("=/")[1]).is_file()
        line = next(x for x in out.splitlines() if x.endswith(" " + command[command.index("--config") + 1])).split()
        assert line[-2].startswith("/opt/m/") and (tmp_path / line[-2].lstrip("/")).is_file() and line[-2].endswith(settings)
    assert "systemctl link /opt/m/lib/systemd/system/musterd.service" in out and not (tmp_path / "etc").exists()
    assert sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX="/usr").stdout == ""


def test_make_install_puts_argus_settings_where_its_units_look(tmp_path):
    def install(prefix):
        sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX=prefix)
    install("/usr")
    settings, policy = tmp_path / "etc/argus-agent/env", tmp_path / "etc/argus-agent/policy.example"
    assert mode(settings) == 0o600 and mode(policy) == 0o644
    assert [str(p) for p in (tmp_path / "etc/muster").iterdir() if "argus" in p.name] == []
    unit = (tmp_path / "usr/lib/systemd/system/argus-agent@.service").read_text().splitlines()
    assert [line for line in unit if line.startswith("EnvironmentFile=")] == \
        ["EnvironmentFile=-/etc/argus-agent/env", "EnvironmentFile=-/etc/argus-agent/%i.env"]
    unit = sh(tmp_path / "usr/bin/argus-agent", "--print-systemd").stdout
    assert "EnvironmentFile=-/etc/argus-agent/env" in unit.splitlines()
    manual = (tmp_path / "usr/share/man/man8/argus-agent.8").read_text()
    for line in settings.read_text().splitlines():
        name, sign, value = line.lstrip("#").partition("=")
        assert not sign or " " in name or name in manual, name
        assert name != "ARGUS_AGENT_POLICY" or (value == "/etc/argus-agent/policy" and value in manual)
    settings.write_text("ARGUS_AGENT_GRACE=60\n")
    install("/usr")
    assert settings.read_text() == "ARGUS_AGENT_GRACE=60\n", "an operator's settings stay"
    install("/usr/local")
    assert mode(tmp_path / "usr/local/share/doc/muster/examples/argus-agent.env") == 0o600


def test_make_install_leaves_the_operators_settings(tmp_path):
    def install():
        sh("sh", "-c", f"cd {ROOT} && sh packaging/install.sh", DESTDIR=str(tmp_path), PREFIX="/usr")
    install()
    live = [tmp_path / "etc/muster/musterd.yaml", tmp_path / "etc/muster/agent.yaml", tmp_path / "etc/muster/sigma-agent.env"]
    assert [mode(f) for f in live] == [0o644, 0o644, 0o600]
    for f in live[:2]:
        f.write_text("# mine\n")
    live[2].unlink()
    live[2].symlink_to("/run/secrets/sigma")  # not there yet
    install()
    assert [f.read_text() for f in live[:2]] == ["# mine\n"] * 2 and os.readlink(live[2]) == "/run/secrets/sigma"
    examples = tmp_path / "usr/share/doc/muster/examples"
    assert "listen:" in (examples / "musterd.yaml").read_text()  # what is new in it can be read there
