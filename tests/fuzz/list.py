"""Prints name:floor for each fuzz target here; the floor is in the target's first comment: "/* fuzz: codec"."""
import pathlib
import re

for p in sorted(pathlib.Path(__file__).parent.glob("fuzz_*.c")):
    m = re.search(r"/\* fuzz: (\w+)", p.read_text())
    print(f"{p.stem[5:]}:{m.group(1) if m else 'base'}")
