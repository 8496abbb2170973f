"""A node module for the tests: does what it is told, in a process of its own."""

import os
import signal
import socket
import struct
import sys
import threading
import time

import torch

from foedus.runtimes.processes.member import Member, run
from foedus.runtimes.processes.mesh import NotConnected, connect

held = []


def nodelay(sock):
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def serve(member: Member) -> None:
    while True:
        message, tree, _ = member.channel.receive()
        match message["do"]:
            case "echo":
                member.channel.send({"rank": member.rank, **message}, tree)
            case "tell":
                told = {
                    "setup": {k: v for k, v in member.setup.items()},
                    "rows": len(member.data.y),
                    "numbers": sum(p.numel() for p in member.model.module.parameters()),
                    "cores": sorted(os.sched_getaffinity(0)),
                    "threads": torch.get_num_threads(),
                    "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                }
                member.channel.send(told)
            case "exit":
                sys.exit(message["status"])
            case "raise":
                raise RuntimeError("on purpose")
            case "signal":
                os.kill(os.getpid(), message["signal"])
            case "return":
                return
            case "doing":
                member.doing(message["node"])
                member.channel.send({})
            case "mesh":
                try:
                    socks = connect(member.channel)
                except NotConnected as e:
                    member.channel.send({"off": str(e)})
                    continue
                for rank, sock in socks.items():
                    sock.sendall(struct.pack("<II", member.rank, rank))
                got = {rank: struct.unpack("<II", sock.recv(8, socket.MSG_WAITALL)) for rank, sock in socks.items()}
                about = [
                    (s.family.name, s.getblocking(), s.get_inheritable(), s.family == socket.AF_INET and nodelay(s))
                    for s in socks.values()
                ]
                held.append(socks)
                member.channel.send({"got": got, "about": about})
            case "sleep":
                time.sleep(message["seconds"])
            case "multiply":
                a = torch.ones(message["size"], message["size"])
                end = time.monotonic() + message["seconds"]
                while time.monotonic() < end:
                    a = torch.tanh(a @ a)
                member.channel.send({"threads": threading.active_count()})


if __name__ == "__main__":
    run(int(sys.argv[1]), serve)
