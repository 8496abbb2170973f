"""What a call lets out of its nodes, in numbers: how far one node moves the sum, and what noise hides that.

A privacy account needs this, how the cohort was drawn (``Selection.drawn``), and who answered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foedus.core.types.aggregator import REPORTED, Aggregator, Denominator
from foedus.core.types.transform import Identity, Mechanism, Sends, Sensitivity, Transform, sensitivity_after, steps_of


@dataclass(frozen=True)
class Release:
    """What is known of the sum that a call computes, before it is made.

    ``folded``        how much one node's value is bounded where it is added, before it is multiplied by its weight.
                      None: not at all, as after noise at the node.
    ``mechanisms``    all noise on the way, each with the sensitivity of what it is added to: noise at a node with that
                      of the node's value as far as it had come, noise on the sum with that of the sum.
    ``undisturbed``   whether nothing happens to a value between the noise at its node and the sum.
    ``denominator``   what the sum is divided by. None: the aggregate is no sum, or answers are wanted one by one.
    ``weight_range``  the least and the most that one value is multiplied by in the sum.
    """

    folded: Sensitivity | None
    mechanisms: tuple[Mechanism, ...]
    undisturbed: bool
    denominator: Denominator | None
    weight_range: tuple[float, float]

    def of_sum(self, value: Sensitivity | None) -> Sensitivity | None:
        """How far one node moves the sum, before it is divided, if this bounds its value. None: nothing bounds that."""
        most = self.weight_range[1]
        if value is None or self.denominator is None or not math.isfinite(most):
            return None
        return replace(value, bound=value.bound * most)

    def noise_of_sum(self, answers: int) -> Mechanism | None:
        """The noise of all nodes together in a sum of so many answers, with how far one node moves that sum.

        It is an account for whoever sees the sum and nothing else, and whose nodes all added their noise. None where it
        is not known: no Gaussian noise at the nodes, or something happens to values after it, or weights differ.
        """
        least, most = self.weight_range
        at_nodes = [m for m in self.mechanisms if m.where == "node"]
        if not at_nodes or not self.undisturbed or at_nodes[-1].kind != "gaussian" or least != most:
            return None
        std = at_nodes[-1].std * most * math.sqrt(answers)
        return Mechanism("gaussian", std, "sum", self.of_sum(at_nodes[-1].sensitivity))


def release(transforms: Sequence[Transform], aggregator: Aggregator | None = None) -> Release:
    """What is known of a call's sum of updates that go through these transforms.

    >>> from foedus.aggregators import Mean
    >>> from foedus.transforms import Clip, Gaussian
    >>> release((Clip(2.0), Gaussian(1.0)), Mean(weighted=False)).noise_of_sum(answers=100).multiplier
    5.0
    """
    denominator: Denominator | None = getattr(aggregator, "denominator", None)
    bare = Release(None, (), False, denominator, getattr(aggregator, "weight_range", REPORTED))
    bound: Sensitivity | None = None
    found: list[Mechanism] = []
    gain, undisturbed = 1.0, False
    steps = steps_of(transforms)
    for step in steps:
        noise = step.mechanisms(bound)
        found += noise
        at_node = any(m.where == "node" for m in noise)
        undisturbed = at_node or (undisturbed and type(step) is Identity)
        bound, gain = sensitivity_after(step, bound), gain * step.gain
    folded = None if bound is None else replace(bound, bound=bound.bound * gain)
    # Noise on the sum is added when all values are: whatever stands after it in the chain has bounded them too.
    of_sum = bare.of_sum(folded)
    mechanisms = tuple(replace(m, sensitivity=of_sum) if m.where == "sum" else m for m in found)
    whole = all(step.sends == Sends.VECTOR for step in steps)  # else some numbers have the noise of some nodes only
    return replace(bare, folded=folded, mechanisms=mechanisms, undisturbed=undisturbed and whole and gain == 1.0)
