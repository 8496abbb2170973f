"""How updates are joined."""

from foedus.aggregators.majority_vote import MajorityVote
from foedus.aggregators.mean import Mean
from foedus.aggregators.median import Median
from foedus.aggregators.rule import Reduced, Rule
from foedus.aggregators.sum import Sum
from foedus.aggregators.trimmed_mean import TrimmedMean
from foedus.core.types.aggregator import Aggregator, Callability

__all__ = ["Aggregator", "Callability", "MajorityVote", "Mean", "Median", "Reduced", "Rule", "Sum", "TrimmedMean"]
