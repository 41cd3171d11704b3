#!/usr/bin/env python3
"""Prints the longest files and functions under src/; fails only at double the house's measure (600 and 60 lines).

Long tables are exempt: a function is what opens with '{' in column 0 after a line that ends in ')'."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE_MAX, FUNC_MAX = 600, 60
NAME = re.compile(r"(\w+)\s*\(")


def functions(lines):
    start = None
    head = ""
    for i, line in enumerate(lines):
        if start is None and line.rstrip() == "{" and i and not lines[i - 1].rstrip().endswith(("=", ",", ";")):
            j = i - 1
            while j > 0 and lines[j].startswith((" ", "\t")):
                j -= 1
            m = NAME.search(lines[j])
            start, head = i, m.group(1) if m else "?"
        elif start is not None and line.startswith("}"):
            yield head, i - start + 1
            start = None


def main():
    files, funcs = [], []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        lines = path.read_text().splitlines()
        rel = str(path.relative_to(ROOT))
        files.append((len(lines), rel))
        funcs += [(n, f"{rel}:{name}()") for name, n in functions(lines)]
    files.sort(reverse=True)
    funcs.sort(reverse=True)
    print(f"files over {FILE_MAX}: {sum(n > FILE_MAX for n, _ in files)} of {len(files)}; "
          f"functions over {FUNC_MAX}: {sum(n > FUNC_MAX for n, _ in funcs)} of {len(funcs)}")
    for n, what in files[:8] + funcs[:12]:
        print(f"{n:6} {what}")
    bad = [w for n, w in files if n > 2 * FILE_MAX] + [w for n, w in funcs if n > 2 * FUNC_MAX]
    for w in bad:
        print(f"too long (more than double): {w}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
