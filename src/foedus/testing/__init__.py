"""Laws that any aggregator, transform, program or runtime must keep, yours included.

Every check raises ``AssertionError`` with the law that was broken, what was expected and what came. They need no test
framework, so that they run in a script, in a notebook or under pytest alike.

>>> import foedus as fd
>>> check_aggregator(fd.Median(), exact=True)
>>> check_transform(fd.ErrorFeedback(fd.TopK(0.25)), conserves=True)

Legend: K updates, D numbers of an update, N rows.
"""

from foedus.testing.aggregators import check_aggregator
from foedus.testing.laws import same_history
from foedus.testing.problems import Problem, half_squares, integers, quadratic, small
from foedus.testing.programs import check_program
from foedus.testing.runtimes import LACKS, Raises, check_runtime
from foedus.testing.transforms import check_transform, residuals

__all__ = [
    "LACKS", "Problem", "Raises", "check_aggregator", "check_program", "check_runtime", "check_transform",
    "half_squares", "integers", "quadratic", "residuals", "same_history", "small",
]  # fmt: skip
