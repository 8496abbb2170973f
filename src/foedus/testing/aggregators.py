"""Laws of aggregators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from foedus.core.types.aggregator import Aggregator, blocks, fold
from foedus.core.types.keys import Key
from foedus.core.types.suspicion import Judges
from foedus.core.types.transform import Shapes, shapes_of
from foedus.core.types.trees import flatten
from foedus.core.types.update import BUFFERS, Tensors, Update
from foedus.testing.laws import Laws, clone, update


def check_aggregator(
    aggregator: Aggregator,
    *,
    exact: bool = False,
    idempotent: bool = True,
    symmetric: bool = True,
    updates: int = 11,
    seed: int = 0,
) -> None:
    """Check an aggregator against its laws.

    ``exact``       another split or another order must give the same bits, not only numbers that agree to 1e-6.
    ``idempotent``  identical updates give that update back; False for rules that shrink on purpose.
    ``symmetric``   a stack's rows may change places; False for rules that tell equally good ones apart by
                    node, trust one of them, or draw lots.
    ``updates``     how many are aggregated; as many as the rule needs.
    """
    laws = Laws(aggregator)
    key = Key(seed).child("check_aggregator")
    laws.portable(aggregator)
    shapes: Shapes = {"delta": ((6,), torch.float32), BUFFERS: ((2,), torch.float32)}
    us = [update(shapes, key.child(k), weight=1.0 + k % 4, node=k) for k in range(updates)]
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
        parts, after = aggregator.read(acc, clone(state))
        laws.storable(after, "its state can be stored")
        return parts

    agree = laws.same if exact else laws.close

    with laws.attempt("folds updates", "the aggregate of finite updates"):
        total = dict(fold(aggregator, given(), clone(state))[0])
    laws.require(
        {k: s for k, (s, _) in shapes_of(total).items()} == {k: s for k, (s, _) in shapes.items()},
        "has the parts of the updates", {k: s for k, (s, _) in shapes.items()}, dict(shapes_of(total)),
    )  # fmt: skip
    laws.finite(total, "finite updates give a finite aggregate")
    laws.same(fold(aggregator, given(), clone(state))[0], total, "the same updates give the same bits")

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
    agree(fold(aggregator, given([us[i] for i in order]), clone(state))[0], total, "the order of nodes does not matter")
    summed = [
        replace(u, parts={k: v * u.weight for k, v in u.parts.items()}, summed=True) if i % 2 else u
        for i, u in enumerate(us)
    ]
    laws.close(
        fold(aggregator, given(summed), clone(state))[0], total, "a summed update counts as its value with its weight"
    )
    if idempotent:
        alike = [replace(u, parts=us[0].parts) for u in us]
        laws.close(fold(aggregator, given(alike), clone(state))[0], us[0].parts, "identical updates give that update")
    if aggregator.robust:
        _check_survival(laws, aggregator, us, given, state)
    if isinstance(aggregator, Judges):
        _check_judge(laws, aggregator, us, given, state)
    _check_stack(laws, aggregator, torch.stack([u["delta"] for u in us]), exact, symmetric)


def _check_survival(
    laws: Laws, aggregator: Aggregator, us: list[Update], given: Callable[..., list[Update]], state: Any
) -> None:
    law = "a robust rule drops an update that is not finite"
    for poison in (math.nan, math.inf):
        bad = us[3].with_parts({k: torch.full_like(v, poison) for k, v in us[3].parts.items()})
        with laws.attempt(law, "the aggregate of the others"):
            came = fold(aggregator, given([*us, bad]), clone(state))[0]
        laws.finite(came, law)
        laws.close(came, fold(aggregator, given(us), clone(state))[0], law)


def _check_judge(laws: Laws, aggregator: Any, us: list[Update], given: Callable[..., list[Update]], state: Any) -> None:
    poisoned = Update({k: torch.full_like(v, math.nan) for k, v in us[0].parts.items()}, 1.0, node=len(us))
    for chosen in (us, [*us, poisoned]) if aggregator.robust else (us,):

        def fill(chosen: list[Update] = chosen) -> Any:
            acc = aggregator.empty()
            for u in given(chosen):
                acc = aggregator.add(acc, u)
            return acc

        law = "judge reads as read does"
        with laws.attempt(law, "judge(acc, state)"):
            parts, after, said = aggregator.judge(fill(), clone(state))
        read, remembered = aggregator.read(fill(), clone(state))
        laws.same(parts, read, law)
        (plain, tensors), (plain_read, tensors_read) = flatten(after), flatten(remembered)
        laws.require(plain == plain_read, law, plain_read, plain)
        laws.same({str(i): t for i, t in enumerate(tensors)}, {str(i): t for i, t in enumerate(tensors_read)}, law)
        law = "judge speaks of every node, and of no other"
        laws.require(set(said) == {u.node for u in chosen}, law, sorted(u.node for u in chosen), sorted(said))
        for node, suspicion in said.items():
            law = "what is left out is a share"
            laws.require(0 <= suspicion.left_out <= 1, law, "a number from 0 to 1", f"{suspicion} of node {node}")
            law = "a distance is from 0 up, and infinite for an update that is not finite"
            far = node == poisoned.node
            fits = suspicion.distance == math.inf if far else suspicion.distance >= 0
            laws.require(fits, law, "infinity" if far else "a number from 0 up", f"{suspicion} of node {node}")
        if poisoned.node in said:
            law = "an update that is not finite is left out"
            laws.require(said[poisoned.node].left_out == 1, law, 1, said[poisoned.node].left_out)


def _check_stack(laws: Laws, aggregator: Any, u_KD: Tensor, exact: bool, symmetric: bool) -> None:
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
    if symmetric:
        flipped = aggregator(u_KD.flip(0))
        (laws.same if exact else laws.close)({"u": flipped}, {"u": u_D}, "the order of nodes does not matter")


def _up_the_tree(aggregator: Aggregator, accs: list[Any]) -> Any:
    """The canonical tree, written down a second time: the left half is the largest power of two that leaves a right."""
    if len(accs) == 1:
        return accs[0]
    left = 1 << (len(accs) - 1).bit_length() - 1
    return aggregator.merge(_up_the_tree(aggregator, accs[:left]), _up_the_tree(aggregator, accs[left:]))
