"""Metric: by what names measures of quality are known, and what each is called."""

import pytest

from foedus.core.errors import BadInput
from foedus.core.types.metric import KNOWN, Metric, metric, metrics, named
from foedus.core.types.scoring import _MADE


def test_every_metric_can_be_computed_and_the_other_way_round():
    assert set(KNOWN) == set(_MADE)


@pytest.mark.parametrize("name", KNOWN)
def test_a_name_stands_for_itself_and_says_what_it_is(name):
    m = metric(name)
    assert (m.name, m.pooled, named(name)) == (name, True, m)
    assert m.higher != any(w in name for w in ("error", "loss", "brier", "mse", "mae"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("roc_auc", "auc"), ("roc_auc_score", "auc"), ("pr_auc", "average_precision"), ("neg_log_loss", "log_loss"),
        ("neg_root_mean_squared_error", "rmse"), ("neg_mean_absolute_error", "mae"), ("r2_score", "r2"),
        ("matthews_corrcoef", "mcc"), ("cohen_kappa_score", "kappa"), ("f1_score", "f1"), ("neg_brier_score", "brier"),
        ("roc_auc_ovr_weighted", "auc_ovr_weighted"), ("balanced_accuracy_score", "balanced_accuracy"),
        ({"sensitivity": {"threshold": 0.3}}, "sensitivity_at_threshold_0.3"),
        ({"recall": {"specificity": 0.95}}, "recall_at_specificity_0.95"), ({"f1": {}}, "f1"),
        ("sensitivity_at_threshold_0.3", "sensitivity_at_threshold_0.3"),
    ],
)  # fmt: skip
def test_other_names_are_understood(given, name):
    assert metric(given).name == name
    assert named(name) == metric(given)


def test_a_function_is_called_by_its_own_name():
    def within_a_day(outputs, targets):
        return 1.0

    assert (metric(within_a_day).name, metric(within_a_day).label) == ("within_a_day", "within a day")
    assert not metric(within_a_day).pooled
    assert metric(lambda o, t: 1.0).name == "own"
    assert named("within_a_day").label == "within a day"
    assert not named("within_a_day").pooled
    assert [m.name for m in metrics(["auc", within_a_day])] == ["auc", "within_a_day"]
    assert metrics({"sensitivity": {"threshold": 0.3}})[0].option == ("threshold", 0.3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("acuracy", "unknown metric 'acuracy': did you mean 'accuracy'"),
        (3, "a metric is a name.*got 3"),
        ({"sensitivity": {"treshold": 0.3}}, "sensitivity takes one of threshold, specificity.*treshold"),
        ({"sensitivity": {"threshold": 3}}, "threshold of the metric sensitivity lies between 0 and 1, got 3"),
        ({"auc": {"threshold": 0.3}}, "auc takes no option"),
        ({"acuracy": {}}, "unknown metric 'acuracy'"),
        (["f1", "f1_score"], "f1 is named twice"),
        (Metric("mine"), "the metric 'mine' needs a function"),
        ([lambda o, t: 1, lambda o, t: 2], "own is named twice"),
    ],
)
def test_what_is_none_is_refused(given, says):
    with pytest.raises(BadInput, match=says):
        metrics(given)


@pytest.mark.parametrize("name", ["auc", "loss", "a b", "", "1st"])
def test_ones_own_has_a_name_of_its_own(name):
    with pytest.raises(BadInput, match=r"Metric|metric's name"):
        Metric(name, lambda o, t: 1.0)
