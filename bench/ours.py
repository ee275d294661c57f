"""The project's own column: two sidecars under a real pilot, configured as a user would configure them.

Everything the bench knows of our command lines, environment and YAML is here. A scenario's objects are written into a
directory of YAML that pilot serves; pilot (CPU 0, not counted) gives the proxies (CPU 1) their
configuration and, for a token it minted, their certificates. captureMode is NONE: the client's sidecar listens on its own
address as the Sidecar egress listener says, the server's as its ingress listener says.
"""
import shutil
import time
from pathlib import Path

from harness.columns import ENTRY, Running, slot_ports, target_dir
from harness.lab import BACKEND_H1, BENCH, CLIENT_IP, OTHER_CPU, PROXY_CPU, SERVER_IP, fill, sh

NAMESPACE = "default"
SCENARIOS = {"http", "mesh_h1", "mesh_h2", "tcp_mtls"}
# Protocol of the service's port (what the two sidecars speak), of the client's egress listener, of the server's ingress port.
PROTOCOLS = {"http": ("HTTP", "HTTP", "HTTP"), "mesh_h1": ("HTTP", "HTTP", "HTTP"),
             "mesh_h2": ("HTTP2", "HTTP", "HTTP"), "tcp_mtls": ("TCP", "TCP", "TCP")}
# Two builds may stand side by side: these are above the first port of the column's slot.
XDS, MONITORING, ADMIN, STATUS, METRICS, PROMETHEUS = 1, 2, 3, 4, 6, 7
XDS_NAME = "istiod.istio-system.svc"
# The server's endpoint behind its sidecar: 0.0.0.0 in a Sidecar means "the workload's own address".
APPLICATION = f"0.0.0.0:{BACKEND_H1}"


class Ours:
    """Stands our proxies up; the interface of harness.columns.Peer."""

    def __init__(self, profile="release", wrap=None, name="ours", binaries=None):
        """`profile`: cargo profile whose binaries are used; `binaries`: a folder of them instead; `wrap`: words before
        the proxy's command line (a profiler)."""
        self.name = name
        self.bin = binaries or target_dir() / profile
        self.wrap = wrap or []

    def missing(self, scenario):
        """Why this column cannot be measured in the scenario, or None."""
        if ENTRY.get(scenario, scenario) not in SCENARIOS | {"scale"}:
            return f"{self.name} has no {scenario}"
        for name in ("pilot", "proxy"):
            if not (self.bin / name).exists():
                return f"{self.bin / name} is not built"
        return None

    # -- one scenario

    def start(self, lab, scenario, slot=0):
        """Pilot, then the server's sidecar (in a mesh), then the client's; ready when each serves its configuration."""
        scenario = ENTRY.get(scenario, scenario)
        home = self._home(lab, scenario)
        client_port, server_port = slot_ports(slot)
        port = server_port if scenario in ("mesh_h1", "mesh_h2", "tcp_mtls") else client_port
        self._objects(home, scenario, client_port, server_port)
        procs = []
        try:
            ns, ip = (lab.client_ns, CLIENT_IP) if scenario == "http" else (lab.server_ns, SERVER_IP)
            pilot = self._pilot(lab, home, ns, ip, client_port)
            procs.append(pilot)
            if scenario == "http":
                procs.insert(0, self._proxy(lab, home, ip, ns, CLIENT_IP, "server", client_port, client_port))
            else:
                if scenario != "scale":
                    procs.insert(0, self._proxy(lab, home, ip, lab.server_ns, SERVER_IP, "server", port, client_port))
                procs.insert(0, self._proxy(lab, home, ip, lab.client_ns, CLIENT_IP, "client", client_port, client_port))
        except Exception:
            lab.stop(procs)
            raise
        time.sleep(0.3)
        return Running(self.name, CLIENT_IP, client_port, procs)

    def _home(self, lab, scenario):
        home = lab.work / f"{self.name}-{scenario}"
        shutil.rmtree(home, ignore_errors=True)
        for sub in ("objects", "ca", "keys"):
            (home / sub).mkdir(parents=True)
        return home

    def _objects(self, home, scenario, client_port, server_port):
        service, egress, ingress = PROTOCOLS.get(scenario, ("HTTP", "HTTP", "HTTP"))
        values = {"client_ip": CLIENT_IP, "server_ip": CLIENT_IP if scenario == "http" else SERVER_IP,
                  "client_port": client_port, "server_port": client_port if scenario == "http" else server_port,
                  "service_protocol": service, "service_name": service.lower(), "egress_protocol": egress, "egress_name": egress.lower(),
                  "ingress_protocol": ingress, "ingress_name": ingress.lower(), "application": APPLICATION,
                  "operation": "" if service == "TCP" else "\n    to:\n    - operation:\n        methods: [GET]"}
        template = {"http": "one-hop", "scale": "scale"}.get(scenario, "mesh")
        text = (BENCH / "conf" / "ours" / f"{template}.yaml").read_text()
        (home / "objects" / "mesh.yaml").write_text(fill(text, values))
        if scenario == "scale":
            write_services(home / "objects" / "services.yaml", client_port)

    # -- processes

    def _program(self, lab, name):
        """A copy made for this run. How a file came into the page cache decides how much of it is mapped with what is
        touched: the same binary read back in pieces has 0.7 MB less resident than one just written."""
        copy = lab.work / f"{self.name}-{name}"
        if not copy.exists():
            shutil.copy(self.bin / name, copy)
        return copy

    def _pilot(self, lab, home, ns, ip, first):
        pilot, keys = self._program(lab, "pilot"), home / "keys"
        sh(pilot, "token-key", "--out", keys)
        for account in ("client", "server"):
            token = sh(pilot, "token", "--key", keys / "token-key.pem", "--namespace", NAMESPACE, "--service-account", account,
                       "--audience", "istio-ca", "--ttl", "24h")
            (keys / f"{account}.token").write_text(token.strip())
        argv = [pilot, "discovery", "--config-dir", home / "objects", "--xds-address", f"{ip}:{first + XDS}",
                "--plaintext-xds-address", "off", "--ca-dir", home / "ca", "--token-key", keys / "token-key.pub.pem",
                "--monitoring-address", f"{ip}:{first + MONITORING}"]
        p = lab.start(f"{home.name}-pilot", ns, argv, cpu=OTHER_CPU)
        try:
            lab.wait_port(p, ns, first + XDS, seconds=60)
            if not lab.wait(lambda: root_of(home / "ca"), 10, p):
                raise RuntimeError(f"pilot wrote no root certificate into {home / 'ca'}")
        except Exception:
            lab.stop([p])
            raise
        return p

    def _proxy(self, lab, home, pilot_ip, ns, ip, account, port, first):
        env = {
            "POD_NAME": account, "POD_NAMESPACE": NAMESPACE, "SERVICE_ACCOUNT": account, "INSTANCE_IP": ip,
            "ISTIO_META_CLUSTER_ID": "Kubernetes", "PROXY_TYPE": "sidecar",
            "DISCOVERY_ADDRESS": f"{pilot_ip}:{first + XDS}", "CA_ADDR": f"{pilot_ip}:{first + XDS}",
            "FERROMESH_TOKEN_FILE": str(home / "keys" / f"{account}.token"), "FERROMESH_ROOT_CERT": str(root_of(home / "ca")),
            "FERROMESH_XDS_SERVER_NAME": XDS_NAME, "FERROMESH_WORKERS": "1",
            "FERROMESH_ADMIN_ADDRESS": f"{ip}:{first + ADMIN}", "FERROMESH_STATUS_ADDRESS": f"{ip}:{first + STATUS}",
            "FERROMESH_METRICS_ADDRESS": f"{ip}:{first + METRICS}", "FERROMESH_PROMETHEUS_ADDRESS": f"{ip}:{first + PROMETHEUS}",
            "FERROMESH_OUTBOUND_ADDRESS": "off", "FERROMESH_INBOUND_ADDRESS": "off",
            "FERROMESH_LOG": "warn", "TERMINATION_DRAIN_DURATION_SECONDS": "0",
        }
        p = lab.start(f"{home.name}-{account}", ns, [*self.wrap, self._program(lab, "proxy"), "run"], env=env, counted=True,
                      cpu=PROXY_CPU)
        try:
            lab.wait_port(p, ns, port, seconds=60 if self.wrap else 20)
            if not lab.wait(lambda: ready(lab, ns, ip, first + STATUS), 20, p):
                raise RuntimeError(f"{p.name}: not ready on {first + STATUS} after 20 s\n{p.log_tail()}")
        except Exception:
            lab.stop([p])
            raise
        return p


def root_of(ca_dir):
    """The root certificate that pilot keeps in its store, once it is there whole."""
    path = Path(ca_dir) / "root-cert.pem"
    return path if path.exists() and "END CERTIFICATE" in path.read_text() else None


def ready(lab, ns, ip, port):
    probe = f"import urllib.request; urllib.request.urlopen('http://{ip}:{port}/healthz/ready', timeout=2)"
    return "Error" not in sh("ip", "netns", "exec", ns, "python3", "-c", probe, check=False)


# -- the big mesh

SERVICES, ENDPOINTS, NAMESPACES = 5000, 10, 50


def service_host(i):
    return f"svc-{i}.ns-{i % NAMESPACES}.test"


def write_services(path, port):
    """5,000 services of 10 endpoints each in 50 namespaces. Every endpoint has an address of its own, and all answer."""
    with open(path, "w") as out:
        for i in range(SERVICES):
            out.write(f"""---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: svc-{i}, namespace: ns-{i % NAMESPACES}}}
spec:
  hosts: [{service_host(i)}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {port}, name: http, protocol: HTTP, targetPort: {BACKEND_H1}}}]
  endpoints:
""")
            for e in range(ENDPOINTS):
                n = i * ENDPOINTS + e
                out.write(f"  - {{address: 10.128.{n // 250}.{n % 250 + 1}, labels: {{app: svc-{i}, version: v{e % 2}}}}}\n")
