"""Calls that write, counted at the kernel while a standing column is under a load."""
import shutil
import signal
import subprocess
import time

CALLS = ("write", "writev", "sendto", "sendmsg", "sendmmsg")


def countable():
    """Whether perf is there and may count system calls here."""
    if not shutil.which("perf"):
        return False
    return subprocess.run(["perf", "stat", "-x,", "-e", EVENTS, "--", "true"], capture_output=True).returncode == 0


EVENTS = ",".join(f"syscalls:sys_enter_{call}" for call in CALLS)


def per_request(lab, running, load):
    """Calls of each counted process (client's side first) for each request that `load()` made."""
    counters, files = [], []
    for p in running.counted():
        files.append(lab.work / f"writes-{p.pid}")
        counters.append(subprocess.Popen(["perf", "stat", "-x,", "-e", EVENTS, "-p", str(p.pid), "-o", files[-1]],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    time.sleep(0.5)
    try:
        sent = load()
    finally:
        for c in counters:
            c.send_signal(signal.SIGINT)
            c.wait()
    return [total(f.read_text()) / sent.sent for f in files]


def total(text):
    """The sum of the counts in what `perf stat -x,` wrote."""
    first = (line.split(",")[0] for line in text.splitlines() if "sys_enter" in line)
    return sum(int(n) for n in first if n.isdigit())
