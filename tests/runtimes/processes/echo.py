"""A node module for the tests: does what it is told, in a process of its own."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time

import torch

from foedus.runtimes.processes.node.context import NodeContext, run


def nodelay(sock):
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def meet(context, run):
    """Be connected, say to everybody who and to whom, and tell the parent what was heard."""
    context.run = run
    socks, go = context.gather()
    for node, sock in socks.items():
        sock.sendall(struct.pack("<II", context.node, node))
    got = {node: list(struct.unpack("<II", sock.recv(8, socket.MSG_WAITALL))) for node, sock in socks.items()}
    tcp = [s for s in socks.values() if s.family == socket.AF_INET]
    told = {
        "got": got,
        "members": go.nodes,
        "blocking": all(s.gettimeout() is None for s in socks.values()),
        "inherited": any(s.get_inheritable() for s in socks.values()),
        "tcp": len(tcp),
        "nodelay": all(map(nodelay, tcp)),
    }
    return told, socks


def serve(context: NodeContext) -> None:
    held = {}
    while True:
        message, tree, _ = context.channel.receive()
        match message.get("do"):
            case "meet":
                told, held = meet(context, message["run"])
                context.channel.send(told)
            case "echo":
                context.channel.send({"node": context.node, **message}, tree)
            case "tell":
                told = {
                    "setup": context.setup,
                    "rows": len(context.data.y),
                    "numbers": sum(p.numel() for p in context.model.module.parameters()),
                    "cores": sorted(os.sched_getaffinity(0)),
                    "threads": torch.get_num_threads(),
                    "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                    "group": os.getpgid(0) == os.getpid(),
                    "held": len(held),
                }
                context.channel.send(told, {"x": context.data.x})
            case "exit":
                sys.exit(message["status"])
            case "raise":
                raise RuntimeError("on purpose")
            case "signal":
                os.kill(os.getpid(), message["signal"])
            case "return":
                return
            case "start":  # a process of its own, as a user's job may
                child = subprocess.Popen(["sleep", "600"])
                context.channel.send({"pid": child.pid})
            case "sleep":
                time.sleep(message["seconds"])
            case "multiply":  # one kernel after the other, each of about a second
                a = torch.ones(message["size"], message["size"])
                end = time.monotonic() + message["seconds"]
                while time.monotonic() < end:
                    a = torch.tanh(a @ a)
                context.channel.send({"done": True})


if __name__ == "__main__":
    run(int(sys.argv[1]), serve)
