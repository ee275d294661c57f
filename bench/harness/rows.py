"""The rows that the bench ends in: what each compares, its limits, and when it counts as met.

The machine is noisy, so a row is decided by the ratios of one round (our run and the peer's run seconds apart),
never by two averages: its figure is the median of those ratios. It is missed only when the lower quartile
is above the limit, in both comparisons where there are two; a median above with the lower quartile below is noise,
and is printed as such.
"""
from dataclasses import dataclass

from .measure import quartiles


@dataclass(frozen=True)
class Ratio:
    """A row of ratios. `figure`: cpu, added (p50 over direct's), or p50 and p99 as they are."""
    title: str
    scenario: str
    load: str          # a key of plan.LOADS
    envoy: float
    floor: float
    figure: str = "cpu"


@dataclass(frozen=True)
class Bound:
    """A row with a plain upper limit. `key`: the series of figures it is decided by."""
    title: str
    key: str
    limit: float
    unit: str


RATIOS = [
    Ratio("one hop HTTP/1.1, 64 connections", "http", "c64", 0.48, 1.35),
    Ratio("mesh HTTP/1.1 over mTLS, 16 connections", "mesh_h1", "c16", 0.40, 1.30),
    Ratio("mesh HTTP/1.1 over mTLS, 64 connections", "mesh_h1", "c64", 0.40, 1.30),
    Ratio("mesh HTTP/2 over mTLS, 16 connections", "mesh_h2", "c16", 0.45, 1.30),
    Ratio("mesh HTTP/2 over mTLS, 64 connections", "mesh_h2", "c64", 0.45, 1.30),
    Ratio("mesh TCP over mTLS, 64 connections", "tcp_mtls", "c64", 0.72, 1.15),
    Ratio("short mTLS connections", "tcp_mtls", "short", 0.65, 1.15),
    Ratio("mesh HTTP/1.1 at 1,000 requests/s: CPU", "mesh_h1", "r1000", 0.48, 1.30),
    Ratio("mesh HTTP/1.1 at 1,000 requests/s: p50 added", "mesh_h1", "r1000", 0.60, 1.30, figure="added"),
]
BOUNDS = [
    Bound("resident, idle", "idle_mb", 12.0, "MB"),
    Bound("per idle plain keep-alive connection", "connection_kib", 16.0, "KiB"),
    Bound("5,000 services, the workload calls 5: resident", "scale_mb", 25.0, "MB"),
    Bound("calls that write for a request, mesh HTTP/2, 16 connections, either proxy", "writes_c16", 1.15, ""),
    Bound("calls that write for a request, mesh HTTP/2, 64 connections, either proxy", "writes_c64", 1.15, ""),
    Bound("5,000 services: first call to a new service, added", "first_call_ms", 10.0, "ms"),
]
OURS, OLDER, FLOOR = "ours", "older", "hyper-floor"
# Beside an older build: no figure may be more than this share of its own, nor idle memory this much above.
WORSE, MORE_MB = 1.03, 0.3
OLDER_RATIOS = [
    *(r for r in RATIOS if r.figure == "cpu"),
    *(Ratio(f"mesh {name} over mTLS at 1,000 requests/s: {figure}", scenario, "r1000", WORSE, WORSE, figure)
      for name, scenario in (("HTTP/1.1", "mesh_h1"), ("HTTP/2", "mesh_h2")) for figure in ("p50", "p99")),
]


def envoy_of(scenario):
    """The Envoy column with the sidecar's filters: in the mesh its only form, in one hop a column of its own."""
    return "envoy-sidecar" if scenario == "http" else "envoy"


def figure(row, samples):
    """A row's figure of each column in one round: {column: value}; failed columns are absent."""
    good = {s.column: s for s in samples if s.ok()}
    if row.figure in ("p50", "p99"):
        return {name: s.load[row.figure] for name, s in good.items() if s.load.get(row.figure)}
    if row.figure == "cpu":
        return {name: s.cpu for name, s in good.items() if s.cpu}
    base = good["direct"].load["p50"] if "direct" in good else None
    return {name: s.load["p50"] - base for name, s in good.items()
            if base is not None and name != "direct" and s.load["p50"] > base}


def ratios(row, rounds, peer):
    """Our figure by the peer's, a value a round in which both stand."""
    figures = [figure(row, samples) for samples in rounds]
    return [f[OURS] / f[peer] for f in figures if OURS in f and peer in f]


def first_error(rounds, columns):
    for samples in rounds:
        for s in samples:
            if s.column in columns and s.error:
                return f"{s.column}: {s.error.splitlines()[0]}"
    return None


def judge(pairs):
    """Verdict over [(values, limit)]: one comparison that holds is enough. Gives (remark, 'met' | 'missed')."""
    q = [(quartiles(values), limit) for values, limit in pairs if values]
    if not q:
        return "not measured", "missed"
    if any(mid <= limit for (_, mid, _), limit in q):
        return "", "met"
    if any(low <= limit for (low, _, _), limit in q):
        return "median above, lower quartile below the limit", "met"
    return "", "missed"


def number(x):
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def spread(values, unit=""):
    if not values:
        return "–"
    low, mid, high = quartiles(values)
    return f"{number(mid)}{unit and ' ' + unit} ({number(low)}–{number(high)})"


def ratio_line(row, rounds):
    """The row's printed line: figures with quartiles, limits, verdict at the end."""
    pairs, cells = [], []
    for who, peer, limit in (("Envoy", envoy_of(row.scenario), row.envoy), ("floor", FLOOR, row.floor)):
        values = ratios(row, rounds, peer)
        pairs.append((values, limit))
        cells.append(f"{spread(values)} of {who}'s, limit {limit:.2f}")
    error = first_error(rounds, {OURS, FLOOR, envoy_of(row.scenario)} | ({"direct"} if row.figure != "cpu" else set()))
    return line(row.title, cells, *judge(pairs), error, failed=first_error(rounds, {OURS}))


def older_line(row, rounds):
    """The row beside an older build of ours: ours by its."""
    values = ratios(row, rounds, OLDER)
    cells = [f"{spread(values)} of the older build's, limit {WORSE:.2f}"]
    error = first_error(rounds, {OURS, OLDER})
    return line(row.title, cells, *judge([(values, WORSE)]), error, failed=first_error(rounds, {OURS}))


def older_memory_line(series, error):
    """Idle memory above the older build's, a value a pair of starts."""
    more = [ours - older for ours, older in zip(series.get("idle_mb", []), series.get("older_idle_mb", []))]
    cells = [f"{spread(more, 'MB')} more than the older build's, limit {MORE_MB:g} MB"]
    return line("resident, idle", cells, *judge([(more, MORE_MB)]), error, failed=error)


def bound_line(row, series, error):
    values = series.get(row.key, [])
    cells = [f"{spread(values, row.unit)}, limit {row.limit:g} {row.unit}".rstrip()]
    return line(row.title, cells, *judge([(values, row.limit)]), error, failed=error)


def line(title, cells, remark, verdict, error, failed):
    """A row with failed runs of ours is missed whatever its figures say; a peer's failure is shown beside it."""
    if failed:
        verdict = "missed"
    said = "; ".join(x for x in (remark, error) if x)
    return " | ".join([title, *cells, *([said] if said else []), verdict])
