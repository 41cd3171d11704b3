#!/usr/bin/env python3
"""Checks the papers: links lead somewhere, decision pages are numbered once, generated pages are what the programs print.

`--write` regenerates docs/man/* from the programs' option tables (needs a build)."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("MUSTER_BUILD", ROOT / "build"))
MAN = {"musterd": 8, "muster-agent": 8, "muster": 1, "fleetsim": 1}
# Personalities of the agent that have a page: the word they are called by, and its section.
WORDS = {"sigma-agent": ("sigma", 8), "grapheon-agent": ("grapheon", 8), "argus-agent": ("argus", 8), "argus-report": ("argus-report", 1)}
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def links():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if not page.exists():
            continue
        for target in LINK.findall(page.read_text()):
            if "://" in target or target.startswith("mailto:"):
                continue
            if not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)}: link to {target} leads nowhere"


def decisions():
    seen = {}
    for page in sorted((ROOT / "docs/decisions").glob("*.md")):
        num = page.name[:4]
        if not num.isdigit():
            yield f"{page.name}: decision pages start with four digits"
        elif num in seen:
            yield f"{page.name} and {seen[num]} share a number"
        seen[num] = page.name
        text = page.read_text()
        for word in ("Context", "Choice", "Rejected", "Consequences"):
            if word.lower() not in text.lower():
                yield f"{page.name}: says nothing under {word}"


def manuals(write):
    for prog, section in [*MAN.items(), *((p, s) for p, (_, s) in WORDS.items())]:
        exe, page = BUILD / ("muster-agent" if prog in WORDS else prog), ROOT / "docs/man" / f"{prog}.{section}"
        if not exe.exists():
            continue
        text = subprocess.run([str(exe), *(WORDS[prog][:1] if prog in WORDS else []), "--man"], stdout=subprocess.PIPE, text=True, timeout=20, stdin=subprocess.DEVNULL).stdout
        if write:
            page.parent.mkdir(exist_ok=True)
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            yield f"docs/man/{page.name} is stale: run tools/check_docs.py --write"


def main():
    bad = [*links(), *decisions(), *manuals("--write" in sys.argv)]
    print("\n".join(bad) if bad else "docs: links, decisions and manual pages are true")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
