"""How updates are joined."""

from foedus.aggregators.arc import ARC
from foedus.aggregators.bucketing import Bucketing
from foedus.aggregators.bulyan import Bulyan
from foedus.aggregators.caf import CAF
from foedus.aggregators.centered_clipping import CenteredClipping
from foedus.aggregators.cge import CGE
from foedus.aggregators.fltrust import FLTrust
from foedus.aggregators.foolsgold import FoolsGold
from foedus.aggregators.geometric_median import RFA, GeometricMedian
from foedus.aggregators.krum import Krum, MultiKrum
from foedus.aggregators.majority_vote import MajorityVote
from foedus.aggregators.mda import MDA
from foedus.aggregators.meamed import MeaMed
from foedus.aggregators.mean import Mean
from foedus.aggregators.median import Median
from foedus.aggregators.monna import MoNNA
from foedus.aggregators.nnm import NNM
from foedus.aggregators.norm_bound import NormBound
from foedus.aggregators.preaggregation import PreAggregation
from foedus.aggregators.rule import Rule
from foedus.aggregators.smea import SMEA
from foedus.aggregators.sum import Sum
from foedus.aggregators.trimmed_mean import TrimmedMean
from foedus.core.types.aggregator import Aggregator, Callability

__all__ = [
    "ARC",
    "Aggregator",
    "Bucketing",
    "Bulyan",
    "CAF",
    "CGE",
    "Callability",
    "CenteredClipping",
    "FLTrust",
    "FoolsGold",
    "GeometricMedian",
    "Krum",
    "MDA",
    "MajorityVote",
    "MeaMed",
    "Mean",
    "Median",
    "MoNNA",
    "MultiKrum",
    "NNM",
    "NormBound",
    "PreAggregation",
    "RFA",
    "Rule",
    "SMEA",
    "Sum",
    "TrimmedMean",
]
