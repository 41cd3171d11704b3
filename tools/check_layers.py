#!/usr/bin/env python3
"""Checks every #include under src/ against src/LAYERS: strictly down, vendor headers in their own folder only.

Exit 0 and one line when the house stands; 1 and one line per breach."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
# Headers of libraries that may be named in one folder only (prefix match).
VENDOR = ("uv.h", "openssl/", "nghttp2/", "http_parser.h", "llhttp.h", "wslay/", "sqlite3.h", "libpq-fe.h", "nats/",
          "jansson.h", "yaml.h", "zlib.h", "protobuf-c/", "libmnl/", "vterm.h", "crypt.h", "cmocka.h")
# Within a folder, further narrowed to these files.
ONLY_FILES = {("base", "openssl/"): {"crypto.c", "pki.c"}, ("base", "crypt.h"): {"crypto.c"}}
# libuv may also be named by agent/exec (house table).
SYSTEM_OK = {"pthread.h": {"base", "store", "net"}}


def read_layers():
    layers = {}
    for line in (SRC / "LAYERS").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, level, allowed, *vendor = re.split(r"\s{2,}", line.strip())
        layers[name] = {
            "level": None if level == "-" else int(level),
            "allowed": set() if allowed == "-" else set(allowed.split()),
            "vendor": [] if not vendor or vendor[0] == "-" else vendor[0].split(),
        }
    return layers


def check_order(layers):
    for name, row in layers.items():
        for other in row["allowed"]:
            if other not in layers:
                yield f"src/LAYERS: {name} names unknown folder {other}"
            elif row["level"] is not None and (layers[other]["level"] is None or layers[other]["level"] >= row["level"]):
                yield f"src/LAYERS: {name} (level {row['level']}) may not include {other}: not strictly below"


def check_file(path, folder, layers):
    row = layers[folder]
    where = path.relative_to(ROOT)
    for quote, target in INCLUDE.findall(path.read_text()):
        top = target.split("/")[0]
        if quote == '"' and "/" in target and top in layers:
            if top != folder and top not in row["allowed"]:
                yield f"{where}: includes {target}, but {folder} may include only: {' '.join(sorted(row['allowed'])) or 'nothing'}"
            elif top == folder and not (SRC / target).exists():
                yield f"{where}: includes {target}, which does not exist"
        for prefix in VENDOR:
            if not target.startswith(prefix):
                continue
            if prefix not in row["vendor"]:
                yield f"{where}: names {target}, which belongs to another folder"
            elif (folder, prefix) in ONLY_FILES and path.name not in ONLY_FILES[folder, prefix]:
                yield f"{where}: names {target}; in {folder} only {', '.join(sorted(ONLY_FILES[folder, prefix]))} may"
        if target in SYSTEM_OK and folder not in SYSTEM_OK[target]:
            yield f"{where}: names {target}: threads live in {', '.join(sorted(SYSTEM_OK[target]))}"


def main():
    layers = read_layers()
    breaches = list(check_order(layers))
    n = 0
    for path in sorted(SRC.rglob("*.[ch]")):
        folder = path.relative_to(SRC).parts[0]
        if folder not in layers:
            breaches.append(f"{path.relative_to(ROOT)}: folder {folder} is not in src/LAYERS")
            continue
        n += 1
        breaches += check_file(path, folder, layers)
    for b in breaches:
        print(b)
    if not breaches:
        print(f"layers: {n} files, no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
