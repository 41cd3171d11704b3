"""Argus's two clients as somebody else would write them: the reporter of a script (order, user agent, retries as observed of the
SDK) and an agent that starts and stops processes. requests and the standard library; nothing of ours."""
import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid

import requests


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Reporter:
    """One script's run: batch_start, jobs, batch_done, one POST each; asks now and then whether it shall stop."""
    UA = "argus-reporter/0.3.0 (+schema=1.1)"

    def __init__(self, base, token, batch, project="vision", host="gpu-1", user="ann", command="python train.py", stop_every=10):
        self.base, self.batch, self.stop_every = base, batch, stop_every
        self.s = requests.Session()
        self.s.headers.update({"Authorization": f"Bearer {token}", "User-Agent": self.UA})
        self.source = {"project": project, "host": host, "user": user, "commit": None, "command": command}
        self.stopped = threading.Event()
        self._end = threading.Event()

    def event(self, type, data=None, job=None, id=None):
        return {"event_id": id or str(uuid.uuid4()), "schema_version": "1.1", "event_type": type, "timestamp": now(),
                "batch_id": self.batch, "job_id": job, "source": self.source, "data": data or {}}

    def send(self, type, data=None, job=None, id=None):
        """As the SDK: 429 waits, 5xx tries again, other refusals are dropped (here: raised)."""
        e = self.event(type, data, job, id)
        for wait in (0.1, 0.3, 1, None):
            r = self.s.post(self.base + "/api/events", json=e, timeout=30)
            if r.status_code == 429:
                time.sleep(float(r.headers["Retry-After"]))
            elif r.status_code >= 500 and wait:
                time.sleep(wait)
            else:
                break
        r.raise_for_status()
        return r.json()

    def poll_stop(self):
        def loop():
            while not self._end.wait(self.stop_every):
                r = self.s.get(f"{self.base}/api/batches/{self.batch}/stop-requested", timeout=30)
                if r.ok and r.json().get("stop_requested"):
                    self.stopped.set()
                    return
        threading.Thread(target=loop, daemon=True).start()
        return self

    def close(self):
        self._end.set()


class Agent:
    """Polls, starts, stops. `extras` are our server's: exit reports and long polls."""

    def __init__(self, base, hostname, dir, extras=True, wait=2):
        self.base, self.hostname, self.dir, self.extras, self.wait = base, hostname, dir, extras, wait
        self.procs, self.done, self.seen, self.acks, self.codes = {}, {}, set(), [], []
        self._end = threading.Event()

    def register(self, token):
        r = requests.post(self.base + "/api/agents/register", headers={"Authorization": f"Bearer {token}"}, timeout=30,
                          json={"hostname": self.hostname, "version": "9.9", "capabilities": ["rerun", "stop"]})
        r.raise_for_status()
        got = r.json()
        self.id, self.token = got["agent_id"], got["agent_token"]
        self.h = {"Authorization": f"Bearer {self.token}"}
        return self

    def url(self, rest):
        return f"{self.base}/api/agents/{self.id}/{rest}"

    def poll(self, wait=0):
        r = requests.get(self.url("jobs"), headers=self.h, params={"wait": wait} if wait else None, timeout=60)
        self.codes.append(r.status_code)
        return r.json()["jobs"] if r.ok else []

    def ack(self, cmd, status, pid=None, error=None):
        r = requests.post(self.url(f"jobs/{cmd}/ack"), headers=self.h, json={"status": status, "pid": pid, "error": error}, timeout=30)
        self.acks.append((cmd, r.status_code))
        return r

    def exit(self, cmd, p, started, log):
        if self.extras:
            code = p.returncode
            with contextlib.suppress(requests.ConnectionError):  # the server went before us
                requests.post(self.url(f"jobs/{cmd}/exit"), headers=self.h, timeout=30, json={
                    "exit_code": code if code >= 0 else None, "signal": -code if code < 0 else None,
                    "runtime_s": time.monotonic() - started, "log_tail": log[-16384:]})

    def start(self, j):
        pl = j["payload"]
        if pl["cwd"] and not os.path.isdir(pl["cwd"]):
            self.ack(j["id"], "failed", error="stale_env_path")
            return
        env = dict(os.environ, **(pl["env"] or {}), ARGUS_BATCH_ID=j["batch_id"], ARGUS_URL=self.base)
        started = time.monotonic()
        p = subprocess.Popen(["/bin/sh", "-c", pl["command"]], cwd=pl["cwd"] or None, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, text=True)
        self.procs[j["batch_id"]] = p
        self.ack(j["id"], "started", p.pid)

        def reap():
            log, _ = p.communicate()
            self.exit(j["id"], p, started, log)
            self.done[j["batch_id"]] = p.returncode
        threading.Thread(target=reap, daemon=True).start()

    def stop(self, j, grace=1):
        p = self.procs.get(j["batch_id"])
        if not p or p.poll() is not None:
            self.ack(j["id"], "failed", error="not started by this agent")
            return
        os.killpg(p.pid, signal.SIGTERM)
        self.ack(j["id"], "started", p.pid)

        def escalate():
            try:
                p.wait(grace)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
        threading.Thread(target=escalate, daemon=True).start()

    def run(self):
        def loop():
            while not self._end.is_set():
                try:
                    for j in self.poll(self.wait if self.extras else 0):
                        if j["id"] in self.seen:
                            continue
                        self.seen.add(j["id"])
                        (self.start if j["kind"] == "rerun" else self.stop)(j)
                except requests.RequestException:
                    pass
                self._end.wait(0.05)
        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()
        return self

    def close(self):
        self._end.set()
        for p in self.procs.values():
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
