"""One node's executor of many: what comes of a call is the same at all of them, whoever was asked."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.aggregators import Mean, Sum
from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.site import Setup, Site
from foedus.core.types.job import Work
from foedus.core.types.update import Update
from foedus.runtimes.meter import Meter
from foedus.runtimes.processes.node.joint_executor import Joined

NODES = 3
LARGE = 2**31 - 5


@dataclass(frozen=True)
class Count:
    """Answers integers near the largest, as they are (``summed``) or to be weighed, and a float beside them."""

    summed: bool

    def work(self, rows):
        return Work(trained=1)

    def parts(self, model):
        return {"n": ((3,), torch.int32), "long": ((2,), torch.int64), "x": (2,)}

    def __call__(self, node, args):
        if node.id == 2 and args["w"][0] > 0:
            raise RuntimeError("no answer")
        parts = {
            "n": torch.full((3,), LARGE + node.id, dtype=torch.int32),
            "long": torch.full((2,), 2**63 - 3 + node.id % 2, dtype=torch.int64),
            "x": torch.full((2,), 0.5 + node.id),
        }
        return Update(parts, 2.0, summed=self.summed), {}


def called(threads, exchange, rule, job, cohort, failing=False):
    """The accumulator of a call, by node."""
    data = fd.data.arrays([[float(i)] for i in range(12)], [i % 2 for i in range(12)], test=0.25)
    data, model = data.split(fd.data.IID(), nodes=NODES), fd.Model(nn.Linear(1, 2))

    def work(ours, rank):
        executor = Joined(rank, Site(Setup(model, data)), exchange, Meter(), lambda *_: 0.0)
        executor.members, executor.collective = list(range(NODES)), ours
        blocks = [[Task(n, 0, {})] for n in cohort]
        return executor.wait(executor.submit(Plan(job, (), rule), {"w": torch.ones(4) * failing}, blocks)).acc

    found = [acc for acc, _ in threads(exchange, NODES, "sockets", work)]
    for acc in found:
        assert isinstance(acc, dict), acc
    return found


@pytest.mark.parametrize("exchange", ["tree", "ring"])
@pytest.mark.parametrize(("cohort", "failing"), [((0, 1, 2), False), ((0, 2), False), ((0, 1, 2), True)])
def test_sums_of_integers_wrap_whoever_answers(threads, exchange, cohort, failing):
    answering = [n for n in cohort if not (failing and n == 2)]
    for acc in called(threads, exchange, Sum(), Count(summed=True), cohort, failing):
        assert {k: v.dtype for k, v in acc["sum"].items()} == {
            "n": torch.int32,
            "long": torch.int64,
            "x": torch.float32,
        }
        for name, large, bits in (("n", lambda i: LARGE + i, 32), ("long", lambda i: 2**63 - 3 + i % 2, 64)):
            total = sum(large(n) for n in answering)
            wrapped = (total + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
            assert acc["sum"][name].tolist() == [wrapped] * len(acc["sum"][name])
        assert acc["sum"]["x"].tolist() == [sum(0.5 + n for n in answering)] * 2
        assert acc["weight"] == 2.0 * len(answering)


@pytest.mark.parametrize("exchange", ["tree", "ring"])
def test_integers_that_a_rule_weighs_are_floats_at_all(threads, exchange):
    """A node that was not asked adds zeros of the kind that the rule has made of the others' answers."""
    for acc in called(threads, exchange, Mean(), Count(summed=False), (0, 1)):
        assert acc["sum"]["n"].dtype == acc["sum"]["long"].dtype == torch.float32
        assert acc["sum"]["n"].tolist() == pytest.approx([2.0 * LARGE + 2.0 * (LARGE + 1)] * 3, rel=1e-6)
