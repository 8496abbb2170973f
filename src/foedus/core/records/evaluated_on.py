"""EvaluatedOn: what a run's quality was measured on, so that numbers can be asked whether they belong side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foedus.core.types.metric import named

_ROWS = {"test": "the test rows", "held out": "the rows that nodes hold out", "train": "the training rows"}


@dataclass(frozen=True)
class EvaluatedOn:
    """Which rows, where they are, and which models: what ``Record.accuracy`` and its like are measures of.

    ``rows``    ``"test"`` (of no node), ``"held out"`` (by the nodes) or ``"train"``.
    ``where``   ``"coordinator"``, which has all these rows, or ``"nodes"``, each of which has its own.
    ``models``  ``"one"``: the model that all share.   ``"own"``: each node's own, on that node's rows.   ``"each"``:
                each node's own, every one on all the rows, of which the mean is taken.   ``"program"``: the program
                measured by itself.

    A metric is one of all these rows together: nodes send what it is made of and adds up over rows. Only a function of
    the user's, which nobody can take apart, is the mean of what nodes find, by their rows.
    """

    rows: str
    where: str = "coordinator"
    models: str = "one"

    def like(self, other: EvaluatedOn, metric: str) -> bool:
        """Whether a metric's values of both may stand side by side: of the same rows, and made in the same way.

        A shared model is both every node's own and each node's. Whose own is measured on its node's rows is not
        like one that is measured on everybody's.

        >>> shared, alone, own = EvaluatedOn("test"), EvaluatedOn("test", models="each"), EvaluatedOn("train", "nodes")
        >>> shared.like(alone, "auc"), shared.like(own, "accuracy")
        (True, False)
        """
        if metric == "train_loss":  # what nodes report while they train, whatever is evaluated
            return True
        both = {self.models, other.models}
        models = len(both) == 1 or ("one" in both and "program" not in both)
        return self.rows == other.rows and models and (named(metric).pooled or self.where == other.where)

    def said(self, metric: str = "loss") -> str:
        """It in words: "the rows that nodes hold out, at every node with its own model"."""
        rows = _ROWS.get(self.rows, self.rows)
        if self.models == "program":
            return f"{rows}, by the program itself"
        if self.where == "nodes":
            whose = {"own": "the model that it has", "each": "every node's model", "one": "the model that all share"}
            measure = named(metric)
            mean = "" if measure.pooled else f"; {measure.label} is the mean over nodes, by their rows"
            return f"{rows}, at every node with {whose[self.models]}{mean}"
        return rows + (", the mean over the nodes' own models" if self.models == "each" else "")

    def __str__(self) -> str:
        return self.said()


def go_together(found: Sequence[EvaluatedOn], metric: str) -> frozenset[EvaluatedOn]:
    """The most of these that are all alike in a metric, each counted as often as it stands there; the first of equals.

    >>> test, train = EvaluatedOn("test"), EvaluatedOn("train", "nodes", "own")
    >>> go_together([train, test, test], "accuracy") == {test}
    True
    """
    best: list[EvaluatedOn] = []
    for first in dict.fromkeys(found):
        group: list[EvaluatedOn] = []
        for e in [first, *found]:
            if all(e.like(g, metric) for g in group):
                group.append(e)
        if len(group) > len(best):
            best = group
    return frozenset(best)
