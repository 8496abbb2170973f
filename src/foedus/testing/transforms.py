"""Laws of transforms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from foedus.core.types.job import NodeState
from foedus.core.types.keys import Key
from foedus.core.types.torch_process import seeded
from foedus.core.types.transform import (
    Sensitivity,
    Shapes,
    Transform,
    holds_numbers,
    nbytes,
    sensitivity_after,
    shapes_of,
)
from foedus.core.types.update import BUFFERS, Tensors, Update
from foedus.testing.laws import CLOSE, Laws, clone, update

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
    laws = Laws(transform)
    laws.portable(transform)
    key = Key(seed).child("check_transform")
    with laws.attempt("announces what travels", "wire(shapes)"):
        wire = dict(transform.wire(shapes))
    state: NodeState = {}
    memory: NodeState = {}
    for step in range(steps):
        u = update(shapes, key.child("u", step), weight=3.0)
        state, memory = _check_passage(laws, transform, u, state, memory, key.child("passage", step), shapes, wire)
    zero = Update({k: torch.zeros(s, dtype=d) for k, (s, d) in shapes.items()}, 1.0)
    _check_passage(laws, transform, zero, {}, {}, key.child("zero"), shapes, wire)
    _check_passage(laws, transform, zero, state, memory, key.child("zero"), shapes, wire)
    _check_summed(laws, transform, update(shapes, key.child("summed")), key.child("coin"), shapes)
    _check_bound(laws, transform, shapes, key.child("bound"), steps)
    _check_finish(laws, transform, shapes, key.child("finish"))
    if conserves:
        _check_conservation(laws, transform, residual, shapes, key, steps)
    if unbiased:
        _check_unbiased(laws, transform, update(shapes, key.child("biased")), shapes, key)


def _check_passage(
    laws: Laws,
    transform: Transform,
    u: Update,
    state: NodeState,
    memory: NodeState,
    key: Key,
    shapes: Shapes,
    wire: Shapes,
) -> tuple[NodeState, NodeState]:
    """One update through encode and decode; the next state of the node, and of what the coordinator remembers of it."""
    before_u, before_state = clone(dict(u.parts)), clone(dict(state))
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
    with seeded(key.child("noise").integer()):
        twin, twin_after = transform.encode(u, clone(dict(state)), key)
    law = "the same key gives the same bits"
    laws.same(twin.parts, sent.parts, law)
    laws.same(dict(twin_after), dict(after), law)

    before_sent, before_memory = clone(dict(sent.parts)), clone(dict(memory))
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


def _check_state(laws: Laws, state: NodeState) -> None:
    law = "node state is named tensors"
    laws.require(isinstance(state, Mapping), law, "a dict of tensors", type(state).__name__)
    for name, t in state.items():
        laws.require(isinstance(name, str) and isinstance(t, Tensor), law, "a dict of tensors", f"{name!r}: {type(t)}")
    laws.storable(dict(state), law)
    laws.finite(dict(state), "finite updates leave a finite state")


def _check_summed(laws: Laws, transform: Transform, u: Update, key: Key, shapes: Shapes) -> None:
    """Per unit of weight, a sum over four rows fares as its mean does; four, for then the arithmetic is the same."""
    plain = replace(u, weight=4.0)
    summed = replace(plain, parts={k: v * 4.0 for k, v in u.parts.items()}, summed=True)
    a = transform.decode(transform.encode(plain, {}, key)[0], shapes)
    b = transform.decode(transform.encode(summed, {}, key)[0], shapes)
    law = "a summed update fares as its value"
    laws.require(b.summed and not a.summed, law, "the flag 'summed' to stay as it was", f"{a.summed}, {b.summed}")
    laws.close(b.value(), a.value(), law)


def _check_bound(laws: Laws, transform: Transform, shapes: Shapes, key: Key, steps: int) -> None:
    """A privacy account believes what a transform says of bounds, so it has to be so."""

    def norm(parts: Tensors, without: Sequence[str]) -> float:
        numbers = [v for k, v in parts.items() if holds_numbers(k, v.dtype) and k not in without]
        return math.sqrt(sum(float(v.double().square().sum()) for v in numbers))

    given = Sensitivity("l2", 1.0)
    said = sensitivity_after(transform, given)
    state: NodeState = {}
    memory: NodeState = {}
    if said is None or said.norm != "l2":
        return
    for step in range(steps):
        u = update(shapes, key.child(step))
        size = norm(u.parts, given.excludes)
        scale = 1 / size if size else 1.0
        u = u.with_parts({k: v if k in given.excludes else v * scale for k, v in u.parts.items()})
        sent, state = transform.encode(u, state, key.child("coin", step))
        back, memory = transform.receive(sent, shapes, memory)
        law = "what it sends is bounded as it says"
        most = said.bound * (1 + CLOSE)
        have = norm(sent.parts, said.excludes)
        laws.require(have <= most, law, f"a norm of at most {said.bound}", have)
        law = "decoding multiplies by no more than its gain"
        most *= transform.gain
        have = norm(back.parts, said.excludes)
        laws.require(have <= most, law, f"a norm of at most {most}", have)


def _check_finish(laws: Laws, transform: Transform, shapes: Shapes, key: Key) -> None:
    law = "finish keeps the aggregate's shapes"
    with laws.attempt(law, "init(shapes) and finish(total, state, key)"):
        state = transform.init(shapes)
        laws.storable(state, "its state can be stored")
        total = dict(update(shapes, key.child("total")).parts)
        before, memory = clone(total), clone(state)
        came, after = transform.finish(total, state, key)
        laws.same(total, before, "finish does not change its input")
        twin, _ = transform.finish(clone(total), memory, key)
    laws.require(dict(shapes_of(came)) == dict(shapes), law, dict(shapes), dict(shapes_of(came)))
    laws.finite(came, "a finite aggregate stays finite")
    laws.same(twin, came, "the same key gives the same bits")
    laws.storable(after, "its state can be stored")
    if BUFFERS in shapes:
        laws.same({BUFFERS: came[BUFFERS]}, {BUFFERS: before[BUFFERS]}, "buffers are not touched")


def _check_conservation(
    laws: Laws, transform: Transform, residual: Callable[[NodeState], Tensors], shapes: Shapes, key: Key, steps: int
) -> None:
    law = "what was sent and what is owed is what was wanted"
    wanted = {k: torch.zeros(s, dtype=torch.float64) for k, (s, _) in shapes.items() if k != BUFFERS}
    sent = {k: v.clone() for k, v in wanted.items()}
    state: NodeState = {}
    memory: NodeState = {}
    for step in range(steps):
        u = update(shapes, key.child("wanted", step))
        encoded, state = transform.encode(u, state, key.child("sent", step))
        arrived, memory = transform.receive(encoded, shapes, memory)
        owed = residual(state)
        laws.require(set(owed) == set(wanted), law, f"a residual of {sorted(wanted)}", f"of {sorted(owed)}")
        for k in wanted:
            wanted[k] += u[k].double()
            sent[k] += arrived[k].double()
        laws.close({k: sent[k] + owed[k].double() for k in wanted}, wanted, f"{law}, after {step + 1} steps")


def _check_unbiased(laws: Laws, transform: Transform, u: Update, shapes: Shapes, key: Key, draws: int = 400) -> None:
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
