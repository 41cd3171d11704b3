#!/usr/bin/env python3
"""Clean exit under valgrind: server, agent, a command, stop; no leak, no error in either program. Run by `make test`."""
import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import conftest as c  # noqa: E402

VG = ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite,possible", "--errors-for-leak-kinds=definite",
      "--error-exitcode=97", f"--suppressions={c.ROOT}/tests/valgrind.supp", "--child-silent-after-fork=yes"]


def main():
    c.SLOW = 10
    d = pathlib.Path(tempfile.mkdtemp(prefix="muster-valgrind-"))
    s = c.Server(d)
    s.state.parent.mkdir(exist_ok=True)
    s.proc = c.Proc([*VG, c.BUILD / "musterd", "--dev", "--state-dir", s.state, "--listen", f"127.0.0.1:{s.base}"], d / "musterd.log")
    s.wait_ready()
    a = c.Agent(s, d / "a", wrap=VG)
    a.start(token=s.token())
    host = a.wait_ready()
    r = s.cli("run", host["name"], "--", "sh", "-c", "echo out; exit 3")
    assert (r.returncode, r.stdout) == (3, "out\n"), r
    assert s.get("/api/v1/audit/verify")["ok"]
    codes = a.stop(), s.stop()
    bad = [p for p in (a.proc, s.proc) if p.p.returncode != 0 or re.search(r"^==\d+== ", p.log, re.M)]
    for p in bad:
        print(p.argv[-5:], p.p.returncode, p.log[-5000:])
    print("valgrind: exit codes", codes)
    if not bad and not os.environ.get("MUSTER_KEEP"):
        shutil.rmtree(d, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
