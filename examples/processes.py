"""One program in a simulation and in real processes: the same model, and what every way of sending it cost.

Run it as it is: ``python examples/processes.py``. Every node is a process of this machine; bytes are counted as they
leave, and seconds are the wall clock's.
"""

import torch

import foedus as fd

NODES, ROUNDS = 3, 20


def cost(name: str, run: fd.Run) -> None:
    """A line of the table: per node and round, what was sent and received, and where the seconds went."""
    c, each = run.ledger.total, NODES * ROUNDS
    seconds = [1000 * s / each for s in (c.compute_s, c.serial_s, c.wire_s, c.waiting_s)]
    sent = [c.bytes_up / each, c.bytes_down / each, c.messages_up / each]
    print(f"{name:14}{sent[0]:9.0f}{sent[1]:9.0f}{sent[2]:7.1f}" + "".join(f"{s:10.2f}" for s in seconds))


data = fd.data.load("digits").split(fd.data.IID(), nodes=NODES, seed=0)
model = fd.Model(fd.models.mlp(64, 128, 10))
print(f"a model of {4 * model.layout.parameters:,} bytes at {NODES} nodes; per node and round:")
print(f"{'exchange':14}{'B sent':>9}{'B recvd':>9}{'msgs':>7}", end="")
print("".join(f"{k:>10}" for k in ("compute ms", "copy ms", "wire ms", "wait ms")))

# Where one process makes the sums, or a tree that merges in the same order, the bits are those of a simulation.
program = fd.SyncSGD(rounds=ROUNDS, lr=0.5)
expected = fd.train(program, model, data, evaluate_every=ROUNDS)
for exchange, wire in (("server", "sockets"), ("ring", "shared")):
    run = fd.train(program, model, data, runtime=fd.Processes(wire, exchange), evaluate_every=ROUNDS)
    if exchange == "server":
        assert run.sha256 == expected.sha256, "a parameter server has the bits of a simulation"
    else:
        # A ring adds in another order. It moves 2 (n - 1) / n of the vector a node, whatever n is.
        assert torch.allclose(run.vector, expected.vector, atol=1e-5), "a ring has them up to rounding"
    cost(f"{exchange} {wire}", run)

# Decentralised: nodes average with their neighbours, and nobody else is there.
gossip = fd.Gossip(rounds=ROUNDS)
expected = fd.train(gossip, model, data, evaluate_every=ROUNDS)
run = fd.train(gossip, model, data, runtime=fd.Processes("sockets"), evaluate_every=ROUNDS)
assert run.sha256 == expected.sha256, "peers have the bits of a simulation"
cost("peers sockets", run)
print(f"the bits are those of a simulation; accuracy {run.history[-1].accuracy:.3f} without a server")
