"""One run of one column: the load's figures and what it cost the column's processes."""
import statistics
import time
from dataclasses import asdict, dataclass, field

from .lab import OTHER_CPU, PROXY_CPU, cpu_busy


@dataclass
class Sample:
    """Figures of one run. `cpu`: CPU seconds of all counted processes a million requests (or connections; for
    bulk: a GB); `split`: the same a process, client's side first; `foreign`: share of the time in
    which the proxies' CPU was busy for somebody else."""
    column: str
    load: dict
    cpu: float | None = None
    split: list = field(default_factory=list)
    rss: list = field(default_factory=list)
    foreign: float = 0.0
    steal: float = 0.0
    error: str | None = None

    def ok(self):
        return self.error is None


def measure(running, load, per=1e6):
    """Runs `load()` against a standing column. A failure is a sample that says why, never a missing one."""
    procs = running.counted()
    try:
        before = [p.cpu_seconds() for p in procs]
        (busy0, steal0), (_, other0) = cpu_busy(PROXY_CPU), cpu_busy(OTHER_CPU)
        start = time.monotonic()
        sent = load()
        took = time.monotonic() - start
        used = [p.cpu_seconds() - b for p, b in zip(procs, before)]
        (busy1, steal1), (_, other1) = cpu_busy(PROXY_CPU), cpu_busy(OTHER_CPU)
        s = Sample(running.name, asdict(sent))
        if procs and sent.sent:
            s.split = [round(u / sent.sent * per, 3) for u in used]
            s.cpu = sum(used) / sent.sent * per
            s.rss = [p.rss_bytes() for p in procs]
        s.foreign = max(0.0, (busy1 - busy0) - sum(used)) / took
        s.steal = steal1 - steal0 + other1 - other0
        if not sent.n:
            s.error = "nothing got through"
        elif sent.bad:
            s.error = f"{sent.bad} of {sent.n + sent.bad} failed"
        return s
    except Exception as e:
        return Sample(running.name, {}, error=f"{type(e).__name__}: {e}"[:1500])


def quartiles(values):
    """Lower quartile, median, upper quartile; of one value three times itself."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, mid, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, mid, high
