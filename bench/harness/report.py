"""What is kept of a run: the machine, the versions, every column's figures, the rows."""
import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path

from .lab import BENCH
from .measure import quartiles
from .rows import number

ROOT = BENCH.parent


def said(*argv):
    """First output of a command (either stream), or why there is none."""
    try:
        done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        return done.stdout.strip()
    except OSError as e:
        return f"not available ({e.strerror})"


def commit():
    """Short commit and whether the tree has changes that it does not hold."""
    head = said("git", "-C", ROOT, "rev-parse", "--short", "--verify", "-q", "HEAD")
    dirty = said("git", "-C", ROOT, "status", "--porcelain", "--", ".", ":!bench/results")
    return (head if re.fullmatch(r"[0-9a-f]{4,40}", head) else "uncommitted"), bool(dirty)


def machine(peers, head, dirty):
    """Name and value pairs that a reader needs to place the figures."""
    cpu = dict(re.findall(r"^(model name|cpu family|model|cpu MHz|cache size)\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M))
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) / 1024 / 1024
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', Path("/etc/os-release").read_text(), re.M)) if Path("/etc/os-release").exists() else {}
    envoy, nginx, haproxy = (peers[n].binary for n in ("envoy", "nginx", "haproxy"))
    floor_lock = (BENCH / "floor" / "Cargo.lock").read_text()
    crate = lambda n: re.search(rf'name = "{n}"\nversion = "(.*?)"', floor_lock)[1]
    return [
        ("date", datetime.datetime.now().astimezone().isoformat(timespec="seconds")),
        ("commit", head + (" with uncommitted changes" if dirty else "")),
        ("CPU", f"{cpu.get('model name', platform.machine())}, family {cpu.get('cpu family', '?')} model {cpu.get('model', '?')}, {cpu.get('cpu MHz', '?')} MHz, {cpu.get('cache size', '?')} cache"),
        ("CPUs", f"{os.cpu_count()} ({platform.machine()}), {said('systemd-detect-virt') or 'virtualisation unknown'}"),
        ("memory", f"{memory:.1f} GiB"),
        ("system", f"{release.get('PRETTY_NAME', '?')}, kernel {platform.release()}"),
        ("load average at the start", " ".join(f"{x:.2f}" for x in os.getloadavg())),
        ("rustc", said("rustc", "--version")),
        ("envoy", first(r"version: (\S+)", said(envoy, "--version")) if envoy else "not installed"),
        ("nginx", first(r"nginx/(\S+)", said(nginx, "-v")) if nginx else "not installed"),
        ("haproxy", first(r"version (\S+)", said(haproxy, "-v")) if haproxy else "not installed"),
        ("floor", ", ".join(f"{n} {crate(n)}" for n in ("hyper", "hyper-util", "tokio", "rustls", "aws-lc-rs"))),
        ("generators", "wrk " + first(r"wrk (?:debian/)?(\S+)", said("wrk", "-v")) + ", floor gen, cps and hold"),
    ]


def first(pattern, text):
    found = re.search(pattern, text)
    return found[1] if found else (text.splitlines() or ["?"])[0]


def column_table(title, rounds, bulk=False):
    """Medians and quartiles of every column of one load, as Markdown."""
    units = "bytes/s | CPU s a GB" if bulk else "requests/s | CPU s a million"
    names = list(dict.fromkeys(s.column for samples in rounds for s in samples))
    lines = [f"### {title}", "", f"| column | {units} | of it each process | p50 µs | p99 µs | RSS MB | runs |", "|" + "---|" * 8]
    for name in names:
        all_runs = [s for samples in rounds for s in samples if s.column == name]
        good = [s for s in all_runs if s.ok()]
        if not good:
            lines.append(f"| {name} | not measured: {all_runs[0].error.splitlines()[0]} |  |  |  |  |  | 0 of {len(all_runs)} |")
            continue
        split = " + ".join(number(quartiles([s.split[i] for s in good])[1]) for i in range(len(good[0].split))) or "–"
        rss = " + ".join(number(quartiles([s.rss[i] for s in good])[1] / 1e6) for i in range(len(good[0].rss))) or "–"
        lines.append(f"| {name} | {cell([s.load['per_second'] for s in good])} | {cell([s.cpu for s in good if s.cpu])} | {split} | "
                     f"{cell([s.load['p50'] for s in good if s.load['p50']])} | {cell([s.load['p99'] for s in good if s.load['p99']])} | {rss} | "
                     f"{len(good)} of {len(all_runs)} |")
    return "\n".join(lines)


def cell(values):
    if not values:
        return "–"
    low, mid, high = quartiles(values)
    show = lambda x: f"{x:,.0f}" if x >= 1000 else number(x)
    return f"{show(mid)} ({show(low)}–{show(high)})"


def noise(all_rounds):
    """One sentence on who else used the proxies' CPU while they were measured."""
    shares = [s.foreign for rounds in all_rounds for samples in rounds for s in samples if s.ok() and s.split]
    steal = sum(s.steal for rounds in all_rounds for samples in rounds for s in samples if s.ok())
    if not shares:
        return "nothing was measured"
    low, mid, high = quartiles(shares)
    return (f"share of the time in which the proxies' CPU was busy with other work (kernel work in nobody's name included): "
            f"median {mid:.1%}, upper quartile {high:.1%}, most {max(shares):.1%}; taken by the hypervisor: {steal:.1f} s in all")


def write(folder, head, facts, options, tables, noise_line, rows, raw):
    """YYYY-MM-DD-<commit>.md, and the samples beside it as JSON; gives the first's path."""
    chosen = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in options.items())
    Path(folder).mkdir(parents=True, exist_ok=True)
    path = Path(folder) / f"{datetime.date.today().isoformat()}-{head}.md"
    text = [f"# Bench of {datetime.date.today().isoformat()}, commit {head}", "",
            "Ratios are of runs seconds apart (see bench/README.md); every figure is median (lower–upper quartile).", "",
            "```", *rows, "```", "", "## Machine and versions", "", "| what | |", "|---|---|", *[f"| {k} | {v} |" for k, v in facts], "",
            f"Measured with {chosen}. {noise_line[0].upper()}{noise_line[1:]}.", "", "## Every column", "", "\n\n".join(tables), ""]
    path.write_text("\n".join(text))
    path.with_suffix(".json").write_text(json.dumps(raw, separators=(",", ":")))
    return path
