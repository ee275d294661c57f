"""Two network namespaces joined by a veth pair, the backends in them, and every process of a run.

The client side is 10.77.0.1, the server side 10.77.0.2. Proxies run on CPU 1, everything else on CPU 0.
Whatever a run started ends with it; what a killed run left behind is swept by the next one.
"""
import atexit
import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
CLIENT_IP, SERVER_IP = "10.77.0.1", "10.77.0.2"
# Every address in this block answers on the server side: endpoints of a big mesh that all exist.
ENDPOINT_BLOCK = "10.128.0.0/14"
BACKEND_H1, BACKEND_H2, BACKEND_IPERF = 18080, 18082, 18201
PROXY_CPU, OTHER_CPU = 1, 0
# Ports that no outgoing connection may take by chance: a proxy is about to listen there.
RESERVED_PORTS = "15000-15399,18080-18299,19000-19399"
TICK = os.sysconf("SC_CLK_TCK")
CONGESTION = "cubic"  # a host that defaults to BBR paces its own loopback
SYSCTL = {
    "net.ipv4.tcp_congestion_control": CONGESTION,
    "net.ipv4.ip_local_port_range": "10000 65000",
    "net.ipv4.ip_local_reserved_ports": RESERVED_PORTS,
    "net.core.somaxconn": "8192",
    "net.ipv4.tcp_tw_reuse": "1",
    "net.ipv4.tcp_max_syn_backlog": "8192",
}


def sh(*argv, check=True):
    """Runs a short command and gives its output; its failure is an error that shows what it said."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stdout.strip()}")
    return done.stdout


def fill(text, values):
    """Replaces @name@ by values['name'] (nothing if absent); a value may itself hold such names."""
    for _ in range(4):
        text = re.sub(r"@(\w+)@", lambda m: str(values.get(m[1], "")), text)
    return text


class Proc:
    """One started process. `counted`: its CPU and memory belong to the column."""

    def __init__(self, popen, name, log, counted):
        self.popen, self.name, self.log, self.counted = popen, name, log, counted
        self.pid = popen.pid  # ip and taskset exec into the program, so the pid is the program's own

    def alive(self):
        return self.popen.poll() is None

    def cpu_seconds(self):
        """User and system seconds so far, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_bytes(self):
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"{self.name}: no Rss in smaps_rollup")

    def log_tail(self, size=1500):
        return Path(self.log).read_text(errors="replace")[-size:] if self.log and Path(self.log).exists() else ""

    def stop(self):
        if self.alive():
            self.popen.terminate()
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def cpu_busy(cpu):
    """Seconds that a CPU has been busy so far, whoever it was, and seconds the hypervisor took from it."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{cpu} "):
            v = [int(x) / TICK for x in line.split()[1:]]
            return v[0] + v[1] + v[2] + v[5] + v[6], v[7]
    raise RuntimeError(f"no cpu{cpu} on this machine: the bench needs two CPUs")


class Lab:
    """Namespaces, backends and processes of one run; a context manager."""

    def __init__(self, nice=0, realtime=False, keep=False):
        self.nice, self.realtime, self.keep = nice, realtime, keep
        self.client_ns, self.server_ns = f"bench{os.getpid()}a", f"bench{os.getpid()}b"
        self.procs = []
        self.work = Path(tempfile.mkdtemp(prefix="bench-"))
        self.work.chmod(0o755)
        self.certs = self.work / "certs"

    def __enter__(self):
        if (os.cpu_count() or 1) < 2:
            sys.exit("the bench needs two CPUs: one for the proxies, one for everything else")
        atexit.register(self.close)
        for sig in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, lambda *_: sys.exit(1))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 20000), max(hard, 20000)))
        sweep_dead_runs()
        self._namespaces()
        sh(BENCH / "certs.sh", self.certs)
        self._backends()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for p in reversed(self.procs):
            p.stop()
        self.procs.clear()
        for ns in (self.client_ns, self.server_ns):
            sh("ip", "netns", "del", ns, check=False)
        if self.keep:
            print("kept:", self.work, file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)
        atexit.unregister(self.close)

    def _namespaces(self):
        for ns in (self.client_ns, self.server_ns):
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
            for key, value in SYSCTL.items():
                sh("ip", "netns", "exec", ns, "sysctl", "-qw", f"{key}={value}", check=False)
        a, b = f"b{os.getpid()}a", f"b{os.getpid()}b"
        sh("ip", "link", "add", a, "netns", self.client_ns, "type", "veth", "peer", "name", b, "netns", self.server_ns)
        for ns, dev, ip in ((self.client_ns, a, CLIENT_IP), (self.server_ns, b, SERVER_IP)):
            sh("ip", "-n", ns, "addr", "add", f"{ip}/24", "dev", dev)
            sh("ip", "-n", ns, "link", "set", dev, "up")
            # Where the kernel refuses the setting to a namespace, it still takes it of a route.
            local = ("local", ip, "dev", dev, "table", "local", "proto", "kernel", "scope", "host")
            for route in (local, ("10.77.0.0/24", "dev", dev, "proto", "kernel", "scope", "link")):
                sh("ip", "-n", ns, "route", "replace", *route, "src", ip, "congctl", CONGESTION, check=False)
        sh("ip", "-n", self.server_ns, "route", "add", "local", ENDPOINT_BLOCK, "dev", "lo")
        sh("ip", "-n", self.client_ns, "route", "add", ENDPOINT_BLOCK, "via", SERVER_IP)

    def _backends(self):
        body = "0123456789abcdef" * 64
        template = (BENCH / "conf" / "backend.conf").read_text()
        for ns, ip in ((self.client_ns, CLIENT_IP), (self.server_ns, SERVER_IP)):
            home = self.work / f"backend-{ip}"
            home.mkdir()
            conf = home / "nginx.conf"
            conf.write_text(fill(template, {"work": home, "h1": BACKEND_H1, "h2": BACKEND_H2, "body": body}))
            p = self.start("backend", ns, [tool("nginx"), "-p", home, "-c", conf], cpu=OTHER_CPU)
            self.wait_port(p, ns, BACKEND_H1)
            self.start("iperf3", ns, [tool("iperf3"), "-s", "-B", ip, "-p", BACKEND_IPERF], cpu=OTHER_CPU)

    def congestion(self):
        """What controls congestion on connections within the client's side, across, and within the server's side."""
        probe = ("import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5); "
                 "print(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(bytes(1)).decode())")
        paths = ((self.client_ns, CLIENT_IP), (self.client_ns, SERVER_IP), (self.server_ns, SERVER_IP))
        return [sh("ip", "netns", "exec", ns, sys.executable, "-c", probe, ip, BACKEND_H1).strip() for ns, ip in paths]

    # -- processes

    def prefix(self, ns, cpu):
        """The command words that put a program into a namespace, on a CPU, at the run's priority."""
        words = ["ip", "netns", "exec", ns]
        words += ["nice", "-n", str(self.nice)] if self.nice else []
        words += ["chrt", "-r", "1"] if self.realtime else []
        return words + ["taskset", "-c", str(cpu)]

    def start(self, name, ns, argv, cpu=PROXY_CPU, env=None, counted=False):
        log = self.work / f"{name}.log"
        with open(log, "ab") as out:
            popen = subprocess.Popen(self.prefix(ns, cpu) + [str(a) for a in argv], stdout=out, stderr=out,
                                     stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}, start_new_session=True)
        proc = Proc(popen, name, log, counted)
        self.procs.append(proc)
        return proc

    def stop(self, procs):
        for p in procs:
            p.stop()
            if p in self.procs:
                self.procs.remove(p)

    def run(self, ns, argv, timeout, cpu=OTHER_CPU):
        """Runs a generator to its end and gives what it printed; too slow is an error."""
        popen = subprocess.Popen(self.prefix(ns, cpu) + [str(a) for a in argv], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        try:
            return popen.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            popen.kill()
            raise RuntimeError(f"{argv[0]}: not done after {timeout} s: {popen.communicate()[0][-500:]}") from None

    def wait_port(self, proc, ns, port, seconds=20):
        """Until something listens on the port; an ended process or the time-out is an error with its log."""
        if not self.wait(lambda: str(port) in sh("ip", "netns", "exec", ns, "ss", "-Hltn", f"sport = :{port}", check=False),
                         seconds, proc):
            raise RuntimeError(f"{proc.name}: nothing listens on port {port} after {seconds} s\n{proc.log_tail()}")

    def wait(self, true, seconds, proc=None):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if proc and not proc.alive():
                raise RuntimeError(f"{proc.name}: ended with status {proc.popen.returncode}\n{proc.log_tail()}")
            if true():
                return True
            time.sleep(0.05)
        return False


def sweep_dead_runs():
    """Ends what a killed run left in its namespaces, and the namespaces."""
    for name in re.findall(r"^(bench(\d+)[ab])\b", sh("ip", "netns", "list", check=False), re.M):
        ns, pid = name
        if Path(f"/proc/{pid}").exists():
            continue
        for left in sh("ip", "netns", "pids", ns, check=False).split():
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(left), signal.SIGTERM)
        sh("ip", "netns", "del", ns, check=False)


def tool(name):
    """The path of a program; system folders count even if PATH has them not."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise FileNotFoundError(f"{name}: not installed (bench/setup installs or names it)")
    return path
