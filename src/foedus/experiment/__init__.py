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

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foedus.core.lazy import lazily

if TYPE_CHECKING:
    from foedus.experiment.experiment import Experiment
    from foedus.experiment.problems import BadExperiment, Problem
    from foedus.experiment.reference import describe
    from foedus.experiment.sweep import Case, expand, expand_all, expand_text, on_networks
    from foedus.experiment.tables import Tables
    from foedus.experiment.template import starter
    from foedus.experiment.write import resolved, to_toml


def read(path: str | Path, sets: Sequence[str] = ()) -> Experiment:
    """The experiment of a file; of one with a ``[sweep]``, the one that it varies.

    ``sets`` are changes such as ``"program.fedavg.local.lr=0.1"``. The data is not loaded.
    Errors: ``BadExperiment`` with everything that is wrong, each with its place.
    """
    from foedus.experiment.document import from_file

    return from_file(path, sets).experiment()


def parse(
    text: str, sets: Sequence[str] = (), *, origin: str = "experiment.toml", folder: str | Path = "."
) -> Experiment:
    """The same for a text. ``origin`` is what errors call it, relative paths start from ``folder``."""
    from foedus.experiment.document import from_text

    return from_text(text, origin, Path(folder), sets).experiment()


__all__ = [
    "BadExperiment", "Case", "Experiment", "Problem", "Tables", "describe", "expand", "expand_all", "expand_text",
    "on_networks", "parse", "read", "resolved", "starter", "to_toml",
]  # fmt: skip

__getattr__, __dir__ = lazily(
    __name__,
    {
        "foedus.experiment.experiment": "Experiment",
        "foedus.experiment.problems": "BadExperiment Problem",
        "foedus.experiment.reference": "describe",
        "foedus.experiment.template": "starter",
        "foedus.experiment.sweep": "Case expand expand_all expand_text on_networks",
        "foedus.experiment.tables": "Tables",
        "foedus.experiment.write": "resolved to_toml",
    },
)
