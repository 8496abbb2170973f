"""How updates are joined."""

from foedus.aggregators.bucketing import Bucketing
from foedus.aggregators.bulyan import Bulyan
from foedus.aggregators.geometric_median import RFA, GeometricMedian
from foedus.aggregators.krum import Krum, MultiKrum
from foedus.aggregators.majority_vote import MajorityVote
from foedus.aggregators.mda import MDA
from foedus.aggregators.meamed import MeaMed
from foedus.aggregators.mean import Mean
from foedus.aggregators.median import Median
from foedus.aggregators.nnm import NNM
from foedus.aggregators.preaggregation import PreAggregation
from foedus.aggregators.rule import Rule
from foedus.aggregators.sum import Sum
from foedus.aggregators.trimmed_mean import TrimmedMean
from foedus.core.types.aggregator import Aggregator, Callability

__all__ = [
    "Aggregator",
    "Bucketing",
    "Bulyan",
    "Callability",
    "GeometricMedian",
    "Krum",
    "MDA",
    "MajorityVote",
    "MeaMed",
    "Mean",
    "Median",
    "MultiKrum",
    "NNM",
    "PreAggregation",
    "RFA",
    "Rule",
    "Sum",
    "TrimmedMean",
]
