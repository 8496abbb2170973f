"""A small experiment, and the inline runtime in the place of processes where their number does not matter."""

import pytest

from foedus import experiment
from foedus.runtimes import Local
from foedus.speedup.subject import subject

SMALL = """
seed = 3
[data]
source = "breast-cancer"
split = "iid"
nodes = 4
[model]
network = "logistic"
[program.sync_sgd]
rounds = 5
lr = 0.1
"""


@pytest.fixture
def small():
    return subject(experiment.parse(SMALL))


def inline(**options):
    return Local()
