#!/usr/bin/env python3
"""The clients of a broker that bench/peers.py measures: connects them all, says so, holds them, and times publishes.

    bench/peer_clients.py nats-server|mosquitto PORT N [DIR]      DIR: ca.pem, client.pem, client.key for mutual TLS

One line of JSON for each answer. A line on stdin (`publish`, `stamp`) is one publish of 200 bytes to all; the end of stdin ends it."""
import concurrent.futures
import contextlib
import gc
import json
import select
import socket
import ssl
import struct
import sys
import time

MARK = b"#%04d#"
SO_TIMESTAMPNS = 35


def mqtt(kind, body):
    return bytes([kind, len(body)]) + body if len(body) < 128 else bytes([kind, len(body) & 127 | 128, len(body) >> 7]) + body


def text(b):
    return len(b).to_bytes(2, "big") + b


HELLO = {"nats-server": lambda i: b'CONNECT {"verbose":false,"pedantic":false,"name":"c%d"}\r\nSUB all 1\r\nPING\r\n' % i,
         "mosquitto": lambda i: mqtt(0x10, text(b"MQTT") + b"\x04\x02\x0e\x10" + text(b"c%d" % i)) + mqtt(0x82, b"\x00\x01" + text(b"all") + b"\x00")}
READY = {"nats-server": lambda got: b"PONG" in got, "mosquitto": lambda got: b"\x90\x03\x00\x01" in got}
PUBLISH = {"nats-server": lambda data: b"PUB all %d\r\n%s\r\n" % (len(data), data), "mosquitto": lambda data: mqtt(0x30, text(b"all") + data)}


def connect(kind, port, i, context):
    """One client, connected and subscribed; a stalled one is tried again (mosquitto 2.0.11 stalls at times)."""
    for attempt in range(4):
        s = socket.create_connection(("127.0.0.1", port), timeout=10)
        try:
            got = b""
            if kind == "nats-server":
                while b"\r\n" not in got:
                    got += s.recv(4096) or b"\r\n"
            if context:
                s = context.wrap_socket(s)
            s.sendall(HELLO[kind](i))
            got = b""
            while not READY[kind](got):
                more = s.recv(4096)
                if not more:
                    raise OSError("closed by the server")
                got += more
            s.setblocking(False)
            return s
        except OSError as e:
            s.close()
            last = e
    raise last


def drain(s):
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        data = s.recv(65536)
        if not data:
            raise OSError("a client was closed by the server")
        if b"PING\r\n" in data:
            s.send(b"PONG\r\n")
        return data
    return b""


def hold(kind, port, n, tls=None):
    context = None
    if tls:
        context = ssl.create_default_context(cafile=f"{tls}/ca.pem")
        context.check_hostname = False
        context.load_cert_chain(f"{tls}/client.pem", f"{tls}/client.key")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        conns = list(pool.map(lambda i: connect(kind, port, i, context), range(n)))
    by_fd, ep = {s.fileno(): s for s in conns}, select.epoll()
    for fd in (0, *by_fd):
        ep.register(fd, select.EPOLLIN)
    gc.collect()
    gc.freeze()
    gc.disable()
    publisher = connect(kind, port, n, None) if not tls else None
    print('{"ready": true}', flush=True)
    rounds = 0
    while True:
        for fd, _ in ep.poll(1, 4096):
            if fd:
                drain(by_fd[fd])
                continue
            want = sys.stdin.readline().strip()
            if not want:
                return
            rounds += 1
            ms, missing = timed(kind, publisher, ep, by_fd, MARK % rounds, want == "stamp")
            drain(publisher)
            print(json.dumps({"ms": ms} if not missing else {"error": f"{missing} of {n} subscribers got nothing in 20 s"}), flush=True)


def timed(kind, publisher, ep, by_fd, mark, stamped):
    """One publish; milliseconds until the last subscriber has it, and how many never got it. Read by the clients, as our simulator reads
    (5 us each in this loop), or @stamped: when the kernel put it into the last subscriber's socket, with no cost of the client's."""
    for s in by_fd.values() if stamped else ():
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    missing, last, t0 = len(by_fd), 0, time.time_ns()
    end = time.monotonic() + 20
    publisher.sendall(PUBLISH[kind](b"x" * (200 - len(mark)) + mark))
    while missing and time.monotonic() < end:
        for fd, _ in ep.poll(1, 4096):
            if not fd:
                continue
            if stamped:
                data, extra, _, _ = by_fd[fd].recvmsg(4096, 64)
            else:
                data = by_fd[fd].recv(4096)
            if mark in data:
                missing -= 1
                if stamped:
                    sec, ns = struct.unpack("qq", extra[0][2])
                    last = max(last, sec * 10**9 + ns)
            elif data == b"PING\r\n":
                by_fd[fd].send(b"PONG\r\n")
    return ((last if stamped else time.time_ns()) - t0) / 1e6, missing


if __name__ == "__main__":
    try:
        hold(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:5])
    except Exception as why:
        print(json.dumps({"error": f"its clients: {why or type(why).__name__}"}), flush=True)
        sys.exit(1)
