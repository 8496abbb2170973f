"""Nodes that act together: what they send in place of their answers, once all answers of a call are known.

They are simulated where the answers come together, at the coordinator, for there it is known what every node sends. In
a real attack they would have to find that out; how much of it they may know is the attack's own assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foedus.core.coordination.executor import Outcome, Plan
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput
from foedus.core.types.keys import Key
from foedus.core.types.model import Model
from foedus.core.types.policy import Gathered
from foedus.core.types.transform import decode_all, encode_all, shapes_of
from foedus.core.types.update import Tensors, Update, finite

NAME = "collusion"
"""Under which name what they remember stands among what reducers do."""


def collude(s: Session, plan: Plan, args: Tensors, outcomes: Sequence[Outcome]) -> None:
    """Put what the members send into the outcomes of a call, in place of what they would have answered."""
    used = {o.node: o for o in outcomes if o.update is not None}
    _replace(s, plan, args, {n: o.update for n, o in used.items() if o.update is not None}, used)


def collude_late(s: Session, plan: Plan, args: Tensors, outcome: Outcome) -> None:
    """Do the same for one answer of a stream: what the others send is what was heard last of each."""
    if outcome.update is None:
        return
    key = f"{NAME} heard {type(plan.job).__name__}"
    heard = {**s.reducers.get(key, {}), str(outcome.node): _as_tree(outcome.update)}
    s.reducers[key] = heard
    members = s.policy.collusion.members if s.policy.collusion is not None else frozenset()
    if outcome.node in members:
        updates = {int(n): Update(**u, node=int(n)) for n, u in heard.items()}
        _replace(s, plan, args, {**updates, outcome.node: outcome.update}, {outcome.node: outcome})


def _replace(
    s: Session, plan: Plan, args: Tensors, updates: Mapping[int, Update], whose: Mapping[int, Outcome]
) -> None:
    collusion = s.policy.collusion
    if collusion is None or not collusion.members & whose.keys():
        return
    key = s.next_draw(NAME)
    known = {n: updates[n] for n in sorted(updates)}
    memory = s.reducers.get(NAME, {})
    gathered = Gathered(plan.job, args, plan.aggregator, known, tuple(sorted(whose)), key)
    answers, after = collusion.answers(gathered, memory)
    s.reducers[NAME] = dict(after)
    for node, update in answers.items():
        if node in whose:
            whose[node].update = _sent(plan, s.model, updates[node], update, key.child("transform", node), collusion)


def _sent(plan: Plan, model: Model, honest: Update, update: Update, key: Key, who: Any) -> Update:
    """What the coordinator makes of what a member sends: it goes through the call's transforms like any answer, but for
    what only bounds or hides it.
    """
    if shapes_of(update.parts) != shapes_of(honest.parts) or not finite(update.parts):
        raise BadInput(
            f"{who!r} made of the answer {shapes_of(honest.parts)} one of {shapes_of(update.parts)}: nodes that act "
            "together answer with finite numbers of the same names and shapes"
        )
    if plan.transforms:
        nothing: list[Tensors] = [{} for _ in plan.transforms]
        sent, kept = encode_all([t.unbounded() for t in plan.transforms], update, nothing, key)
        if any(kept):
            raise BadInput(
                f"what nodes that act together send is made at the coordinator, and {plan.transforms} keep a memory at "
                "every node: leave out error feedback and difference coding, or choose an attack that needs a node's "
                "own update alone"
            )
        update, _ = decode_all(plan.transforms, sent, plan.chain(model), nothing)
    return update


def _as_tree(u: Update) -> dict[str, Any]:
    return {"parts": dict(u.parts), "weight": u.weight, "metrics": u.metrics, "summed": u.summed}
