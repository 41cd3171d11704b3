"""Run as root inside a network namespace of its own: makes interfaces, neighbours, routes and sockets, and prints what the agent sees by netlink and
by the tools. See test_grapheon_netns.py."""
import json
import os
import pathlib
import resource
import socket
import subprocess
import sys
import tempfile
import time

from grapheon_mock import Mock

agent, *more = sys.argv[1:]  # others of whom only what they see by netlink is asked


def sh(line):
    subprocess.run(["sh", "-ec", line], check=True)


sh("ip link set lo up")
sh("ip link add veth0 type veth peer name veth1 && ip link set veth0 up && ip link set veth1 up")
sh("ip addr add 192.0.2.5/24 dev veth0 && ip addr add 2001:db8::5/64 dev veth0 nodad && ip addr add 198.51.100.7 peer 198.51.100.8/32 dev veth1")
sh("ip link add bare0 type veth peer name bare1")
sh("ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev veth0 nud stale && ip neigh add 192.0.2.78 dev veth0 nud failed")
sh("ip neigh add 192.0.2.79 lladdr 02:00:00:00:00:79 dev veth0 nud permanent && ip neigh add 192.0.2.80 lladdr 02:00:00:00:00:80 dev veth0 nud noarp")
sh("ip neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev veth0 nud reachable; ip neigh add proxy 192.0.2.90 dev veth0")
sh("ip route add default via 192.0.2.1 dev veth0 src 192.0.2.5 && ip route add 203.0.113.0/25 via 192.0.2.2 dev veth0 metric 5")
sh("ip route add 203.0.113.200 dev veth0 && ip route add unreachable 10.0.0.0/8 && ip route add blackhole 10.1.2.3")
sh("ip route add 172.16.0.0/12 nexthop via 192.0.2.1 dev veth0 nexthop via 192.0.2.2 dev veth0 && ip route add 100.64.0.0/10 table 77 via 192.0.2.1")
sh("ip tunnel add gre9 mode gre remote 192.0.2.99 local 192.0.2.5 2>/dev/null && ip addr add 10.9.9.1/30 dev gre9 || true")

keep = []


def listen(family, kind, address, only=None):
    s = socket.socket(family, kind)
    if only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    s.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        s.listen(5)
    keep.append(s)
    return s


for address in ("0.0.0.0", "127.0.0.1", "192.0.2.5"):
    listen(socket.AF_INET, socket.SOCK_STREAM, address)
    listen(socket.AF_INET, socket.SOCK_DGRAM, address)
for address in ("::", "::1", "2001:db8::5"):
    for only in (0, 1):
        listen(socket.AF_INET6, socket.SOCK_STREAM, address, only)
        listen(socket.AF_INET6, socket.SOCK_DGRAM, address, only)
dual = listen(socket.AF_INET6, socket.SOCK_STREAM, "::", 0)
for to in ("127.0.0.1", "::1"):  # the first is v4-mapped at the listener's end
    c = socket.create_connection((to, dual.getsockname()[1]))
    keep += [c, dual.accept()[0]]
waiting = socket.create_connection(("127.0.0.1", dual.getsockname()[1]))  # one that has said goodbye
other = dual.accept()[0]
waiting.close()
other.close()
half = socket.create_connection(("127.0.0.1", dual.getsockname()[1]))
keep += [half, dual.accept()[0]]
half.shutdown(socket.SHUT_WR)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("192.0.2.5", 53))
keep.append(udp)
deadline = time.monotonic() + 30  # goodbyes are answered when the kernel comes to it
while not {"TIME-WAIT", "FIN-WAIT-2"} <= set(subprocess.run(["ss", "-Htan"], capture_output=True, text=True, check=True).stdout.split()):
    assert time.monotonic() < deadline, "a connection is still saying goodbye"
    time.sleep(0.01)
shared = subprocess.Popen(["sleep", "600"], pass_fds=[keep[0].fileno()])  # two owners


def report(how, state, program=agent, *flags):
    r = subprocess.run([program, "grapheon", "--config", "/nonexistent", "--state-dir", state, "--collector", how, "--print-report", *flags], capture_output=True, text=True,
                       check=True, env={"PATH": os.environ["PATH"]})
    return json.loads(r.stdout)


def extended(state):
    """What upstream's rows lose: routes of IPv6, of other tables, with next hops, gateways of the other family; sockets with a scope or a device."""
    sh("ip route add 198.18.0.0/15 via inet6 fe80::9 dev veth0 metric 7 && ip -6 route add default via 2001:db8::1 metric 50 && ip -6 route add default dev veth1 table 78")
    sh("ip -6 route add 2001:db8:7::/48 nexthop via 2001:db8::1 nexthop via 2001:db8::2 weight 3 && ip -6 route add unreachable 2001:db8:8::/48 && ip -6 route add unreachable default metric 9999 && ip route add prohibit 10.4.0.0/16 table 77 && ip route add throw 10.5.0.0/16 && ip -6 route add 2001:db8:9::1 dev veth1")
    sh("ip route add 198.51.100.128/25 nexthop via 192.0.2.1 dev veth0 weight 2 nexthop via inet6 fe80::9 dev veth0 && ip addr add fe80::77/64 dev veth0 nodad")
    index = socket.if_nametoindex("veth0")
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(socket.AF_INET6, kind)
        s.bind(("fe80::77", 4711, 0, index))
        keep.append(s)
        for family in (socket.AF_INET, socket.AF_INET6):
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"veth0")
            s.bind(("", 4712 if family == socket.AF_INET else 4713))
            keep.append(s)
    for s in keep[-6:-3]:
        s.listen(5)
    for _ in range(20):  # addresses may still be under way
        seen = {how: report(how, state, agent, "--extended-rows") for how in ("netlink", "commands")}
        if report("netlink", state, agent, "--extended-rows")["routes"] == seen["netlink"]["routes"]:
            return seen
    raise AssertionError("the routes do not come to rest")


def cpu(state):
    """Of a whole run: rows, delta, report, state."""
    mock = Mock()
    mock.refuse_wildcards = False
    api = lambda path, body: mock.console("POST", path, {}, body)[1]  # noqa: E731
    policy = api("/policies", {"name": "p", "jitter_seconds": 0})["id"]
    key = api("/enrollment-keys", {"name": "k", "default_policy_id": policy, "auto_approve": True})["enrollment_key"]
    run = [agent, "grapheon", "--config", "/nonexistent", "--state-dir", state, "--server-url", mock.url]
    subprocess.run([*run, "--enrollment-key", key, "--register-only"], check=True, stderr=subprocess.DEVNULL)
    best = 9.0
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*run, "--force"], check=True, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


try:
    with tempfile.TemporaryDirectory() as d:
        print(json.dumps({"netlink": report("netlink", d), "commands": report("commands", d), "more": [report("netlink", d, m) for m in more], "cpu": cpu(d), "pids": [os.getpid(), shared.pid],
                          "shared_port": keep[0].getsockname()[1], "extended": extended(d), "tools": subprocess.run(["ss", "-tunapH"], capture_output=True, text=True).stdout}))
finally:
    shared.kill()
