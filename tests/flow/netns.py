"""Network namespaces: each with a name of its own, however many runs share the machine or left some behind."""
import os
import secrets
import subprocess

import pytest


def sh(*cmd):
    return subprocess.run([str(c) for c in cmd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def why_not():
    """Why this machine gives us no network namespaces; "" if it does. Names have no part in it."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        r = sh("unshare", "-n", "ip", "link", "set", "lo", "up")
    except FileNotFoundError as e:
        return f"network namespaces need {e.filename}"
    return "" if r.returncode == 0 else f"no network namespaces here, though we are root: {r.stdout.strip()}"


def new(names=None):
    """Makes a namespace that nobody else has, and returns its name. Whoever may not is skipped; who may and fails has failed."""
    if why := why_not():
        pytest.skip(why)
    names = names or (f"mst-{os.getpid()}-{secrets.token_hex(3)}" for _ in range(100))
    for name in names:
        r = sh("ip", "netns", "add", name)
        if r.returncode == 0:
            return name
        assert "exists" in r.stdout, f"ip netns add {name}: {r.stdout}"
    raise AssertionError("every name was taken")


def free(*names):
    for name in names:
        sh("ip", "netns", "del", name)
