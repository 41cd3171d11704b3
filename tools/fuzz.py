#!/usr/bin/env python3
"""Runs every fuzz target for a while (libFuzzer, ASan, UBSan), starting from its corpus. New inputs stay in build-fuzz/corpus."""
import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def build(names):
    env = {**os.environ, "CC": "clang"}
    if not (ROOT / "build-fuzz/build.ninja").exists():
        subprocess.run(["meson", "setup", "build-fuzz", "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"],
                       cwd=ROOT, env=env, check=True)
    subprocess.run(["ninja", "-C", "build-fuzz", *[f"tests/fuzz/{n}" for n in names]], cwd=ROOT, check=True)


def fuzz(name, seconds):
    """One target for @seconds: its line, and its last words if it found something."""
    grown = ROOT / "build-fuzz/corpus" / name[5:]
    grown.mkdir(parents=True, exist_ok=True)
    r = subprocess.run([str(ROOT / "build-fuzz/tests/fuzz" / name), str(grown), str(ROOT / "tests/fuzz/corpus" / name[5:]),
                        f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                        f"-artifact_prefix={ROOT}/build-fuzz/{name}-"], cwd=ROOT, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, errors="replace")
    execs = [line.split()[-1] for line in r.stdout.splitlines() if "number_of_executed_units" in line]
    line = f"{name:28} {'FOUND SOMETHING' if r.returncode else 'ok'}  {execs[0] if execs else '?'} runs"
    return line, r.stdout[-3000:] if r.returncode else None


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=int, default=60, help="for each target")
    ap.add_argument("--only", default="", help="targets with this in their name")
    ap.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at once")
    args = ap.parse_args()
    names = [p.stem for p in sorted((ROOT / "tests/fuzz").glob("fuzz_*.c")) if args.only in p.stem]
    build(names)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for line, words in pool.map(lambda n: fuzz(n, args.seconds), names):
            print(line, flush=True)
            if words:
                print(words)
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
