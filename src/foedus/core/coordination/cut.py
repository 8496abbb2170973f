"""A cut through all peers as the run's commit.

Every peer commits on its own and may be ahead of others. The run's commit t is the cut at which every peer has made its
commit t; the checkpoint holds every peer as it was then, and the messages that were under way across the cut. After a
resume peers repeat what they did after the cut, and a message that had already been consumed is dropped by its number.

Where the run goes on without a peer that is lost, later cuts are of the others' commits. A resumed run goes on without
it, as one that had never stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from foedus.core.coordination.evaluation import EvaluateEach, main
from foedus.core.coordination.executor import Plan, Task
from foedus.core.coordination.peer import Books, Message
from foedus.core.coordination.session import Session
from foedus.core.errors import BadInput, ProgramError
from foedus.core.records.ledger import Costs
from foedus.core.types.data import TEST
from foedus.core.types.roster import unit_of
from foedus.core.types.scoring import value, values
from foedus.core.types.state import State
from foedus.core.types.statistics import Statistics
from foedus.core.types.suspicion import Suspicion
from foedus.core.types.update import Lost, Refused, Update

Number = tuple[int, int, int]
"""A message by its sender, its receiver, and its number among theirs."""


def consumed(cut: Sequence[Books]) -> set[Number]:
    """Messages that have been taken by the cut, since one before."""
    return {(frm, to, seq) for to, b in enumerate(cut) for frm, seq in b.taken}


def sent_before(number: Number, cut: Sequence[Books]) -> bool:
    """Whether its sender sent it before the cut: if not, it will send it again after a resume."""
    frm, to, seq = number
    return seq < cut[frm].sent.get(to, 0)


def without(last: Books) -> Books:
    """What stands in a cut for a lost peer that has not made its commit: its last books, which count for nothing."""
    return Books(**{**vars(last), "taken": [], "weight": 0.0, "metrics": {}, "loss": None}).copy()


def commit_cut(
    s: Session,
    cut: Sequence[Books],
    crossing: Iterable[Message],
    dropped: Iterable[Number],
    whole: bool = True,
    gone: Collection[int] = (),
) -> None:
    """Make a cut the run's next commit: every peer's books in the order of ids.

    ``crossing``  messages sent before the cut and taken after it.
    ``dropped``   messages taken before the cut and sent after it, which are not to be delivered when sent again.
    ``whole``     with the peers' mean model, evaluated if that is due; without, the record holds only numbers.
    ``gone``      who is lost, and stays so in a run that goes on from this commit.
    """
    total = Costs()
    for n, b in enumerate(cut):
        total.add(b.costs)
        if s.ledger.per_node:
            s.ledger.nodes[n] = b.costs.copy()
    s.ledger.total = total
    present = [b for b in cut if b.weight > 0]
    if not present:
        raise ProgramError(f"at commit {s.round + 1} every peer's weight is 0: nobody is there to have a model")
    losses = [b.loss for b in present if b.loss is not None]
    s.note(len(present), len(losses), sum(losses) / len(losses) if losses else None)
    for b in cut:
        s.note_suspects({n: Suspicion(*x) for n, x in b.suspects.items()})
    extra, metrics, now = {}, _means([b.metrics for b in cut]), max(b.time for b in cut)
    state, each = State(), None
    if whole:
        models = _models(present)
        mean = mean_model(cut)
        extra["consensus_distance"] = sum(float((w - mean).double().square().sum()) for w in models) / len(present)
        extra |= _qualities(s, models, whole=len(models) == len(cut))
        # Those that are away have no model of this round.
        state, each = State(w=mean), [{"w": w} for w in models] if len(models) == len(cut) else None
    s.carried.peers = {
        "books": [b.as_tree() for b in cut],
        "messages": [vars(m) | {"parts": dict(m.parts)} for m in crossing],
        "dropped": sorted(dropped),
        "gone": sorted(gone),
    }
    s.commit(state, extra=extra | metrics, now=now, at_nodes=each)


def mean_model(cut: Sequence[Books]) -> Tensor:
    """The mean of the peers' models by their weights, summed in float64 and rounded once."""
    present = [b for b in cut if b.weight > 0]
    models, weights = _models(present), [b.weight for b in present]
    acc = torch.zeros(models[0].shape, dtype=torch.float64)
    for w, weight in zip(models, weights, strict=True):
        acc.add_(w, alpha=weight)
    return acc.div_(sum(weights)).to(models[0].dtype)


def _models(present: Sequence[Books]) -> list[Tensor]:
    return [b.state.w for b in present]  # type: ignore[union-attr]


def _means(metrics: list[dict[str, float]]) -> dict[str, float]:
    names = sorted({name for m in metrics for name in m})
    given = {name: [m[name] for m in metrics if name in m] for name in names}
    return {name: sum(values) / len(values) for name, values in given.items()}


def _qualities(s: Session, models: list[Tensor], whole: bool) -> dict[str, float]:
    """Mean and worst of the peers' own models by the main metric, at commits that are evaluated; each one's is noted
    where there is one of every node (``whole``).
    """
    t = s.round + 1
    if t % s.options.evaluate_every and t != s.planned:
        return {}
    judged = main(s.model.measures)
    with s.off_the_clock():
        found = _here(s, models) if s.roster.test_rows else _at_nodes(s, models)
    if whole:
        s.note_each([values(s.model.measures, f) for f in found])
    qualities = [q for f in found if (q := value(judged, f)) is not None]
    if not qualities:
        return {}
    worst = min if judged.higher else max
    return {
        f"single_mean_{judged.name}": sum(qualities) / len(qualities),
        f"single_worst_{judged.name}": worst(qualities),
    }


def _here(s: Session, models: list[Tensor]) -> list[Statistics]:
    """Each model's statistics on the test set, each worker looking at a part of the models."""
    parts, job = min(s.executor.workers, len(models)), EvaluateEach(keep_rows=True)
    each = [(job.part(i, parts, len(models)), TEST) for i in range(parts)]
    return _added(_ask(s, models, each), len(models))


def _at_nodes(s: Session, models: list[Tensor]) -> list[Statistics]:
    """Each model's statistics over all rows that nodes evaluate on, each node looking at its own rows."""
    whole = EvaluateEach(stop=len(models), held_out=True)
    return _added(_ask(s, models, [(whole, n) for n in range(s.roster.nodes)]), len(models))


def _added(answers: list[Update], models: int) -> list[Statistics]:
    return [Statistics.sum(EvaluateEach.of_model(k, u) for u in answers if u.weight > 0) for k in range(models)]


def _ask(s: Session, models: list[Tensor], each: list[tuple[EvaluateEach, int]]) -> list[Update]:
    """What each job answers at its node. Errors: ``BadInput`` for one that does not, and is not of a lost node."""
    placed, unit = s.executor.place({"w": torch.stack(models)}), unit_of(s.roster)
    try:
        tickets = [
            s.executor.submit(Plan(job, measures=True, unit=unit), placed, [[Task(n, 0, {})]]) for job, n in each
        ]
        outcomes = [s.executor.wait(ticket).outcomes[0] for ticket in tickets]
    finally:
        s.executor.release(placed)
    for o in outcomes:
        if o.missing is not None and not isinstance(o.missing, Lost | Refused):
            raise BadInput(f"the peers' models could not be evaluated: {o.missing}")
    return [o.update for o in outcomes if o.update is not None]
