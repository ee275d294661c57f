"""Load generators. Each gives a Load; a generator that failed is an error, a response that failed is counted."""
import json
import re
from dataclasses import dataclass

from .lab import BENCH

HOST = "backend.test"  # the service's name: what the mesh routes by
FLOOR = BENCH / "floor" / "target" / "release" / "floor"


@dataclass
class Load:
    """What was sent. `n`: requests, connections or bytes; `sent`: the same with the generator's warm-up,
    which the proxies' CPU seconds include; `p50`… in microseconds; `bad`: failed ones."""
    n: int
    sent: float
    per_second: float
    bad: int
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


def wrk(lab, running, connections, seconds):
    """As many HTTP/1.1 requests as it carries, closed loop."""
    out = lab.run(lab.client_ns, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Host: {HOST}",
                                  f"http://{running.ip}:{running.port}/"], seconds + 20)
    done = re.search(r"(\d+) requests in ", out)
    if not done:
        raise RuntimeError(f"wrk: {out.strip()[-500:]}")
    failed = sum(int(x) for x in re.findall(r"Non-2xx or 3xx responses: (\d+)", out))
    for line in re.findall(r"Socket errors: (.*)", out):
        failed += sum(int(x) for x in re.findall(r"\d+", line))
    unit = {"us": 1, "ms": 1e3, "s": 1e6}
    p = {int(q): float(x) * unit[u] for q, x, u in re.findall(r"^\s+(50|90|99)%\s+([\d.]+)(us|ms|s)", out, re.M)}
    n = int(done[1])
    return Load(n, n, float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), failed, p.get(50), p.get(90), p.get(99))


def h2load(lab, running, connections, streams, seconds):
    """As many prior-knowledge HTTP/2 requests as it carries."""
    out = lab.run(lab.client_ns, ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "--warm-up-time=1", "-p", "h2c",
                                  f"http://{running.ip}:{running.port}/"], seconds + 25)
    rate = re.search(r"finished in [\d.]+s, ([\d.]+) req/s", out)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    failed = re.search(r"(\d+) failed, (\d+) errored", out)
    if not (rate and codes and failed):
        raise RuntimeError(f"h2load: {out.strip()[-500:]}")
    n = int(codes[1])
    return Load(n, n * (seconds + 1) / seconds, float(rate[1]), sum(map(int, (*codes.groups()[1:], *failed.groups()))))


def open_loop(lab, running, connections, rate, seconds):
    """HTTP/1.1 at a fixed rate; latency counts from the moment a request was due. One second of warm-up."""
    d = _floor(lab, ["gen", "--target", f"{running.ip}:{running.port}", "--conns", connections, "--rate", rate,
                     "--seconds", seconds, "--host", HOST], seconds + 25)
    n = int(d["n"])
    return Load(n, n * (seconds + 1) / seconds, n / seconds, int(d["bad"] + d["dead"]) + max(0, rate * seconds - n),
                d["p50_us"], d["p90_us"], d["p99_us"])


def short(lab, running, connections, seconds):
    """Connect, one GET, close; so many workers at once."""
    d = _floor(lab, ["cps", "--target", f"{running.ip}:{running.port}", "--conns", connections, "--seconds", seconds], seconds + 25)
    return Load(int(d["ok"]), d["ok"], d["per_s"], int(d["bad"]))


def bulk(lab, running, seconds):
    """One connection, as many bytes as it carries."""
    out = json.loads(lab.run(lab.client_ns, ["iperf3", "-c", running.ip, "-p", running.port, "-t", seconds, "-J"], seconds + 20))
    if "error" in out:
        raise RuntimeError(f"iperf3: {out['error']}")
    got = out["end"]["sum_received"]
    return Load(got["bytes"], got["bytes"], got["bytes"] / got["seconds"], 0)


def hold(lab, running, connections):
    """Opens idle keep-alive connections that made one request each; gives the holding process."""
    p = lab.start("hold", lab.client_ns, [FLOOR, "hold", "--target", f"{running.ip}:{running.port}", "--conns", connections,
                                          "--seconds", 600, "--req", "--host", HOST], cpu=0)
    p.log.write_text("")
    if not lab.wait(lambda: "hold open" in p.log_tail(), 60, p):
        raise RuntimeError(f"{connections} idle connections not open after 60 s")
    if f"open={connections} ok={connections}" not in p.log_tail():
        raise RuntimeError(f"not all of {connections} idle connections work: {p.log_tail().strip()}")
    return p


def _floor(lab, argv, timeout):
    out = lab.run(lab.client_ns, [FLOOR, *argv], timeout)
    d = {k: float(x) for k, x in re.findall(r"(\w+)=([\d.]+)", out)}
    if not d:
        raise RuntimeError(f"floor {argv[0]}: {out.strip()[-500:]}")
    return d
