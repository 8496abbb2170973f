"""What all transforms have in common: their laws, numbers at the edge, and the bytes that a run counts."""

import math
from dataclasses import dataclass

import pytest
import torch

import foedus as fd
from foedus.core.types.transform import Identity, Transform, nbytes, noisy, shapes_of, wire_chain
from foedus.testing import check_program, check_transform, small
from foedus.transforms import (
    QSGD,
    Cast,
    Chain,
    Clip,
    Difference,
    ErrorFeedback,
    Gaussian,
    PowerSGD,
    RandomK,
    Sign,
    Ternary,
    TopK,
    WorkerMomentum,
)

KEY = fd.Key(0)

UNBIASED = (RandomK(0.3), RandomK(0.01), QSGD(1), QSGD(4), QSGD(300), QSGD(2, bucket=5), QSGD(1, bucket=1), Ternary())
CONTRACTING = (
    TopK(0.2),
    RandomK(0.2, unbiased=False),
    Sign(),
    PowerSGD(1),
    Cast("float16"),
    Cast("bfloat16"),
    Chain((TopK(0.5), QSGD(16))),
    Chain((TopK(0.2), Cast())),
    QSGD(16),
    QSGD(300),
)
WRAPPED = (
    *(ErrorFeedback(t) for t in CONTRACTING),
    *(Difference(t) for t in CONTRACTING),
    Difference(RandomK(0.2), alpha=0.2),
    Difference(Ternary(), alpha=0.25),
)
REPEATABLE = (*UNBIASED, *CONTRACTING, *WRAPPED, Clip(0.1), WorkerMomentum(0.9), Chain(()))


@pytest.mark.parametrize("transform", REPEATABLE, ids=str)
def test_transforms_keep_their_laws(transform: Transform) -> None:
    check_transform(transform, unbiased=transform in UNBIASED, conserves=isinstance(transform, ErrorFeedback))


def _edges() -> dict[str, torch.Tensor]:
    huge, tiny = torch.finfo(torch.float32).max, 2.0**-149
    return {
        "empty": torch.zeros(0),
        "one": torch.tensor([3.0]),
        "one zero": torch.zeros(1),
        "zeros": torch.zeros(37),
        "a matrix of zeros": torch.zeros(9, 7),
        "constant": torch.full((37,), -0.3),
        "denormals": torch.tensor([tiny, -tiny, 0.0, 3 * tiny] * 5),
        "huge": torch.tensor([huge, -huge, 0.0, huge / 3] * 5),
        "huge beside tiny": torch.tensor([huge, tiny, -1.0, 0.0]),
        "a huge matrix": torch.full((9, 7), huge),
    }


@pytest.mark.parametrize("edge", _edges())
@pytest.mark.parametrize("transform", [*REPEATABLE, Gaussian(0.1)], ids=str)
def test_numbers_at_the_edge(transform: Transform, edge: str) -> None:
    """No division of zero by zero, and no infinity but where an unbiased rule must scale up what is nearly infinite."""
    parts = {"delta": _edges()[edge], "buffers": torch.ones(2)}
    sent, state = transform.encode(fd.Update(parts, 1.0), {}, KEY)
    assert dict(shapes_of(sent.parts)) == dict(transform.wire(shapes_of(parts)))
    came, memory = transform.receive(sent, shapes_of(parts), {})
    assert shapes_of(came.parts) == shapes_of(parts)
    assert not came["delta"].isnan().any()
    scales_up = transform in (RandomK(0.3), RandomK(0.01), Difference(RandomK(0.2), alpha=0.2))
    if not (scales_up and "huge" in edge):
        assert came["delta"].isfinite().all()
        assert all(v.isfinite().all() for v in (*state.values(), *memory.values()))
    if edge in ("zeros", "one zero", "a matrix of zeros") and not noisy(transform):
        assert not came["delta"].any()


@pytest.mark.parametrize("transform", [*UNBIASED, Sign(), Cast(), Cast("bfloat16"), TopK(1.0)], ids=str)
def test_one_number_arrives_whole_where_it_can(transform: Transform) -> None:
    parts = {"delta": torch.tensor([-2.5])}
    sent, _ = transform.encode(fd.Update(parts, 1.0), {}, KEY)
    assert transform.decode(sent, shapes_of(parts))["delta"].tolist() == [-2.5]


def test_a_chain_is_its_transforms_one_after_the_other() -> None:
    parts = {"delta": torch.randn(50, generator=torch.Generator().manual_seed(0))}
    several = (Clip(1.0), TopK(0.2), QSGD(4))
    sent, _ = Chain(several).encode(fd.Update(parts, 1.0), {}, KEY)
    by_hand = fd.Update(parts, 1.0)
    for i, t in enumerate(several):
        by_hand, _ = t.encode(by_hand, {}, KEY.child(i))
    assert {k: v.tolist() for k, v in sent.parts.items()} == {k: v.tolist() for k, v in by_hand.parts.items()}
    assert Chain(several).wire(shapes_of(parts)) == wire_chain(several, shapes_of(parts))[-1]
    kept = Chain(several).decode(sent, shapes_of(parts))["delta"].nonzero().flatten()
    assert set(kept.tolist()) <= set(parts["delta"].abs().topk(10).indices.tolist())


@dataclass(frozen=True)
class _Halves(Identity):
    """Has a coordinator's half: halves the aggregate and counts."""

    def init(self, shapes):
        return 0

    def finish(self, total, state, key):
        return {k: v / 2 for k, v in total.items()}, state + 1


@pytest.mark.parametrize("wrap", [ErrorFeedback, Difference, lambda t: Chain((t, Clip(1.0))), lambda t: Chain((t,))])
def test_what_is_wrapped_keeps_its_coordinators_half(wrap) -> None:
    transform = wrap(_Halves())
    total, state = transform.finish({"delta": torch.ones(2)}, transform.init({"delta": ((2,), torch.float32)}), KEY)
    assert total["delta"].tolist() == [0.5, 0.5]
    assert state in (1, [1], [1, None])


# -- bytes ---------------------------------------------------------------------------------------------------------

P = 16 * 64 + 16 + 10 * 16 + 10
"""Parameters of the network below: two matrices, 16 x 64 and 10 x 16, and two vectors."""
EIGHTS, TENTH = math.ceil(P / 8), math.ceil(P / 10)

BYTES = {
    (): 4 * P,
    (TopK(0.1),): TENTH * (4 + 4),
    (RandomK(0.1),): TENTH * 4 + 8,
    (QSGD(1),): 2 * EIGHTS + 4,
    (QSGD(4),): 4 * EIGHTS + 4,
    (QSGD(255),): 9 * EIGHTS + 4,
    (QSGD(7, bucket=100),): 4 * EIGHTS + 4 * math.ceil(P / 100),
    (Sign(),): EIGHTS + 4,
    (Ternary(),): math.ceil(P / 5) + 4,
    (Cast("float16"),): 2 * P,
    (Cast("bfloat16"),): 2 * P,
    (PowerSGD(2),): 4 * (2 * (16 + 64) + 16 + 2 * (10 + 16) + 10),
    (PowerSGD(8),): 4 * (8 * (16 + 64) + 16 + 10 * 16 + 10),  # the second matrix would not get smaller
    (ErrorFeedback(TopK(0.1)),): TENTH * 8,
    (ErrorFeedback(PowerSGD(1)),): 4 * (16 + 64 + 16 + 10 + 16 + 10),
    (Difference(Sign()),): EIGHTS + 4,
    (ErrorFeedback(Chain((TopK(0.1), Cast()))),): TENTH * (2 + 4),
    (TopK(0.1), QSGD(4)): 4 * math.ceil(TENTH / 8) + 4 + TENTH * 4,
    (RandomK(0.1), Sign()): math.ceil(TENTH / 8) + 4 + 8,
    (PowerSGD(2), Cast()): 2 * (2 * (16 + 64) + 16 + 2 * (10 + 16) + 10),
    (Clip(1.0), Gaussian(0.01)): 4 * P,
    (Clip(1.0), Gaussian(0.01), Cast()): 2 * P,
}


@pytest.mark.parametrize("transforms", BYTES, ids=str)
def test_a_run_counts_the_bytes_of_the_formula(transforms: tuple[Transform, ...]) -> None:
    data = fd.data.load("digits").split(fd.data.IID(), nodes=4, seed=0)
    model = fd.Model(fd.models.mlp(64, 16, 10))
    assert model.layout.parameters == P
    program = fd.FedAvg(2, fd.Fixed(3), fd.LocalSGD(batch_size=None), transforms=transforms)
    run = fd.train(program, model, data, evaluate_every=2)
    assert run.ledger.bytes_up == 2 * 3 * BYTES[transforms]
    assert run.ledger.bytes_down == 2 * 3 * 4 * P
    assert math.isfinite(run.history[-1].loss)


def test_buffers_travel_as_they_are() -> None:
    problem = small()
    layout = problem.model.layout
    program = fd.FedAvg(1, fd.Fixed(2), transforms=(ErrorFeedback(Sign()),))
    run = fd.train(program, problem.model, problem.data)
    assert layout.buffers > 0
    assert run.ledger.bytes_up == 2 * (math.ceil(layout.parameters / 8) + 4 + 4 * layout.buffers)


@dataclass(frozen=True)
class _Lies(Identity):
    """Announces half of what it sends."""

    def wire(self, shapes):
        return {k: (shape, torch.float16) for k, (shape, _) in shapes.items()}


def test_what_travels_is_what_was_announced() -> None:
    problem = small()
    with pytest.raises(fd.NodeFailed, match="announced"):
        fd.train(fd.FedAvg(1, transforms=(_Lies(),)), problem.model, problem.data)
    shapes = {"delta": ((3,), torch.float32)}
    assert nbytes(_Lies().wire(shapes)) == 6


@dataclass(frozen=True)
class _Nan:
    """One coordinate of node 2's answer is NaN, or infinite; random-k may not choose it, a cast would hide it."""

    value: float

    def work(self, rows):
        return fd.Work(trained=rows)

    def parts(self, model):
        return {"delta": (model.layout.parameters,)}

    def __call__(self, node, args):
        delta = torch.ones(node.model.layout.parameters)
        if node.id == 2:
            delta[5] = self.value
        return fd.Update({"delta": delta}, 1.0, {}, node.id), {}


@dataclass(frozen=True)
class _Once:
    job: object
    transforms: tuple

    async def __call__(self, fed):
        s = await fed.begin(lambda w: fd.State(w=w))
        await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), fd.Mean(), transforms=self.transforms)
        await fed.commit(s)
        return s.w


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("transform", [RandomK(0.01), Cast(), QSGD(4), Sign()], ids=str)
def test_no_transform_hides_what_is_not_finite(transform: Transform, value: float) -> None:
    problem = small()
    with pytest.raises(fd.Diverged, match="node 2"):
        fd.train(_Once(_Nan(value), (transform,)), problem.model, problem.data)


# -- the same bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transforms", "workers"),
    [
        ((Difference(QSGD(8)),), (1, 2)),
        ((Clip(1.0), ErrorFeedback(Chain((PowerSGD(1), Cast())))), (1,)),
        ((ErrorFeedback(Chain((RandomK(0.3), QSGD(8)))),), (1,)),
    ],
    ids=str,
)
def test_the_same_with_any_workers_and_resumed(transforms: tuple[Transform, ...], workers: tuple[int, ...]) -> None:
    program = fd.FedAvg(2, fd.Fixed(4), fd.LocalSGD(batch_size=20), transforms=transforms)
    check_program(program, workers=workers, synchronous=True)
