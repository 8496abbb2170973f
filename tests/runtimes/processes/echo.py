"""A node module for the tests: does what it is told, in a process of its own."""

import os
import signal
import sys
import threading
import time

import torch

from foedus.runtimes.processes.member import Member, run


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
