#!/usr/bin/env python3
"""Runs every fuzz target for a while (libFuzzer, ASan, UBSan), starting from its corpus. New inputs stay in build-fuzz/corpus."""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seconds", type=int, default=60)
    ap.add_argument("--only", default="")
    args = ap.parse_args()
    env = {**os.environ, "CC": "clang"}
    if not (ROOT / "build-fuzz/build.ninja").exists():
        subprocess.run(["meson", "setup", "build-fuzz", "-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false"],
                       cwd=ROOT, env=env, check=True)
    names = [p.stem for p in sorted((ROOT / "tests/fuzz").glob("fuzz_*.c")) if args.only in p.stem]
    subprocess.run(["ninja", "-C", "build-fuzz", *[f"tests/fuzz/{n}" for n in names]], cwd=ROOT, check=True)
    bad = 0
    for n in names:
        grown = ROOT / "build-fuzz/corpus" / n[5:]
        grown.mkdir(parents=True, exist_ok=True)
        r = subprocess.run([str(ROOT / "build-fuzz/tests/fuzz" / n), str(grown), str(ROOT / "tests/fuzz/corpus" / n[5:]),
                            f"-max_total_time={args.seconds}", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1",
                            f"-artifact_prefix={ROOT}/build-fuzz/{n}-"], cwd=ROOT, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace")
        execs = [l.split()[-1] for l in r.stdout.splitlines() if "number_of_executed_units" in l]
        print(f"{n:28} {'ok' if r.returncode == 0 else 'FOUND SOMETHING'}  {execs[0] if execs else '?'} runs", flush=True)
        if r.returncode:
            print(r.stdout[-3000:])
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
