"""What the measuring scripts share: reading a process' cost from /proc, and the rows of the table."""
import os
import pathlib
import statistics

ROWS = []
ABSENT = []


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core}) if (os.cpu_count() or 1) > 1 else None


def tree(pid):
    """@pid and everything below it."""
    found = [pid]
    for p in found:
        for task in pathlib.Path(f"/proc/{p}/task").iterdir():
            found += [int(c) for c in (task / "children").read_text().split()]
    return found


def smaps(*pids):
    """KB by name (Rss, Pss, Private_Dirty...), summed over @pids."""
    total = {}
    for pid in pids:
        for line in open(f"/proc/{pid}/smaps_rollup"):
            if line.endswith("kB\n"):
                k, v = line.split(":", 1)
                total[k] = total.get(k, 0) + int(v.split()[0])
    return total


def private_kb(pid):
    return sum(v for k, v in smaps(pid).items() if k in ("Private_Clean", "Private_Dirty"))


def cpu_s(*pids):
    """Processor seconds of all living threads of @pids, in nanosecond steps (utime and stime step by 10 ms, too coarse for an idle agent)."""
    return sum(int((t / "schedstat").read_text().split()[0]) for pid in pids for t in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def row(name, unit, values, goal, note=""):
    values = [v for v in values if v is not None]
    med = statistics.median(values)
    ROWS.append((name, unit, med, min(values), max(values), goal, note, len(values)))
    print(f"{name:58} {med:10.2f} {unit:8} (min {min(values):.2f}, max {max(values):.2f}, n {len(values)})  goal {goal}  {note}", flush=True)


def absent(name, reason):
    """A line in place of a row: what could not be measured, and why."""
    reason = " ".join(reason.split()).replace("|", "/")[:300]
    ABSENT.append((name, reason))
    print(f"{name}: not measured: {reason}", flush=True)


def number(v):
    """Three figures are enough for a table: 12.46 -> 12.5, 39980.4 -> 39,980."""
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}" if abs(v) >= 0.1 else f"{v:.3f}"


def markdown():
    out = ["| figure | median | min | max | unit | goal | n, note |", "|---|---|---|---|---|---|---|"]
    for name, unit, med, lo, hi, goal, note, n in ROWS:
        out.append(f"| {name} | **{number(med)}** | {number(lo)} | {number(hi)} | {unit} | {goal} | {n}{'; ' + note if note else ''} |")
    out += [f"| {name} | | | | | | not measured: {reason} |" for name, reason in ABSENT]
    return "\n".join(out) + "\n"
