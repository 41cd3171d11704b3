#!/usr/bin/env python3
"""Turns migrations/NNN_*.sql into one C file: embed_sql.py OUTPUT FILE..."""
import os
import sys


def quoted(line):
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'


rows = []
for path in sorted(sys.argv[2:], key=os.path.basename):
    number = int(os.path.basename(path).split("_")[0])
    if number != len(rows) + 1:
        sys.exit(f"{path}: expected number {len(rows) + 1:03}")
    with open(path, encoding="utf-8") as f:
        body = "\n".join("      " + quoted(line.rstrip("\n")) for line in f if line.strip())
    rows.append(f'    {{ {number}, "{os.path.basename(path)}",\n{body} }},')
with open(sys.argv[1], "w", encoding="utf-8") as f:
    f.write("/* made by embed_sql.py */\n#include \"store/schema.h\"\n\n")
    f.write("const struct migration store__migrations[] = {\n" + "\n".join(rows) + "\n    { 0, NULL, NULL },\n};\n")
