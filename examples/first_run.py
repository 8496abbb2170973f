"""The first twelve lines: one model over twenty unequal nodes. The picture goes to the path given, or run.png."""

import sys

import foedus as fd

data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=20, seed=0)
model = fd.Model(fd.models.mlp(64, 32, 10), loss="cross_entropy")
run = fd.train(
    fd.FedAvg(rounds=50, cohort=fd.Fixed(10), local=fd.LocalSGD(epochs=5, batch_size=10, lr=0.05)),
    model, data,
    runtime=fd.Simulation(network=fd.network.WAN),
)  # fmt: skip
print(run.history[-1].accuracy, run.ledger.bytes_up)
run.plot(sys.argv[1] if len(sys.argv) > 1 else "run.png")
