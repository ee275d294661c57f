"""How the rows are measured: which loads share standing columns, and the interleaved rounds.

All columns of a scenario stand side by side, idle but for the one under load, so that A B C A B C follow each
other within seconds. They are started anew for each set of rounds: how a process lies in memory
moves its cost by some per cent, and that chance must be drawn more than once.
"""
import time
from dataclasses import dataclass

from . import load, writes
from .measure import Sample, measure


@dataclass
class Options:
    """`rounds` of throughput, `seconds` each, `sets` of fresh starts they are spread over; the same for latency."""
    rounds: int = 12
    seconds: float = 2
    sets: int = 3
    latency_rounds: int = 5
    latency_seconds: int = 10
    warm_seconds: int = 1
    memory_starts: int = 5
    scale_starts: int = 3
    idle_connections: int = 1000


def loads(o):
    """Load by key: (lab, running) -> Load."""
    return {
        "c16": lambda lab, r: load.wrk(lab, r, 16, o.seconds),
        "c64": lambda lab, r: load.wrk(lab, r, 64, o.seconds),
        "short": lambda lab, r: load.short(lab, r, 16, o.seconds),
        "r1000": lambda lab, r: load.open_loop(lab, r, 16, 1000, o.latency_seconds),
    }


# (scenario, load keys that share the standing columns, latency?)
GROUPS = [("http", ["c64"], False), ("mesh_h1", ["c16", "c64"], False), ("mesh_h2", ["c16", "c64"], False),
          ("tcp_mtls", ["c64", "short"], False), ("mesh_h1", ["r1000"], True)]
# With an older build beside: what it is not held to against others.
OLDER_GROUPS = [("mesh_h2", ["r1000"], True)]
# Where the calls that write are counted.
COUNTED = "mesh_h2"


def run_group(lab, columns, scenario, keys, rounds, sets, o, say, counts=None):
    """Interleaved rounds; gives {key: [[Sample of each column] of each round]}. `counts`, if given, gets the calls
    that write for a request: {(key, column): [[of each process] of each set]}."""
    done = {k: [] for k in keys}
    how = loads(o)
    sets = min(sets, rounds)
    for s in range(sets):
        standing, failed = stand(lab, columns, scenario, say)
        try:
            for running in standing:
                if running.procs:
                    measure(running, lambda r=running: load.wrk(lab, r, 16, o.warm_seconds))
            for _ in range(rounds // sets + (s < rounds % sets)):
                for key in keys:
                    samples = [measure(r, lambda r=r, k=key: how[k](lab, r)) for r in standing]
                    done[key].append(samples + failed)
                    say(scenario, key, len(done[key]), rounds, samples)
            for running in standing if counts is not None else []:
                for key in keys if running.procs else []:
                    got = writes.per_request(lab, running, lambda r=running, k=key: how[k](lab, r))
                    counts.setdefault((key, running.name), []).append(got)
        finally:
            for running in standing:
                lab.stop(running.procs)
    return done


def stand(lab, columns, scenario, say):
    """Starts every column; one that does not start becomes a failed sample of each round."""
    standing, failed = [], []
    for slot, column in enumerate(columns):
        why = column.missing(scenario)
        if why:
            failed.append(Sample(column.name, {}, error=why))
            continue
        try:
            standing.append(column.start(lab, scenario, slot))
        except Exception as e:
            failed.append(Sample(column.name, {}, error=f"did not start: {e}"[:1500]))
            say(scenario, "start", 0, 0, failed[-1:])
    time.sleep(0.5)
    return standing, failed
