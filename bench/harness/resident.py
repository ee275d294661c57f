"""Memory of a standing proxy: idle, with idle connections, and in a mesh of thousands of services.

The last also times the first call to a service that the workload has not called before.
"""
import json
import random
import time

from .lab import BENCH
from .load import hold


def idle(lab, column, connections, slot=0):
    """One fresh start of a column in the one-hop scenario: (idle bytes, bytes with so many idle connections, if any)."""
    running = column.start(lab, "http", slot)
    held = None
    try:
        time.sleep(1.0)
        base = sum(p.rss_bytes() for p in running.counted())
        if not connections:
            return base, base
        held = hold(lab, running, connections)
        time.sleep(4.0)  # buffers that are given back late are given back: ours after one to three seconds
        return base, sum(p.rss_bytes() for p in running.counted())
    finally:
        lab.stop([held] if held else [])
        lab.stop(running.procs)


def scale(lab, ours, service_host, services, called=5, new=15, seed=1):
    """One fresh start in the big mesh: (resident bytes after calling a few, [seconds that a first call took more])."""
    order = random.Random(seed).sample(range(services), called + new)
    hosts = [service_host(i) for i in order]
    running = ours.start(lab, "scale", 0)
    try:
        calls(lab, running, hosts[:called])
        time.sleep(1.0)
        resident = sum(p.rss_bytes() for p in running.counted())
        return resident, [c["first"] - c["warm"] for c in calls(lab, running, hosts[called:])]
    finally:
        lab.stop(running.procs)


def calls(lab, running, hosts):
    """First and warm latency of each host over one keep-alive connection, in seconds."""
    out = lab.run(lab.client_ns, ["python3", BENCH / "harness" / "firstcall.py", running.ip, running.port, *hosts], 60)
    done = json.loads(out.strip().splitlines()[-1])
    bad = [c["host"] for c in done if c["bad"]]
    if bad:
        raise RuntimeError(f"calls failed: {', '.join(bad[:3])} of {len(done)} services ({done[0]['bad'] or ''})")
    return done
