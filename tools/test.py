#!/usr/bin/env python3
"""`make test`: builds, then every kind of test. The last line is "N passed, N failed[, N skipped]".

Stages (docs/testing.md): house checks; unit tests; the same under ASan+UBSan with the fuzz corpora replayed; queue, mailbox and
store under TSan; flow tests with real processes, release and sanitized; valgrind. MUSTER_TEST=unit,flow runs only those stages."""
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
PY = "/usr/bin/python3"
CI = bool(os.environ.get("CI"))
COUNT = {"passed": 0, "failed": 0, "skipped": 0}
FAILED = []
T0 = time.time()
JOBS = str(os.cpu_count() or 2)


def say(text):
    print(f"[{time.time() - T0:6.1f}s] {text}", flush=True)


def tally(name, passed, failed, skipped=0, detail=""):
    COUNT["passed"] += passed
    COUNT["failed"] += failed
    COUNT["skipped"] += skipped
    if failed:
        FAILED.append(name)
        print(detail[-6000:], flush=True)
        say(f"FAILED {name}")


def run(cmd, timeout=600, **kw):
    try:
        return subprocess.run(cmd, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=timeout, **kw)
    except subprocess.TimeoutExpired as e:
        out = e.stdout.decode(errors="replace") if isinstance(e.stdout, bytes) else (e.stdout or "")
        return subprocess.CompletedProcess(cmd, 124, out + f"\ntimed out after {timeout} s")


def unit_targets(folder, only):
    r = run(["ninja", "-C", folder, "-t", "targets", "all"])
    paths = [line.split(":")[0] for line in r.stdout.splitlines() if line.startswith("tests/unit/")]
    return [p for p in paths if any(re.fullmatch(o, p.rsplit("/", 1)[1]) for o in only)]


def build(folder, *flags, env=None, only=None, more=()):
    """Configures (once) and builds all and @more, or the unit tests @only; False and a failed test when that does not work."""
    say(f"building {folder}")
    full = {**os.environ, **(env or {})}
    if not (ROOT / folder / "build.ninja").exists():
        # Warnings are errors in the release build only: sanitizers make gcc see things that are not there.
        r = run(["meson", "setup", folder, *(["--werror"] if CI and not flags else []), *flags], env=full)
        if r.returncode:
            tally(f"configure {folder}", 0, 1, detail=r.stdout)
            return False
    r = run(["ninja", "-C", folder, *(unit_targets(folder, only) if only else ["all", *more])], timeout=1200, env=full)
    tally(f"build {folder}", int(r.returncode == 0), int(r.returncode != 0), detail=r.stdout)
    return r.returncode == 0


def checks():
    say("house checks")
    for tool in ("check_layers.py", "check_docs.py", "top_length.py"):
        if not (ROOT / "tools" / tool).exists():
            continue
        r = run([PY, f"tools/{tool}"])
        print(r.stdout, end="", flush=True)
        tally(tool, int(r.returncode == 0), int(r.returncode != 0), detail=r.stdout)


TAP = re.compile(r"^(ok|not ok) \d+(.*)$", re.M)


def unit_one(path, env):
    r = run([str(path)], timeout=300, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP", **env})
    lines = TAP.findall(r.stdout)
    ok = sum(1 for s, rest in lines if s == "ok" and "# SKIP" not in rest)
    skip = sum(1 for s, rest in lines if s == "ok" and "# SKIP" in rest)
    bad = sum(1 for s, _ in lines if s == "not ok")
    if r.returncode and not bad:
        bad = 1  # crashed, or a sanitizer spoke
    if not lines and not bad:
        bad, r.stdout = 1, r.stdout + "\nno test was executed"
    return path.name, ok, bad, skip, r.stdout


def units(folder, only=None, env=None, label=""):
    say(f"unit tests {label or folder}")
    paths = [p for p in sorted((ROOT / folder / "tests/unit").rglob("test_*")) if p.is_file() and os.access(p, os.X_OK)]
    if only:
        paths = [p for p in paths if any(re.fullmatch(o, p.name) for o in only)]
    for o in only or ["test_.*"]:
        if not any(re.fullmatch(o, p.name) for p in paths):
            tally(f"{label or folder}: no unit test {o} was built", 0, 1)
    with ThreadPoolExecutor(int(JOBS)) as pool:
        for name, ok, bad, skip, out in pool.map(lambda p: unit_one(p, env or {}), paths):
            tally(f"{label}{name}", ok, bad, skip, out)


def corpus(folder):
    say("fuzz corpora replayed")
    targets = [p for p in sorted((ROOT / folder / "tests/fuzz").glob("fuzz_*")) if p.is_file() and os.access(p, os.X_OK)]
    if not targets:
        tally("no fuzz target was built", 0, 1)
    for t in targets:
        d = ROOT / "tests/fuzz/corpus" / t.name[len("fuzz_"):]
        files = [str(f) for f in sorted(d.glob("*"))] if d.is_dir() else []
        if not files:
            tally(f"{t.name}: no corpus", 0, 1)
            continue
        r = run([str(t), *files], timeout=300, env={**os.environ, **SAN})
        tally(t.name, int(r.returncode == 0), int(r.returncode != 0), detail=r.stdout)


def flow(folder, label, *extra):
    say(f"flow tests, {label}")
    xml = ROOT / folder / "flow.xml"
    xml.unlink(missing_ok=True)
    # Flow tests mostly wait: more of them than cores at a time.
    r = run([PY, "-m", "pytest", "-q", "-rf", "--tb=short", "-p", "no:cacheprovider", "-n", "4", "tests/flow",
             f"--junitxml={xml}", *extra], timeout=900, env={**os.environ, "MUSTER_BUILD": str(ROOT / folder), **SAN})
    if not xml.exists():
        tally(f"flow {label}", 0, 1, detail=r.stdout)
        return
    s = ET.parse(xml).getroot()
    s = s if s.tag == "testsuite" else s[0]
    n, bad, skip = int(s.get("tests")), int(s.get("failures")) + int(s.get("errors")), int(s.get("skipped"))
    if 0 < bad <= SECOND_TRIES:
        bad -= alone(folder, label, [c for c in s.iter("testcase") if c.find("failure") is not None or c.find("error") is not None])
    tally(f"flow {label}", n - bad - skip, bad, skip, r.stdout)
    if r.returncode not in (0, 1) and not bad:
        tally(f"flow {label} (pytest itself)", 0, 1, detail=r.stdout)


SECOND_TRIES = 4  # more than that is no accident


def alone(folder, label, cases):
    """A few that failed beside three others and whatever else this machine does: once more, one after another. What passes then is named,
    so that it is not forgotten. Returns how many passed."""
    passed = 0
    for c in cases:
        node = f"{c.get('classname').replace('.', '/')}.py::{c.get('name')}"
        r = run([PY, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", node], timeout=300,
                env={**os.environ, "MUSTER_BUILD": str(ROOT / folder), **SAN})
        passed += r.returncode == 0
        say(f"flow {label}: {node} failed, and alone it {'passed' if r.returncode == 0 else 'failed again'}")
    return passed


SAN = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
       "LSAN_OPTIONS": f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"}


# Where threads meet.
THREADED = ["test_base_queue", "test_net_loop", "test_store_.*"]  # the mailbox is tested with the loop


def main():
    want = set(filter(None, os.environ.get("MUSTER_TEST", "").split(",")))
    on = lambda stage: not want or stage in want
    if on("check"):
        checks()
    if (on("unit") or on("flow") or on("valgrind")) and not build("build", more=["muster-agent-static"] if on("flow") else []):
        return
    if on("unit"):
        units("build", label="release ")
    if on("flow"):
        flow("build", "release")
    if on("asan") and build("build-asan", "-Db_sanitize=address,undefined", "-Doptimization=1"):
        units("build-asan", env=SAN, label="asan ")
        corpus("build-asan")
        flow("build-asan", "asan", "-m", "not slow")
    if on("tsan") and build("build-tsan", "-Db_sanitize=thread", "-Doptimization=1", only=THREADED):
        units("build-tsan", only=THREADED,
              env={"TSAN_OPTIONS": "exitcode=99:halt_on_error=1"}, label="tsan ")
    if on("valgrind"):
        say("valgrind: clean exit")
        flow_valgrind = ROOT / "tests/flow/valgrind.py"
        if flow_valgrind.exists():
            r = run([PY, str(flow_valgrind)], timeout=300, env={**os.environ, "MUSTER_BUILD": str(ROOT / "build")})
            tally("valgrind", int(r.returncode == 0), int(r.returncode != 0), detail=r.stdout)


if __name__ == "__main__":
    if sys.argv[1:]:  # there are no options, and a whole run is not the answer to a question
        print(__doc__)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    try:
        main()
    except KeyboardInterrupt:
        COUNT["failed"] += 1
        FAILED.append("interrupted")
    for name in FAILED:
        print(f"FAILED {name}")
    tail = f", {COUNT['skipped']} skipped" if COUNT["skipped"] else ""
    say("done")
    print(f"{COUNT['passed']} passed, {COUNT['failed']} failed{tail}", flush=True)
    sys.exit(1 if COUNT["failed"] or not COUNT["passed"] else 0)
