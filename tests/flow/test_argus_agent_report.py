"""argus-report against a strict server: its envelope, its spool, its exit codes."""
import json
import os
import subprocess
import threading
import time
import uuid

import pytest
from argus_mock import PARENT
from conftest import BUILD, SLOW, until
from test_argus_agent import certs, mocks  # noqa: F401 - fixtures


class Report:
    def __init__(self, dir, mock):
        self.home, self.mock = dir, mock
        self.env = {"HOME": str(dir), "ARGUS_URL": mock.url, "ARGUS_TOKEN": PARENT, "ARGUS_BATCH_ID": "b-1", "ARGUS_PROJECT": "vision"}

    spool = property(lambda s: sorted((s.home / ".argus-reporter").glob("*.jsonl")))

    def argv(self, *args):
        return [str(BUILD / "muster-agent"), "argus-report", *map(str, args)]

    def full(self, env=None):
        env = {**{k: v for k, v in os.environ.items() if not k.startswith(("MUSTER_", "ARGUS_"))}, **self.env, **(env or {})}
        return {k: v for k, v in env.items() if v is not None}

    def __call__(self, *args, input="", code=0, env=None):
        r = subprocess.run(self.argv(*args), env=self.full(env), input=input, text=True, capture_output=True, timeout=60 * SLOW)
        assert r.returncode == code, f"{args}: {r.returncode}\n{r.stdout}\n{r.stderr}"
        return r


@pytest.fixture
def report(mocks, tmp):  # noqa: F811
    return Report(tmp, mocks())


def test_an_event_has_exactly_the_envelope(report):
    report("event", "--type", "job_epoch", "--job", "j1", "--data", '{ "epoch": 1, "x": {"й": [1, 2.5, null]} }')
    report("event", "--type", "batch_start", "--batch", "b-2", "--project", "p", "--host", "h", "--user", "u", "--commit", "c0ffee",
           "--command", "python train.py", "--event-id", "11111111-1111-4111-8111-111111111111")
    one, two = report.mock.events.values()
    assert uuid.UUID(one["event_id"]) and one["schema_version"] == "1.1" and one["job_id"] == "j1" and one["batch_id"] == "b-1"
    assert one["data"] == {"epoch": 1, "x": {"й": [1, 2.5, None]}} and one["source"]["project"] == "vision"
    assert one["source"]["host"] == os.uname().nodename and one["source"]["user"]
    assert two["event_id"] == "11111111-1111-4111-8111-111111111111" and two["job_id"] is None and two["data"] == {}
    assert two["source"] == {"project": "p", "host": "h", "user": "u", "commit": "c0ffee", "command": "python train.py"}
    assert not report.spool


def test_data_from_standard_input(report):
    report("event", "-t", "log_line", "-d", "-", input='{"line":\n "x"}\n')
    assert [e["data"] for e in report.mock.events.values()] == [{"line": "x"}]


@pytest.mark.parametrize("args", [[], ["fly"], ["event"], ["event", "-t", "dance"], ["event", "-t", "job_done"], ["event", "-t", "log_line", "-d", "{"],
                                  ["event", "-t", "log_line", "-d", "[1]"], ["event", "-t", "log_line", "--token", "x"], ["event", "more"],
                                  ["stopped", "--interval", "never"]])
def test_usage_mistakes_are_exit_2_and_send_nothing(report, args):
    report(*args, code=2)
    assert not report.mock.events and not report.spool


def test_what_an_event_needs(report):
    report("event", "-t", "log_line", code=2, env={"ARGUS_BATCH_ID": None})
    report("event", "-t", "log_line", code=2, env={"ARGUS_PROJECT": None})
    report("event", "-t", "log_line", code=2, env={"ARGUS_URL": None})
    r = report("event", "-t", "log_line", code=3, env={"ARGUS_TOKEN": None})
    assert "ARGUS_TOKEN" in r.stderr
    report("event", "-t", "log_line", code=4, env={"ARGUS_URL": "http://192.0.2.1"})
    assert not report.mock.events and not report.spool


def test_a_token_from_a_file(report, tmp):
    (tmp / "t").write_text(PARENT + "\n")
    report("event", "-t", "log_line", "--token-file", tmp / "t", env={"ARGUS_TOKEN": "wrong"})
    report("event", "-t", "log_line", env={"ARGUS_TOKEN": None, "ARGUS_TOKEN_FILE": str(tmp / "t")})
    assert len(report.mock.events) == 2


def test_a_wrong_token_is_exit_3_and_the_event_is_dropped(report):
    r = report("event", "-t", "log_line", code=3, env={"ARGUS_TOKEN": "em_live_wrong"})
    assert "em_live_wrong" not in r.stderr and not report.spool


def test_a_refused_event_is_exit_1_and_is_not_kept(report):
    report.mock.fail.append(("/api/events", 422, {}))
    report("event", "-t", "log_line", code=1)
    assert not report.spool and not report.mock.events


def test_events_wait_for_a_server_that_is_away_and_keep_their_order(report):
    report.mock.stop()
    for i in range(3):
        r = report("event", "-t", "log_line", "-d", json.dumps({"n": i}))
        assert "kept for later" in r.stderr
    assert len(report.spool) == 1
    f = report.spool[0]
    assert f.stat().st_mode & 0o777 == 0o600 and f.parent.stat().st_mode & 0o777 == 0o700
    kept = [json.loads(line) for line in f.read_text().splitlines()]
    assert [e["data"]["n"] for e in kept] == [0, 1, 2] and PARENT not in f.read_text()
    report.mock.start()
    report("event", "-t", "log_line", "-d", '{"n": 3}')
    assert [e["data"]["n"] for e in report.mock.events.values()] == [0, 1, 2, 3]
    assert not report.spool
    assert set(report.mock.events) >= {e["event_id"] for e in kept}


def test_a_spool_belongs_to_one_server(report, mocks):  # noqa: F811
    other = mocks()
    report.mock.stop()
    report("event", "-t", "log_line")
    report("event", "-t", "batch_done", env={"ARGUS_URL": other.url})
    assert [e["event_type"] for e in other.events.values()] == ["batch_done"] and len(report.spool) == 1
    report.mock.start()
    report("flush")
    assert [e["event_type"] for e in report.mock.events.values()] == ["log_line"]


def test_a_sender_that_was_killed_left_its_file_and_it_is_sent(report):
    report.mock.stop()
    for _ in range(2):
        report("event", "-t", "log_line")
    f = report.spool[0]
    f.rename(f.with_name(f.name.replace(".jsonl", ".sending.jsonl")))
    report("event", "-t", "batch_done")
    report.mock.start()
    report("flush")
    assert [e["event_type"] for e in report.mock.events.values()] == ["log_line", "log_line", "batch_done"] and not report.spool


def test_5xx_is_tried_again_and_429_waits(report):
    report.mock.fail += [("/api/events", 503, {}), ("/api/events", 500, {}), ("/api/events", 429, {"Retry-After": "1"})]
    began = time.monotonic()
    report("event", "-t", "log_line")
    assert time.monotonic() - began >= 1.3 and len(report.mock.events) == 1
    report.mock.fail += [("/api/events", 503, {})] * 4
    assert "kept" in report("event", "-t", "log_line").stderr
    report.mock.fail.append(("/api/events", 429, {"Retry-After": "3600"}))
    assert "kept" in report("event", "-t", "log_line").stderr
    report("flush")
    assert len(report.mock.events) == 3


def test_events_of_standard_input(report):
    lines = [{"event_type": "job_start", "job_id": f"j{i}", "data": {"i": i}} for i in range(250)]
    lines[7]["batch_id"], lines[7]["timestamp"], lines[7]["source"] = "other", "2026-01-02T03:04:05Z", {"project": "q", "host": "elsewhere"}
    text = "\n".join(json.dumps(x) for x in lines)
    r = report("events", input=text + "\n\n", env={"ARGUS_JOB_ID": "unused"})
    assert r.stderr == "" and len(report.mock.events) == 250
    got = list(report.mock.events.values())
    assert [e["data"]["i"] for e in got] == list(range(250))
    assert got[7]["batch_id"] == "other" and got[7]["timestamp"] == "2026-01-02T03:04:05Z" and got[7]["source"]["host"] == "elsewhere"
    assert len([q for q in report.mock.requests if q[1] == "/api/events/batch"]) == 3


def test_lines_that_are_no_events_are_named_and_cost_no_others(report):
    r = report("events", "-t", "log_line", input='{"data": {"n": 1}}\nnonsense\n{"unknown": 1}\n{"event_type": "dance"}\n{"data": {"n": 2}}', code=2)
    assert [f"argus-report: line {n}:" in r.stderr for n in (1, 2, 3, 4, 5)] == [False, True, True, True, False]
    assert [e["data"]["n"] for e in report.mock.events.values()] == [1, 2]


def test_one_event_that_a_server_refuses_takes_no_others_with_it(report):
    bad = str(uuid.uuid4())
    lines = [{"event_type": "log_line", "event_id": bad if i == 5 else str(uuid.uuid4()), "timestamp": "2026-01-02T03:04:05Z"} for i in range(11)]
    check = report.mock.check_event
    report.mock.check_event = lambda doc: (422, [{"msg": "no"}]) if doc["event_id"] == bad else check(doc)
    r = report("events", input="\n".join(map(json.dumps, lines)), code=1)
    assert len(report.mock.events) == 10 and bad in r.stderr
    # a server that refuses the whole of such a batch
    batch = report.mock.event_batch
    report.mock.events.clear()
    report.mock.event_batch = lambda body: (422, {"detail": []}, {}) if bad.encode() in body else batch(body)
    report("events", input="\n".join(map(json.dumps, lines)), code=1)
    assert len(report.mock.events) == 10


def test_a_pipe_that_pauses_is_sent_meanwhile(report):
    p = subprocess.Popen(report.argv("events"), env=report.full(), stdin=subprocess.PIPE, text=True)
    try:
        p.stdin.write('{"event_type": "batch_start"}\n{"event_type":')
        p.stdin.flush()
        until(lambda: len(report.mock.events) == 1, what="the first one")
        p.stdin.write(' "batch_done"}')
        p.stdin.close()
        assert p.wait(30) == 0 and len(report.mock.events) == 2
    finally:
        p.kill()
        p.wait()


def test_stopped_says_it_by_its_exit_code(report):
    report("event", "-t", "batch_start")
    assert report("stopped", code=1).stdout == "go on\n"
    report.mock.stops.add("b-1")
    assert report("stopped").stdout == "stop requested\n"
    assert report("stopped", "--quiet").stdout == ""
    report("stopped", "-b", "unknown", code=5)
    report("stopped", code=3, env={"ARGUS_TOKEN": "em_live_wrong"})
    report("stopped", code=2, env={"ARGUS_BATCH_ID": None})
    report.mock.stop()
    report("stopped", code=5)
    report.mock.start()


def test_a_batch_of_any_name_can_be_asked_about(report):
    report("event", "-t", "batch_start", "-b", "a/b c?d#é%")
    report("stopped", "-b", "a/b c?d#é%", code=1)


def test_wait_stopped(report):
    report("event", "-t", "batch_start")
    report("wait-stopped", "--timeout", "300ms", "--interval", "100ms", code=1)
    p = subprocess.Popen(report.argv("wait-stopped", "--interval", "100ms"), env=report.full())
    try:
        until(lambda: len([q for q in report.mock.requests if "stop-requested" in q[1]]) > 6, what="some questions")
        assert p.poll() is None
        report.mock.stops.add("b-1")
        assert p.wait(30) == 0
    finally:
        p.kill()
        p.wait()
    report("wait-stopped", "--timeout", "5s", code=3, env={"ARGUS_TOKEN": "em_live_wrong"})


def test_many_at_once_lose_nothing(report):
    report.mock.stop()
    threads = [threading.Thread(target=report, args=("event", "-t", "log_line")) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    report.mock.start()
    threads = [threading.Thread(target=report, args=("event", "-t", "log_line")) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    report("flush")
    assert len(report.mock.events) == 16 and not report.spool


def test_the_token_is_sent_nowhere_else(report, mocks, certs):  # noqa: F811
    plain, tls = mocks(), mocks(tls=certs)
    env = {"ARGUS_URL": tls.url, "ARGUS_CA_FILE": str(certs[0])}
    tls.fail.append(("/api/events", 307, {"Location": plain.url + "/api/events"}))
    r = report("event", "-t", "log_line", env=env)
    assert "redirect" in r.stderr and plain.requests == []
    report("flush", env=env)
    assert len(tls.events) == 1
    report("event", "-t", "log_line", env={"ARGUS_URL": tls.url})  # not trusted: kept
    assert len(tls.events) == 1 and plain.requests == []
