"""Experiments in files: a TOML file is the objects of the Python API, written down.

>>> experiment = parse('''
...     program.fedavg = { rounds = 2, cohort = { fixed = 3 } }
...     data = { source = "digits", split = "iid", nodes = 5 }
...     model.network = "logistic"
... ''')
>>> experiment.program.cohort
Fixed(k=3)
>>> experiment.train().history[-1].round
2
"""

from collections.abc import Sequence
from pathlib import Path

from foedus.experiment.document import from_file, from_text
from foedus.experiment.experiment import Experiment
from foedus.experiment.problems import BadExperiment, Problem
from foedus.experiment.reference import describe
from foedus.experiment.starter import starter
from foedus.experiment.sweep import Case, expand, expand_all, expand_text, on_networks
from foedus.experiment.tables import Tables
from foedus.experiment.write import resolved, to_toml


def read(path: str | Path, sets: Sequence[str] = ()) -> Experiment:
    """The experiment of a file; of one with a ``[sweep]``, the one that it varies.

    ``sets`` are changes such as ``"program.fedavg.local.lr=0.1"``. The data is not loaded.
    Errors: ``BadExperiment`` with everything that is wrong, each with its place.
    """
    return from_file(path, sets).experiment()


def parse(
    text: str, sets: Sequence[str] = (), *, origin: str = "experiment.toml", folder: str | Path = "."
) -> Experiment:
    """The same for a text. ``origin`` is what errors call it, relative paths start from ``folder``."""
    return from_text(text, origin, Path(folder), sets).experiment()


__all__ = [
    "BadExperiment", "Case", "Experiment", "Problem", "Tables", "describe", "expand", "expand_all", "expand_text",
    "on_networks", "parse", "read", "resolved", "starter", "to_toml",
]  # fmt: skip
