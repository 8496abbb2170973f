"""Laws that any aggregator, transform, program or runtime must keep, yours included.

Every check raises ``AssertionError`` with the law that was broken, what was expected and what came. They need no test
framework, so that they run in a script, in a notebook or under pytest alike.

>>> import foedus as fd
>>> check_aggregator(fd.Median(), exact=True)
>>> check_transform(fd.ErrorFeedback(fd.TopK(0.25)), conserves=True)

Legend: K updates, D numbers of an update, N rows.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

import cloudpickle
import torch
from torch import Tensor, nn

from foedus.aggregators import Mean, Median
from foedus.core.aggregator import Aggregator, blocks, fold
from foedus.core.data import FederatedDataset
from foedus.core.errors import NodeFailed
from foedus.core.federation import Federation
from foedus.core.job import NodeState, NodeView, Work
from foedus.core.keys import Key
from foedus.core.ledger import Costs
from foedus.core.model import Model, join
from foedus.core.run import Record
from foedus.core.run import Run as _Run
from foedus.core.runtime import Runtime
from foedus.core.state import State
from foedus.core.transform import Shapes, Transform, nbytes, shapes_of
from foedus.core.trees import flatten, unflatten
from foedus.core.update import BUFFERS, Tensors, Update
from foedus.data import Dirichlet, Natural, arrays, load
from foedus.jobs import Gradient, LocalSGD
from foedus.optimizers import Adam
from foedus.runtimes import Simulation
from foedus.runtimes.warm import running
from foedus.sampling import AfterCommits, Fixed
from foedus.training import train
from foedus.transforms import ErrorFeedback, TopK

__all__ = [
    "Problem", "check_aggregator", "check_program", "check_runtime", "check_transform", "half_squares", "integers",
    "quadratic", "same_history", "small",
]  # fmt: skip

CLOSE = 1e-6
"""What the order of floating-point sums may change, relative to the largest number at hand (at least 1)."""


# -- small problems ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A model and data divided among nodes, small enough for a law."""

    model: Model
    data: FederatedDataset


def half_squares(output: Tensor, target: Tensor) -> Tensor:
    """Half of the squared error of each row (N,): its gradient has no factor 2, so integers stay integers."""
    return (output - target.view_as(output)).square().flatten(1).sum(1) / 2


def quadratic(start: float = 0.0) -> Problem:
    """Two nodes with f1 = x^2 / 2 and f2 = 2 (x - 1)^2: one weight x, equal weights, optimum 0.8.

    A row (s, s b) has the loss (s x - s b)^2 / 2, so node 1 holds the row (1, 0) and node 2 the row (2, 2).
    """
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, start)
    x, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [2.0]])
    return Problem(Model(module, half_squares), arrays(x, y, node=[0, 1], name="quadratic").split(Natural()))


def integers(sizes: Sequence[int] = (1, 1, 2, 4, 8, 16)) -> Problem:
    """Linear regression on 32 rows of small integers, divided into uneven nodes: float32 computes it exactly.

    Rows are the 32 patterns of five signs, in four columns, so that the Hessian of the mean loss is the identity:
    with a learning rate of 1/2 a round costs one binary digit, and some ten rounds stay within the 24 that there are.
    ``sizes`` are the rows of each node and sum to 32. Where nodes divide by their own rows they must be powers of two.
    """
    assert sum(sizes) == 32, "the sizes of the nodes must sum to 32"
    order = [(11 * i) % 32 for i in range(32)]  # so that a node's rows are no pattern of their own
    x = torch.tensor([[1.0 if i >> j & 1 else -1.0 for j in range(4)] for i in order])
    noise = torch.tensor([float(7 * i % 5 - 2) for i in range(32)])
    y = (x @ torch.tensor([3.0, -2.0, 1.0, 4.0]) + noise)[:, None]
    node = [k for k, n in enumerate(sizes) for _ in range(n)]
    module = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(module.weight)
    return Problem(Model(module, half_squares), arrays(x, y, node=node, name="integers").split(Natural()))


class _Centre(nn.Module):
    """Subtracts a running mean: a float buffer and an integer one, as batch norm has, that take a batch of one row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.mean: Tensor
        self.batches: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches += 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
        return x - self.mean


def small(nodes: int = 6, rows: int = 150) -> Problem:
    """Digits over uneven nodes, and a network with dropout, a float buffer and an integer one."""
    digits = load("digits")
    assert isinstance(digits.x, Tensor)
    assert isinstance(digits.test_x, Tensor)
    data = arrays(digits.x[:rows, ::4], digits.y[:rows], test=(digits.x[-60:, ::4], digits.y[-60:]), classes=10)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = nn.Sequential(nn.Linear(16, 8), _Centre(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 10))
    return Problem(Model(module), data.split(Dirichlet(alpha=1.0), nodes=nodes, seed=0))


# -- what a broken law says ----------------------------------------------------------------------------------------


class _Laws:
    """Says which law of which subject was broken."""

    def __init__(self, subject: Any) -> None:
        self._subject = repr(subject)

    def require(self, holds: bool, law: str, expected: Any, came: Any) -> None:
        """The law, if it does not hold."""
        if not holds:
            raise AssertionError(f"{self._subject} breaks the law {law!r}: expected {expected}; got {came}")

    @contextlib.contextmanager
    def attempt(self, law: str, expected: str) -> Iterator[None]:
        """An error in the subject's own code is a broken law, too."""
        try:
            yield
        except AssertionError:
            raise
        except Exception as e:
            came = f"{type(e).__name__}: {e}"
            raise AssertionError(f"{self._subject} breaks the law {law!r}: expected {expected}; got {came}") from e

    def same(self, came: Tensors, expected: Tensors, law: str) -> None:
        """Equal names, shapes, dtypes and bits."""
        self._alike(came, expected, law)
        for name, e in expected.items():
            self.require(
                _bits(came[name]) == _bits(e), law, f"the very bits of {_show(name, e)}", _show(name, came[name])
            )

    def close(self, came: Tensors, expected: Tensors, law: str, tolerance: float = CLOSE) -> None:
        """Equal names and shapes, and numbers that agree to ``tolerance``."""
        self._alike(came, expected, law)
        for name, e in expected.items():
            gap = float((came[name].double() - e.double()).abs().max()) if e.numel() else 0.0
            scale = max(1.0, float(e.abs().max())) if e.numel() else 1.0
            self.require(gap <= tolerance * scale, law, f"{_show(name, e)} to {tolerance:g}", _show(name, came[name]))

    def finite(self, came: Tensors, law: str) -> None:
        """No NaN, no infinity."""
        for name, t in came.items():
            self.require(bool(torch.isfinite(t.double()).all()), law, "finite numbers", _show(name, t))

    def _alike(self, came: Tensors, expected: Tensors, law: str) -> None:
        self.require(shapes_of(came) == shapes_of(expected), law, dict(shapes_of(expected)), dict(shapes_of(came)))

    def storable(self, tree: Any, law: str) -> Any:
        """A tree that a checkpoint can hold; returns it as it comes back."""
        with self.attempt(law, "a tree of tensors, numbers, strings, None, dicts, lists, tuples and States"):
            plain, tensors = flatten(tree)
            return unflatten(json.loads(json.dumps(plain)), [t.clone() for t in tensors])

    def portable(self, thing: Any) -> None:
        """It travels to workers, and its repr (which names its memory in a checkpoint) is the same there."""
        law = "travels as data"
        with self.attempt(law, "something that cloudpickle can copy"):
            twin = cloudpickle.loads(cloudpickle.dumps(thing))
        self.require(
            repr(twin) == repr(thing),
            law,
            f"a copy with the same repr, {thing!r} (make it a frozen dataclass)",
            repr(twin),
        )


def _bits(t: Tensor) -> bytes:
    return t.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()  # NumPy has no bfloat16


def _show(name: str, t: Tensor) -> str:
    numbers = t.flatten().tolist()
    return f"{name} {numbers[:8]}" + (" ..." if len(numbers) > 8 else "")


def _clone(tree: Any) -> Any:
    plain, tensors = flatten(tree)
    return unflatten(plain, [t.clone() for t in tensors])


# -- aggregators -------------------------------------------------------------------------------------------------


def check_aggregator(
    aggregator: Aggregator, *, exact: bool = False, idempotent: bool = True, updates: int = 11, seed: int = 0
) -> None:
    """Check an aggregator against its laws.

    ``exact``       another split or another order must give the same bits, not only numbers that agree to 1e-6.
    ``idempotent``  identical updates give that update back; False for rules that shrink on purpose.
    ``updates``     how many are aggregated; as many as the rule needs.
    """
    laws = _Laws(aggregator)
    key = Key(seed).child("check_aggregator")
    laws.portable(aggregator)
    shapes: Shapes = {"delta": ((6,), torch.float32), BUFFERS: ((2,), torch.float32)}
    us = [_update(shapes, key.child(k), weight=1.0 + k % 4, node=k) for k in range(updates)]
    state = aggregator.init(shapes)
    laws.storable(state, "its state can be stored")

    def given(chosen: Sequence[Update] = us) -> list[Update]:
        return [u.with_parts({k: v.clone() for k, v in u.parts.items()}) for u in chosen]

    def fill(chosen: Sequence[Update]) -> Any:
        acc = aggregator.empty()
        for u in given(chosen):
            acc = aggregator.add(acc, u)
        return acc

    def read(acc: Any) -> Tensors:
        parts, after = aggregator.read(acc, _clone(state))
        laws.storable(after, "its state can be stored")
        return parts

    agree = laws.same if exact else laws.close

    with laws.attempt("folds updates", "the aggregate of finite updates"):
        total = dict(fold(aggregator, given(), _clone(state))[0])
    laws.require(
        {k: s for k, (s, _) in shapes_of(total).items()} == {k: s for k, (s, _) in shapes.items()},
        "has the parts of the updates", {k: s for k, (s, _) in shapes.items()}, dict(shapes_of(total)),
    )  # fmt: skip
    laws.finite(total, "finite updates give a finite aggregate")
    laws.same(fold(aggregator, given(), _clone(state))[0], total, "the same updates give the same bits")

    law = "blocks are merged up the canonical tree"
    accs = [fill([us[p] for p in block]) for block in blocks(updates)]
    laws.same(read(_up_the_tree(aggregator, accs)), total, law)
    accs = [laws.storable(fill([us[p] for p in block]), "accumulators can travel") for block in blocks(updates)]
    laws.same(read(_up_the_tree(aggregator, accs)), total, "accumulators can travel")
    law = "merging is folding"
    agree(read(fill(us)), total, law)
    for cut in (1, updates // 2, updates - 1):
        agree(read(aggregator.merge(fill(us[:cut]), fill(us[cut:]))), total, law)
    law = "empty is the identity of merge"
    whole = read(fill(us))
    laws.same(read(aggregator.merge(aggregator.empty(), fill(us))), whole, law)
    laws.same(read(aggregator.merge(fill(us), aggregator.empty())), whole, law)
    with laws.attempt("nothing gives nothing", "no parts from the empty accumulator"):
        nothing = read(aggregator.empty())
    laws.require(len(nothing) == 0, "nothing gives nothing", "no parts from the empty accumulator", dict(nothing))

    order = key.child("order").numpy().permutation(updates).tolist()
    agree(
        fold(aggregator, given([us[i] for i in order]), _clone(state))[0], total, "the order of nodes does not matter"
    )
    summed = [
        replace(u, parts={k: v * u.weight for k, v in u.parts.items()}, summed=True) if i % 2 else u
        for i, u in enumerate(us)
    ]
    laws.close(
        fold(aggregator, given(summed), _clone(state))[0], total, "a summed update counts as its value with its weight"
    )
    if idempotent:
        alike = [replace(u, parts=us[0].parts) for u in us]
        laws.close(fold(aggregator, given(alike), _clone(state))[0], us[0].parts, "identical updates give that update")
    if aggregator.robust:
        _check_survival(laws, aggregator, us, given, state)
    _check_stack(laws, aggregator, torch.stack([u["delta"] for u in us]), exact)


def _check_survival(
    laws: _Laws, aggregator: Aggregator, us: list[Update], given: Callable[..., list[Update]], state: Any
) -> None:
    law = "a robust rule drops an update that is not finite"
    for poison in (math.nan, math.inf):
        bad = us[3].with_parts({k: torch.full_like(v, poison) for k, v in us[3].parts.items()})
        with laws.attempt(law, "the aggregate of the others"):
            came = fold(aggregator, given([*us, bad]), _clone(state))[0]
        laws.finite(came, law)
        laws.close(came, fold(aggregator, given(us), _clone(state))[0], law)


def _check_stack(laws: _Laws, aggregator: Any, u_KD: Tensor, exact: bool) -> None:
    law = "can be called on a stack"
    laws.require(callable(aggregator), law, "aggregator(u_KD) (inherit from Callability)", "not callable")
    before = u_KD.clone()
    weights = torch.ones(len(u_KD))
    with laws.attempt(law, "a vector (D,)"):
        u_D = aggregator(u_KD)
        again = aggregator(u_KD, weights)
    laws.require(u_D.shape == u_KD.shape[1:], law, f"shape {tuple(u_KD.shape[1:])}", f"shape {tuple(u_D.shape)}")
    laws.same({"u": u_KD}, {"u": before}, "a rule does not change its input")
    laws.same({"w": weights}, {"w": torch.ones(len(u_KD))}, "a rule does not change its input")
    laws.same({"u": u_D}, {"u": again}, "weights are equal by default")
    flipped = aggregator(u_KD.flip(0))
    (laws.same if exact else laws.close)({"u": flipped}, {"u": u_D}, "the order of nodes does not matter")


def _up_the_tree(aggregator: Aggregator, accs: list[Any]) -> Any:
    """The canonical tree, written down a second time: the left half is the largest power of two that leaves a right."""
    if len(accs) == 1:
        return accs[0]
    left = 1 << (len(accs) - 1).bit_length() - 1
    return aggregator.merge(_up_the_tree(aggregator, accs[:left]), _up_the_tree(aggregator, accs[left:]))


def _update(shapes: Shapes, key: Key, weight: float = 1.0, node: int = 0, scale: float = 0.1) -> Update:
    parts = {
        name: torch.randn(shape, generator=key.child(name).torch(), dtype=dtype) * scale
        for name, (shape, dtype) in shapes.items()
    }
    return Update(parts, weight, {}, node)


# -- transforms --------------------------------------------------------------------------------------------------

EXAMPLE: Shapes = {"delta": ((23,), torch.float32), "matrix": ((4, 3), torch.float32), BUFFERS: ((3,), torch.float32)}
"""Shapes of the updates that a transform is tried on, unless others are asked for."""


def residuals(state: NodeState) -> Tensors:
    """What ``ErrorFeedback`` still owes, by part."""
    return {k.removeprefix("residual:"): v for k, v in state.items() if k.startswith("residual:")}


def check_transform(
    transform: Transform,
    *,
    conserves: bool = False,
    unbiased: bool = False,
    shapes: Shapes = EXAMPLE,
    residual: Callable[[NodeState], Tensors] = residuals,
    steps: int = 6,
    seed: int = 0,
) -> None:
    """Check a transform against its laws.

    ``conserves``  error feedback: the sum of what was sent plus ``residual(node_state)`` is the sum of what was wanted.
    ``unbiased``   the mean of what arrives over many keys is what was sent, within five standard errors.
    ``shapes``     of the updates to try it on.
    """
    laws = _Laws(transform)
    laws.portable(transform)
    key = Key(seed).child("check_transform")
    with laws.attempt("announces what travels", "wire(shapes)"):
        wire = dict(transform.wire(shapes))
    state: NodeState = {}
    memory: NodeState = {}
    for step in range(steps):
        u = _update(shapes, key.child("u", step), weight=3.0)
        state, memory = _check_passage(laws, transform, u, state, memory, key.child("passage", step), shapes, wire)
    zero = Update({k: torch.zeros(s, dtype=d) for k, (s, d) in shapes.items()}, 1.0)
    _check_passage(laws, transform, zero, {}, {}, key.child("zero"), shapes, wire)
    _check_passage(laws, transform, zero, state, memory, key.child("zero"), shapes, wire)
    _check_summed(laws, transform, _update(shapes, key.child("summed")), key.child("coin"), shapes)
    _check_finish(laws, transform, shapes, key.child("finish"))
    if conserves:
        _check_conservation(laws, transform, residual, shapes, key, steps)
    if unbiased:
        _check_unbiased(laws, transform, _update(shapes, key.child("biased")), shapes, key)


def _check_passage(
    laws: _Laws,
    transform: Transform,
    u: Update,
    state: NodeState,
    memory: NodeState,
    key: Key,
    shapes: Shapes,
    wire: Shapes,
) -> tuple[NodeState, NodeState]:
    """One update through encode and decode; the next state of the node, and of what the coordinator remembers of it."""
    before_u, before_state = _clone(dict(u.parts)), _clone(dict(state))
    with laws.attempt("encodes any finite update", "encode(u, state, key)"):
        sent, after = transform.encode(u, state, key)
    laws.same(u.parts, before_u, "encode does not change its input")
    # The answer may yet be dropped, and then the node goes on from the old state.
    laws.same(state, before_state, "encode does not change the node's old state")
    law = "announces what travels"
    have = dict(shapes_of(sent.parts))
    laws.require(have == dict(wire), law, f"what wire() said, {dict(wire)}", have)
    laws.require(nbytes(have) == nbytes(wire), law, f"{nbytes(wire)} bytes", f"{nbytes(have)} bytes")
    _check_state(laws, after)

    # Torch's own generator must not decide: it is in another state in every worker.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key.child("noise").integer())
        twin, twin_after = transform.encode(u, _clone(dict(state)), key)
    law = "the same key gives the same bits"
    laws.same(twin.parts, sent.parts, law)
    laws.same(dict(twin_after), dict(after), law)

    before_sent, before_memory = _clone(dict(sent.parts)), _clone(dict(memory))
    with laws.attempt("decodes what it encoded", "decode(u, shapes)"):
        transform.decode(sent, shapes)
        back, memory_after = transform.receive(sent, shapes, memory)
    laws.same(sent.parts, before_sent, "decode does not change its input")
    laws.same(memory, before_memory, "decode does not change what the coordinator remembers")
    _check_state(laws, memory_after)
    law = "decoding brings the shapes back"
    laws.require(dict(shapes_of(back.parts)) == dict(shapes), law, dict(shapes), dict(shapes_of(back.parts)))
    laws.finite(back.parts, "finite updates arrive finite")
    if BUFFERS in shapes:
        law = "buffers are not touched"
        laws.same({BUFFERS: sent.parts[BUFFERS]}, {BUFFERS: before_u[BUFFERS]}, law)
        laws.same({BUFFERS: back.parts[BUFFERS]}, {BUFFERS: before_u[BUFFERS]}, law)
    return after, memory_after


def _check_state(laws: _Laws, state: NodeState) -> None:
    law = "node state is named tensors"
    laws.require(isinstance(state, Mapping), law, "a dict of tensors", type(state).__name__)
    for name, t in state.items():
        laws.require(isinstance(name, str) and isinstance(t, Tensor), law, "a dict of tensors", f"{name!r}: {type(t)}")
    laws.storable(dict(state), law)
    laws.finite(dict(state), "finite updates leave a finite state")


def _check_summed(laws: _Laws, transform: Transform, u: Update, key: Key, shapes: Shapes) -> None:
    """Per unit of weight, a sum over four rows fares as its mean does; four, for then the arithmetic is the same."""
    plain = replace(u, weight=4.0)
    summed = replace(plain, parts={k: v * 4.0 for k, v in u.parts.items()}, summed=True)
    a = transform.decode(transform.encode(plain, {}, key)[0], shapes)
    b = transform.decode(transform.encode(summed, {}, key)[0], shapes)
    law = "a summed update fares as its value"
    laws.require(b.summed and not a.summed, law, "the flag 'summed' to stay as it was", f"{a.summed}, {b.summed}")
    laws.close(b.value(), a.value(), law)


def _check_finish(laws: _Laws, transform: Transform, shapes: Shapes, key: Key) -> None:
    law = "finish keeps the aggregate's shapes"
    with laws.attempt(law, "init(shapes) and finish(total, state, key)"):
        state = transform.init(shapes)
        laws.storable(state, "its state can be stored")
        total = dict(_update(shapes, key.child("total")).parts)
        before, memory = _clone(total), _clone(state)
        came, after = transform.finish(total, state, key)
        laws.same(total, before, "finish does not change its input")
        twin, _ = transform.finish(_clone(total), memory, key)
    laws.require(dict(shapes_of(came)) == dict(shapes), law, dict(shapes), dict(shapes_of(came)))
    laws.finite(came, "a finite aggregate stays finite")
    laws.same(twin, came, "the same key gives the same bits")
    laws.storable(after, "its state can be stored")
    if BUFFERS in shapes:
        laws.same({BUFFERS: came[BUFFERS]}, {BUFFERS: before[BUFFERS]}, "buffers are not touched")


def _check_conservation(
    laws: _Laws, transform: Transform, residual: Callable[[NodeState], Tensors], shapes: Shapes, key: Key, steps: int
) -> None:
    law = "what was sent and what is owed is what was wanted"
    wanted = {k: torch.zeros(s, dtype=torch.float64) for k, (s, _) in shapes.items() if k != BUFFERS}
    sent = {k: v.clone() for k, v in wanted.items()}
    state: NodeState = {}
    memory: NodeState = {}
    for step in range(steps):
        u = _update(shapes, key.child("wanted", step))
        encoded, state = transform.encode(u, state, key.child("sent", step))
        arrived, memory = transform.receive(encoded, shapes, memory)
        owed = residual(state)
        laws.require(set(owed) == set(wanted), law, f"a residual of {sorted(wanted)}", f"of {sorted(owed)}")
        for k in wanted:
            wanted[k] += u[k].double()
            sent[k] += arrived[k].double()
        laws.close({k: sent[k] + owed[k].double() for k in wanted}, wanted, f"{law}, after {step + 1} steps")


def _check_unbiased(laws: _Laws, transform: Transform, u: Update, shapes: Shapes, key: Key, draws: int = 400) -> None:
    for name in (k for k in shapes if k != BUFFERS):
        came = torch.stack(
            [
                transform.decode(transform.encode(u, {}, key.child("draw", i))[0], shapes)[name].double()
                for i in range(draws)
            ]
        )
        error = (came.mean(0) - u[name].double()).abs()
        # Five standard errors, and float32's own rounding where a number never varies.
        allowed = 5 * came.std(0) / math.sqrt(draws) + CLOSE * float(u[name].abs().max())
        worst = int((error - allowed).argmax())
        laws.require(
            bool((error <= allowed).all()), "the mean of what arrives is what was sent",
            f"{name}[{worst}] = {float(u[name].flatten()[worst]):.6g} within {float(allowed.flatten()[worst]):.2g}",
            f"{float(came.mean(0).flatten()[worst]):.6g} over {draws} keys",
        )  # fmt: skip


# -- programs ----------------------------------------------------------------------------------------------------

REAL_TIME = ("wall_s",)
"""Fields of a record that no two runs share."""
ANY_TIME = (
    "wall_s",
    "virtual_s",
    "median_s",
    "compute_s",
    "wire_s",
    "waiting_s",
    "serial_s",
    "off_s",
    "lost_s",
    "awaited_s",
)
"""Fields that only simulations share, of a record and of costs."""


def same_history(a: Sequence[Record], b: Sequence[Record], ignore: Sequence[str] = REAL_TIME) -> str:
    """Where two histories differ in anything but ``ignore``, in words; empty if they do not."""
    if len(a) != len(b):
        return f"{len(a)} records and {len(b)}"
    for x, y in zip(a, b, strict=True):
        for name, mine in asdict(x).items():
            theirs = getattr(y, name)
            if name not in ignore and repr(mine) != repr(theirs):  # repr, so that NaN is NaN
                return f"commit {x.round}: {name} is {mine!r} and {theirs!r}"
    return ""


def check_program(
    program: Any,
    model: Model | None = None,
    data: FederatedDataset | None = None,
    runtime: Runtime | None = None,
    *,
    workers: Sequence[int] = (1, 2),
    seeds_matter: bool = True,
    synchronous: bool = False,
    seed: int = 0,
) -> _Run:
    """Check a program against its laws, on a small problem unless one is given; returns the run that all must equal.

    ``workers``       numbers of workers that must give the same bits; each more than 1 costs a second or two.
    ``seeds_matter``  another seed gives another model; False for programs that draw nothing.
    ``synchronous``   every commit is one call that waits for its whole cohort: then compute, wire and waiting of its
                      nodes add up to the cohort times the time that passed.
    """
    if (model is None) != (data is None):
        raise ValueError("give a model and its data, or neither")
    if model is None or data is None:
        problem = small()
        model, data = problem.model, problem.data
    runtime = runtime if runtime is not None else Simulation()
    laws = _Laws(program)
    ignore = REAL_TIME if isinstance(runtime, Simulation) else ANY_TIME

    def run(**options: Any) -> _Run:
        options = {"runtime": runtime, "seed": seed, "per_node": True, **options}
        with laws.attempt("runs", "a finished run"):
            return train(program, model, data, **options)

    def equal(came: _Run, law: str) -> None:
        difference = same_history(whole.history, came.history, ignore)
        laws.require(not difference, law, "the same history", difference)
        laws.require(came.sha256 == whole.sha256, law, f"the model {whole.sha256}", came.sha256)

    random_state = torch.random.get_rng_state()
    whole = run()
    law = "leaves torch's generator as it was"
    laws.require(torch.equal(random_state, torch.random.get_rng_state()), law, "the state before the run", "another")
    laws.require(len(whole.history) > 0, "commits", "at least one commit", "none")
    _check_ledger(laws, whole, synchronous)
    equal(run(), "the same seed gives the same run")
    if seeds_matter:
        other = run(seed=seed + 1)
        law = "another seed gives another run"
        laws.require(other.sha256 != whole.sha256, law, "another model", f"{other.sha256} twice")
    for n in workers:
        has_workers = is_dataclass(runtime) and any(f.name == "workers" for f in fields(runtime))
        if has_workers and n != getattr(runtime, "workers", None):
            equal(run(runtime=replace(runtime, workers=n)), f"the same with {n} workers")  # type: ignore[type-var]
    for t in range(1, len(whole.history)):
        law = f"stop after commit {t}, resume, and nothing has changed"
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            stopped = run(out=out, stop=AfterCommits(t))
            laws.require(stopped.history[-1].round == t, law, f"{t} commits", f"{stopped.history[-1].round}")
            # From memory twice: what resumes must not change the checkpoint it came from.
            for where, options in (
                ("from memory", {"resume": stopped}),
                ("from memory again", {"resume": stopped}),
                ("from its folder", {"resume": True, "out": out}),
            ):
                resumed = run(**options)
                equal(resumed, f"{law} ({where})")
                _check_same_books(laws, resumed, whole, f"{law} ({where})", ignore)
    return whole


def _check_ledger(laws: _Laws, run: _Run, synchronous: bool) -> None:
    law = "the ledger only grows"
    counted = ("round", "epochs", "bytes_up", "bytes_down", "messages", "compute_s", "wire_s", "waiting_s", "virtual_s")
    before = Record(round=0)
    for r in run.history:
        laws.require(
            r.round == before.round + 1, "one record a commit", f"round {before.round + 1}", f"round {r.round}"
        )
        for name in counted:
            was, now = getattr(before, name), getattr(r, name)
            laws.require(now >= was, f"{law} (round {r.round})", f"{name} of at least {was}", now)
        for name in ("bytes_up", "bytes_down", "messages"):
            laws.require(isinstance(getattr(r, name), int), law, f"a whole number of {name}", getattr(r, name))
        if synchronous:
            spent = sum(getattr(r, n) - getattr(before, n) for n in ("compute_s", "wire_s", "waiting_s"))
            passed = r.cohort * (r.virtual_s - before.virtual_s)
            laws.require(
                math.isclose(spent, passed, rel_tol=1e-9, abs_tol=1e-12 + 1e-12 * r.cohort * r.virtual_s),
                f"compute, wire and waiting fill the round (round {r.round})",
                f"{passed} node-seconds, {r.cohort} nodes times what passed", f"{spent}",
            )  # fmt: skip
        before = r
    last, total = run.history[-1], run.ledger.total
    for name in ("bytes_up", "bytes_down", "compute_s", "wire_s", "waiting_s"):
        came = getattr(total, name)
        laws.require(
            came == getattr(last, name), "the ledger is the last record", f"{name} {getattr(last, name)}", came
        )
    summed = Costs()
    for costs in run.ledger.nodes.values():
        summed.add(costs)
    for name, value in total.as_dict().items():
        came = getattr(summed, name)
        law = "the nodes' accounts sum to the total"
        laws.require(math.isclose(came, value, rel_tol=1e-9, abs_tol=1e-9), law, f"{name} {value}", came)


def _check_same_books(laws: _Laws, came: _Run, whole: _Run, law: str, ignore: Sequence[str]) -> None:
    for name, value in whole.ledger.total.as_dict().items():
        if name not in ignore:
            laws.require(
                getattr(came.ledger.total, name) == value, law, f"{name} {value}", getattr(came.ledger.total, name)
            )
    best = (came.best is None, None if came.best is None else came.best.round)
    expected = (whole.best is None, None if whole.best is None else whole.best.round)
    laws.require(best == expected, law, f"the best round {expected[1]}", best[1])
    laws.same({"best": came.best_vector}, {"best": whole.best_vector}, law)


# -- runtimes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raises:
    """A job that raises at one node from its n-th job on (counted from 0), and answers its rows' number elsewhere.

    ``work`` and ``parts`` are honest, so that it stands in for any job whose code is wrong.
    """

    node: int
    job_number: int = 0

    def work(self, rows: int) -> Work:
        return Work(trained=rows)

    def parts(self, model: Model) -> dict[str, tuple[int, ...]]:
        return {"delta": (model.layout.parameters,)}

    def __call__(self, node: NodeView, args: Tensors) -> tuple[Update, NodeState]:
        done = int(node.state["jobs"]) if "jobs" in node.state else 0
        if node.id == self.node and done >= self.job_number:
            raise ZeroDivisionError("raised on purpose")
        delta = torch.full((node.model.layout.parameters,), 0.125)
        return Update({"delta": delta}, len(node.rows), {}, node.id), {"jobs": torch.tensor(done + 1)}


@dataclass(frozen=True)
class _Calling:
    """Gives every node one job a round and adds what comes: the smallest program with a failing job."""

    job: Any
    rounds: int = 3

    async def __call__(self, fed: Federation) -> Tensor:
        s = await fed.begin(lambda w: State(w=w))
        p = fed.layout.parameters
        for _ in fed.rounds(self.rounds):
            total = await fed.map_reduce(self.job, {"w": s.w}, range(fed.nodes), Mean())
            w = s.w.clone()
            w[:p] += total["delta"]
            s = s.replace(w=w)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Reference:
    """All ways of giving jobs in one program: reduced to a sum, reduced from a stack with node state, one by one."""

    rounds: int = 3

    async def __call__(self, fed: Federation) -> Tensor:
        job, compress = LocalSGD(epochs=2, batch_size=7, lr=0.1, momentum=0.5), (ErrorFeedback(TopK(0.1)),)
        s = await fed.begin(lambda w: State(w=w, moments=Adam(lr=0.01).init(w)))
        for _ in fed.rounds(self.rounds):
            nodes = await fed.sample(Fixed(4))
            total = await fed.map_reduce(job, {"w": s.w}, nodes, Mean())
            w = s.w + join(total, fed.layout)
            total = await fed.map_reduce(job, {"w": w}, await fed.sample(Fixed(5)), Median(), transforms=compress)
            s = Adam(lr=0.01).step(State(w=w, server=s.moments), total)
            answers = await fed.map(Gradient(batch_size=5), {"w": s.w}, nodes)
            w = s.w.clone()
            for u in answers:
                w[: fed.layout.parameters] -= 0.01 * cast(Update, u).value()["gradient"]
            s = State(w=w, moments=s.server)
            await fed.commit(s)
        return s.w  # type: ignore[no-any-return]


def check_runtime(runtime: Runtime) -> None:
    """Check a runtime against its laws: the reference bits, a failure that names its node, nothing left behind."""
    laws = _Laws(runtime)
    before = _children()
    problem = small()
    reference = train(_Reference(), problem.model, problem.data, runtime=Simulation(workers=1))
    problem = small()
    with laws.attempt("runs any program", "a finished run"):
        run = train(_Reference(), problem.model, problem.data, runtime=runtime)
    law = "gives the reference bits"
    laws.require(run.sha256 == reference.sha256, law, f"{reference.sha256}, as Simulation(workers=1)", run.sha256)
    difference = same_history(reference.history, run.history, ANY_TIME)
    laws.require(not difference, law, "the history of Simulation(workers=1), times aside", difference)
    _check_left_behind(laws, before)

    problem = small()
    law = "a job that raises is a NodeFailed that names its node"
    try:
        train(_Calling(Raises(node=3, job_number=1)), problem.model, problem.data, runtime=runtime)
    except NodeFailed as e:
        laws.require("node 3" in str(e), law, "'node 3' in the message", str(e))
        laws.require("ZeroDivisionError" in e.log, law, "the node's traceback in its log", repr(e.log[-200:]))
        laws.require(
            e.run is not None and len(e.run.history) == 1, law, "the run up to its last commit, the first", e.run
        )
    except Exception as e:
        laws.require(False, law, "NodeFailed", f"{type(e).__name__}: {e}")
    else:
        laws.require(False, law, "NodeFailed", "a finished run")
    _check_left_behind(laws, before)


def _check_left_behind(laws: _Laws, before: set[int], patience: float = 5.0) -> None:
    """No process of ours that was not there before. One that is just ending is given some seconds."""
    children = _children()
    until = time.monotonic() + patience
    while children - before and time.monotonic() < until:
        time.sleep(0.05)
        children = _children()
    laws.require(not children - before, "leaves no process behind", "none", f"processes {sorted(children - before)}")


def _children() -> set[int]:
    """Ids of this process's descendants. From psutil where it is installed, else from /proc, else nothing is known.

    Without its own warm processes, which stay for the next run and end with it.
    """
    warm = {process.pid for process in running()}
    try:
        import psutil
    except ImportError:
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name, in parentheses, may itself hold spaces and parentheses.
                parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        ours, found = {os.getpid()}, set[int]()
        while ours:
            ours = {pid for pid, parent in parents.items() if parent in ours} - found
            found |= ours
        return found - warm
    return {p.pid for p in psutil.Process().children(recursive=True)} - warm
