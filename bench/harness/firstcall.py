"""Calls each named host once, then some more, over one keep-alive connection; prints the times as JSON.

usage: firstcall.py IP PORT HOST...
"""
import json
import socket
import statistics
import sys
import time

WARM = 20


def call(sock, host):
    """One GET; gives seconds and the status line."""
    start = time.perf_counter()
    sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += some(sock)
    head, body = data.split(b"\r\n\r\n", 1)
    length = next((int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += some(sock)
    return time.perf_counter() - start, head.split(b"\r\n", 1)[0].decode()


def some(sock):
    data = sock.recv(65536)
    if not data:
        raise OSError("connection closed")
    return data


def main():
    ip, port, hosts = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    sock = socket.create_connection((ip, port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    done = []
    for host in hosts:
        first, status = call(sock, host)
        again = [call(sock, host) for _ in range(WARM)]
        bad = next((s for s in [status] + [s for _, s in again] if " 200 " not in s + " "), "")
        done.append({"host": host, "first": first, "warm": statistics.median(t for t, _ in again), "bad": bad})
    print(json.dumps(done))


main()
