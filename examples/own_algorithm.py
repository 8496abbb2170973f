"""Your own program, aggregator and transform, outside the package, checked against the laws that they must keep.

Run it as it is: ``python examples/own_algorithm.py``. Classes of a script travel to worker processes without more ado.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

import foedus as fd
from foedus.core.types.aggregator import Callability
from foedus.core.types.transform import Identity
from foedus.core.types.update import BUFFERS
from foedus.testing import check_aggregator, check_program, check_transform


@dataclass(frozen=True)
class CappedMean(Callability):
    """The mean with weights min(n_k, cap): no node counts for more than ``cap`` rows (arXiv:1710.06963)."""

    cap: float = 50.0
    robust: ClassVar[bool] = False

    def empty(self):
        return {"sum": {}, "weight": 0.0}

    def add(self, acc, u):
        w = min(u.weight, self.cap)
        return self.merge(acc, {"sum": {k: v * w for k, v in u.value().items()}, "weight": w})

    def merge(self, a, b):
        if not a["sum"] or not b["sum"]:
            return a if a["sum"] else b
        return {"sum": {k: v + b["sum"][k] for k, v in a["sum"].items()}, "weight": a["weight"] + b["weight"]}

    def init(self, shapes):
        return None

    def read(self, acc, state):
        return {k: v / acc["weight"] for k, v in acc["sum"].items()}, state


@dataclass(frozen=True)
class EightBits(Identity):
    """Every number as one byte, rounded at random so that its mean is right (QSGD, arXiv:1610.02132)."""

    def wire(self, shapes):
        out = {}
        for name, (shape, dtype) in shapes.items():
            out[name] = (shape, dtype if name == BUFFERS else torch.uint8)
            if name != BUFFERS:
                out[name + "@scale"] = ((1,), torch.float32)
        return out

    def encode(self, u, state, key):
        parts = {}
        for name, v in u.parts.items():
            if name == BUFFERS:
                parts[name] = v
                continue
            scale = v.abs().max().clamp(min=1e-30).view(1) / 127
            up = torch.rand(v.shape, generator=key.child(name).torch())
            parts[name] = ((v / scale + up).floor().clamp(-127, 127) + 127).to(torch.uint8)
            parts[name + "@scale"] = scale
        return u.with_parts(parts), state

    def decode(self, u, shapes):
        whole = {k: u[k] if k == BUFFERS else (u[k].float() - 127) * u[k + "@scale"] for k in shapes}
        return u.with_parts(whole)


@dataclass(frozen=True)
class AveragedFedAvg:
    """FedAvg whose model is the mean of all its iterates (Polyak and Juditsky 1992, doi 10.1137/0330046)."""

    rounds: int
    cohort: fd.sampling.Cohort = fd.Fraction(0.5)
    local: fd.LocalSGD = fd.LocalSGD(epochs=2, batch_size=10, lr=0.2)

    async def __call__(self, fed: fd.Federation):
        s = await fed.begin(lambda w: fd.State(w=w, iterate=w))
        for t in fed.rounds(self.rounds):
            nodes = await fed.sample(self.cohort)
            job, how = self.local.at(t), (EightBits(),)
            total = await fed.map_reduce(job, {"w": s.iterate}, nodes, CappedMean(), transforms=how)
            iterate = s.iterate + total["delta"]
            s = fd.State(w=s.w + (iterate - s.w) / (t + 1), iterate=iterate)
            await fed.commit(s)
        return s.w


check_aggregator(CappedMean(cap=2))
check_transform(EightBits(), unbiased=True)
data = fd.data.load("digits").split(fd.data.Dirichlet(alpha=0.3), nodes=20, seed=0)
model = fd.Model(fd.models.logistic(64, 10), loss="cross_entropy")
run = check_program(AveragedFedAvg(rounds=3), model, data, workers=(1, 2), synchronous=True)
print(f"the laws hold; accuracy {run.history[-1].accuracy:.3f} with {run.ledger.bytes_up:,} bytes up")
