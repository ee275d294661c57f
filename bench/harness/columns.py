"""Columns: the proxies that are compared. A column knows how to stand up for a scenario and where to send the load.

Peers are described in columns.json (one process a role, a command line, a template out of conf/); our own
proxy with its control plane is bench/ours.py. `direct` is no proxy at all.
"""
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from .lab import BACKEND_H1, BACKEND_H2, BACKEND_IPERF, BENCH, CLIENT_IP, SERVER_IP, fill, sh, tool

# A measured scenario and the entry of a column that it uses.
ENTRY = {
    "http": "http", "h2c_h1": "h2c_h1", "h2c_h2c": "h2c_h2c", "mesh_h1": "mesh_h1", "mesh_h2": "mesh_h2",
    "tcp_http": "tcp", "tcp_bulk": "tcp", "tcp_short": "tcp",
    "tcp_mtls": "tcp_mtls", "tcp_mtls_bulk": "tcp_mtls", "tcp_mtls_short": "tcp_mtls",
}
MESH = {"mesh_h1", "mesh_h2", "tcp_mtls", "tcp_mtls_bulk", "tcp_mtls_short"}


def backend_port(scenario):
    if scenario.endswith("_bulk"):
        return BACKEND_IPERF
    return BACKEND_H2 if scenario == "h2c_h2c" else BACKEND_H1


def slot_ports(slot):
    """Columns stand side by side in one run, so each has its own pair of ports (client's side, server's side)."""
    return 15100 + 10 * slot, 15105 + 10 * slot


@dataclass
class Running:
    """A column that stands: where the load goes and whose CPU counts (client's side first)."""
    name: str
    ip: str
    port: int
    procs: list

    def counted(self):
        return [p for p in self.procs if p.counted]


class Direct:
    """The generator straight to the backend: what the wire and the two ends cost without a proxy."""
    name = "direct"

    def missing(self, scenario):
        return None

    def start(self, lab, scenario, slot):
        port = BACKEND_H2 if scenario.startswith("h2c") else backend_port(scenario)
        return Running("direct", SERVER_IP if scenario in MESH else CLIENT_IP, port, [])


class Peer:
    """A column of columns.json."""

    def __init__(self, name, spec, binary):
        self.name, self.spec, self.binary = name, spec, binary

    def missing(self, scenario):
        """Why this column cannot be measured in the scenario, or None."""
        if ENTRY[scenario] not in self.spec:
            return f"{self.name} has no {scenario}"
        return None if self.binary else f"{self.spec['bin']} is not installed"

    def start(self, lab, scenario, slot):
        """Stands the column up, server's side first."""
        client_port, server_port = slot_ports(slot)
        hops = [(lab.client_ns, CLIENT_IP, client_port, CLIENT_IP, backend_port(scenario))]
        if scenario in MESH:
            hops = [(lab.client_ns, CLIENT_IP, client_port, SERVER_IP, server_port),
                    (lab.server_ns, SERVER_IP, server_port, SERVER_IP, backend_port(scenario))]
        roles = self.spec[ENTRY[scenario]]
        procs = []
        try:
            for role in reversed(range(len(roles))):
                procs.insert(0, self._process(lab, scenario, roles[role], role, slot, *hops[role]))
        except Exception:
            lab.stop(procs)
            raise
        time.sleep(self.spec.get("settle", 0.3))
        return Running(self.name, CLIENT_IP, client_port, procs)

    def _process(self, lab, scenario, proc, role, slot, ns, ip, port, up_ip, up_port):
        ident = f"{self.name}-{scenario}-{role}"
        v = {"id": ident, "bin": self.binary, "work": lab.work, "certs": lab.certs, "threads": 1, "listen_ip": ip,
             "listen_port": port, "up_ip": up_ip, "up_port": up_port, "listen": f"{ip}:{port}",
             "up": f"{up_ip}:{up_port}", "admin_port": 19000 + 10 * slot + role, "base_id": os.getpid() % 100000 * 100 + 10 * slot + role}
        for key, value in (proc.get("set") or {}).items():
            v[key] = snippets()[value[5:]] if value.startswith("snip:") else value
        if "conf" in proc:
            v["conf"] = lab.work / f"{ident}-{proc['conf']}"
            v["conf"].write_text(fill((BENCH / "conf" / proc["conf"]).read_text(), v))
        argv = [word.format(**v) for word in (proc.get("argv") or self.spec["argv"])]
        p = lab.start(ident, ns, argv, counted=True)
        try:
            lab.wait_port(p, ns, port)
        except Exception:
            lab.stop([p])
            raise
        return p


def snippets():
    return json.loads((BENCH / "conf" / "envoy-snippets.json").read_text())


def envoy_binary():
    """Envoy out of the PyPI wheel (bench/setup puts it into the bench's own environment), else from PATH."""
    for python in (target_dir() / "bench-venv" / "bin" / "python", Path(sys.executable)):
        if python.exists():
            path = sh(python, "-c", "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')", check=False).strip()
            if path and Path(path).is_file():
                return path
    return None


def target_dir():
    """Where cargo leaves the project's binaries."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or BENCH.parent / "target").absolute()


def peers(binaries=None):
    """All columns of columns.json by name. `binaries`: a path for a column's `bin`, over what is found."""
    found = {"envoy": envoy_binary(), "floor": BENCH / "floor" / "target" / "release" / "floor", **(binaries or {})}
    out = {}
    for name, spec in json.loads((BENCH / "columns.json").read_text()).items():
        if name.startswith("_"):
            continue
        path = found.get(spec["bin"])
        if spec["bin"] not in found:
            try:
                path = tool(spec["bin"])
            except FileNotFoundError:
                path = None
        out[name] = Peer(name, spec, str(path) if path and Path(path).exists() else None)
    return out
