"""Runs the curl examples of a page of docs/wire/: every ```sh block, in order, in one bash, against a server.

    from docs_examples import run_examples
    run_examples("sigma", server, {"KEY": "..."})

Each block must exit 0 (bash -e -o pipefail; curl's own exit code counts, so examples of refusals use plain curl, good ones curl -f).
Set for them: $BASE (http://...), $ADMIN (an API token of an administrator), and whatever @more names; jq and curl are there. Variables
that a block sets are there for those behind it. A block that begins with `# skip` is shown, not run."""
import os
import pathlib
import re
import subprocess

from conftest import ROOT, SLOW

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)


def blocks(dialect):
    """[(line number, text)] of the page's examples."""
    text = (ROOT / "docs/wire" / f"{dialect}.md").read_text()
    found = [(text.count("\n", 0, m.start()) + 2, m[1]) for m in BLOCK.finditer(text)]
    return [(line, body) for line, body in found if not body.startswith("# skip")]


def admin_token(server):
    """An administrator's API token (the server runs with --dev)."""
    return server.api("POST", "/api/v1/api-tokens", {"name": "examples", "role": "admin"}, expect=201).json()["token"]


def run_examples(dialect, server, more=None, base=None):
    """Runs them all; an AssertionError names the page's line. Returns how many ran."""
    page = blocks(dialect)
    assert page, f"docs/wire/{dialect}.md has no ```sh block"
    script = ["set -e -o pipefail"]
    for line, body in page:
        script += [f'LINE={line}', "echo \"--- line $LINE\" >&2", body]
    script.append("LINE=end")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_")}
    env.update({"BASE": base or server.url, "ADMIN": admin_token(server), "LC_ALL": "C.UTF-8", "HOME": str(server.dir)})
    env.update(more or {})
    work = pathlib.Path(server.dir) / "examples"
    work.mkdir(exist_ok=True)
    r = subprocess.run(["bash", "-c", 'trap \'r=$?; [ "$LINE" = end ] || echo "line $LINE: exit $r" >&2\' EXIT\n' + "\n".join(script)],
                       env=env, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=120 * SLOW)
    assert r.returncode == 0, f"docs/wire/{dialect}.md: {r.stdout.strip().splitlines()[-1]}\n{r.stdout[-4000:]}"
    return len(page)
