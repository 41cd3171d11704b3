#!/usr/bin/env python3
"""`make lint`: clang-tidy over src/, and how `make fmt` would lay out what is not committed. Advice with an exit code; not part of make test."""
import json
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent


# clang 14 knows the zero of meson.build's -ftrivial-auto-var-init only with a flag that later ones refuse; any other value does for reading.
CLANG = "--extra-arg=-ftrivial-auto-var-init=pattern"


def tidy(path):
    r = subprocess.run(["clang-tidy", "--quiet", "-p", "build", CLANG, path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return r.stdout


def main():
    files = sorted({e["file"] for e in json.loads((ROOT / "build/compile_commands.json").read_text()) if "/src/" in os.path.abspath(ROOT / "build" / e["file"])})
    files = [str((ROOT / "build" / f).resolve()) for f in files if not f.endswith(".pb-c.c")]
    n = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for out in pool.map(tidy, files):
            if "warning:" in out or "error:" in out:
                n += out.count("warning:") + out.count("error:")
                print(out.strip())
    r = subprocess.run(["git", "clang-format", "--diff", "--extensions", "c,h", "HEAD", "--", "src", "tests", "bench"], cwd=ROOT, stdout=subprocess.PIPE,
                       text=True)
    differ = sum(line.startswith("+") and not line.startswith("+++") for line in r.stdout.splitlines())
    print(f"clang-tidy: {n} findings in {len(files)} files; make fmt would change {differ} lines")
    return 1 if n else 0


if __name__ == "__main__":
    sys.exit(main())
