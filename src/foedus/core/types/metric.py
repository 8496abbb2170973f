"""Metric: a measure of quality by its name: how it is called, which way is better, how it is written. Without numbers.

What a metric is made of is in ``statistics``, how it is made of that in ``scoring``; this page knows no torch, so that
a run can be looked at without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from foedus.core.errors import BadInput, did_you_mean
from foedus.core.types.several import several

SHARE, BOUNDED, AMOUNT, UNIT = "share", "bounded", "amount", "unit"
"""How a value is written: per cent of a share; three decimals of what ends at 1; three digits of anything; and of what
is in the target's own unit."""


@dataclass(frozen=True)
class Metric:
    """One measure of quality, and the key of its values in records, files and tables.

    ``name``      the key. What has options names them: ``sensitivity_at_threshold_0.3``.
    ``function``  of your own, ``(outputs, targets) -> float``, tensors as the network and the data have them; of a
                  regression whose targets are scaled, in their own unit. None, or NaN: undefined on these rows.
    ``higher``    whether more is better.   ``label``  its name within a sentence.
    ``form``      how values are written: ``"share"``, ``"bounded"``, ``"amount"`` or ``"unit"``.

    >>> named("sensitivity_at_threshold_0.3")
    Metric(sensitivity at threshold 0.3)
    >>> Metric("within_a_day", lambda outputs, targets: ((outputs - targets).abs() < 1).float().mean().item())
    Metric(within a day)
    """

    name: str
    function: Callable[[Any, Any], Any] | None = None
    higher: bool = True
    label: str = ""
    form: str = AMOUNT
    kind: str = ""
    option: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise BadInput(f"a metric's name is letters, digits, '_', '.' and '-', got {self.name!r}")
        if self.function is not None and (not callable(self.function) or self.name in _KNOWN or self.name in _TAKEN):
            what = "is a name that foedus has" if callable(self.function) else "needs a function (outputs, targets)"
            raise BadInput(f"the metric {self.name!r} {what}: name yours otherwise, Metric('mine', function)")
        if not self.label:
            object.__setattr__(self, "label", self.name.replace("_", " "))

    def __repr__(self) -> str:
        return f"Metric({self.label})"

    def __call__(self, outputs: object, targets: object) -> object:
        """What the function says. Errors: ``BadInput`` for a metric that is made of sums over rows."""
        if self.function is None:
            raise BadInput(f"{self.name} is made of sums over rows: foedus.core.types.scoring.values computes it")
        return self.function(outputs, targets)

    @property
    def pooled(self) -> bool:
        """Whether it is made of sums over rows: then what nodes find becomes that of all their rows together. One that
        is not is the mean of what nodes find, by their rows.
        """
        return self.kind != ""


_NAME = re.compile(r"[A-Za-z][\w.\-]*")
_AT = re.compile(r"(?P<kind>\w+?)_at_(?P<option>[a-z]+)_(?P<value>[\d.eE+\-]+)")

LOSS = Metric("loss", higher=False, kind="loss")
TRAIN_LOSS = Metric("train_loss", higher=False, label="training loss")

_TAKEN = ("loss", "train_loss")

# name: its label, whether more is better, how it is written.
_KNOWN: dict[str, tuple[str, bool, str]] = {
    "accuracy": ("accuracy", True, SHARE),
    "balanced_accuracy": ("balanced accuracy", True, SHARE),
    "precision": ("precision", True, SHARE),
    "recall": ("recall", True, SHARE),
    "sensitivity": ("sensitivity", True, SHARE),
    "specificity": ("specificity", True, SHARE),
    "f1": ("F1", True, BOUNDED),
    "precision_macro": ("macro precision", True, SHARE),
    "recall_macro": ("macro recall", True, SHARE),
    "f1_macro": ("macro F1", True, BOUNDED),
    "precision_weighted": ("weighted precision", True, SHARE),
    "recall_weighted": ("weighted recall", True, SHARE),
    "f1_weighted": ("weighted F1", True, BOUNDED),
    "kappa": ("Cohen's kappa", True, BOUNDED),
    "mcc": ("MCC", True, BOUNDED),
    "auc": ("AUC", True, BOUNDED),
    "auc_ovr": ("AUC (one class against the rest)", True, BOUNDED),
    "auc_ovr_weighted": ("AUC (one class against the rest, by rows)", True, BOUNDED),
    "average_precision": ("average precision", True, BOUNDED),
    "brier": ("Brier score", False, BOUNDED),
    "log_loss": ("log loss", False, AMOUNT),
    "calibration_error": ("calibration error", False, SHARE),
    "rmse": ("RMSE", False, UNIT),
    "mse": ("MSE", False, AMOUNT),
    "mae": ("MAE", False, UNIT),
    "median_absolute_error": ("median absolute error", False, UNIT),
    "r2": ("R²", True, BOUNDED),
}

KNOWN: tuple[str, ...] = tuple(_KNOWN)
"""Names of all metrics that come with the library, without options."""

# What each may be told: the cut of the probability of class 1, or what another measure is to be at least.
_CUT = ("precision", "recall", "sensitivity", "specificity", "f1", "accuracy", "balanced_accuracy")
_OPTIONS: dict[str, tuple[str, ...]] = {name: ("threshold",) for name in _CUT}
_OPTIONS |= {"sensitivity": ("threshold", "specificity"), "recall": ("threshold", "specificity")}
_OPTIONS |= {"specificity": ("threshold", "sensitivity")}

# Other names for them, mostly scikit-learn's; "neg_" before and "_score" behind are taken off before.
_ALSO = {
    "roc_auc": "auc",
    "roc_auc_ovr": "auc_ovr",
    "roc_auc_ovr_weighted": "auc_ovr_weighted",
    "pr_auc": "average_precision",
    "brier_score_loss": "brier",
    "ece": "calibration_error",
    "expected_calibration_error": "calibration_error",
    "root_mean_squared_error": "rmse",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "matthews_corrcoef": "mcc",
    "cohen_kappa": "kappa",
}

QUALITY = ("accuracy", "auc", "rmse", "loss")
"""Those with a field of their own in a ``Record``; of a run that says nothing of its metrics the first is the main."""


def metric(given: Any) -> Metric:
    """What is given as a metric: a name, also one of scikit-learn's, a table of a name and its option, a function of
    your own ``(outputs, targets)``, or a ``Metric``.

    >>> metric("roc_auc"), metric({"sensitivity": {"specificity": 0.9}})
    (Metric(AUC), Metric(sensitivity at specificity 0.9))

    Errors: ``BadInput`` that names what there is.
    """
    match given:
        case Metric():
            if given.function is None and given.kind not in _KNOWN:
                raise BadInput(f"the metric {given.name!r} needs a function, Metric({given.name!r}, function)")
            return given
        case str():
            return _by_name(given)
        case Mapping() if len(given) == 1:
            ((name, options),) = given.items()
            return _with_option(name, options)
        case _ if callable(given) and not isinstance(given, type):
            return Metric(str(getattr(given, "__name__", type(given).__name__)).replace("<lambda>", "own"), given)
    raise BadInput(
        f"a metric is a name, a table such as {{'sensitivity': {{'threshold': 0.3}}}}, a function (outputs, targets) "
        f"or a Metric; got {given!r}"
    )


def metrics(given: Any) -> tuple[Metric, ...]:
    """Each of them once, in order. Errors: as ``metric``, and for two with one name."""
    found = tuple(metric(g) for g in ((given,) if isinstance(given, Mapping) else several(given)))
    names = [m.name for m in found]
    for m in found:
        if names.count(m.name) > 1:
            raise BadInput(f"the metric {m.name} is named twice: name it once, or give yours a name, Metric('mine', f)")
    return found


def named(name: str) -> Metric:
    """The metric whose values have this key: for a reader of records, who knows it or not."""
    if name in _TAKEN:
        return LOSS if name == "loss" else TRAIN_LOSS
    try:
        return _by_name(name)
    except BadInput:
        return Metric(_NOT.sub("_", name) if _NAME.match(name) else f"m_{_NOT.sub('_', name)}")


_NOT = re.compile(r"[^\w.\-]")


def _by_name(name: str) -> Metric:
    known = _spelled(name)
    if known is not None:
        label, higher, form = _KNOWN[known]
        return Metric(known, None, higher, label, form, known)
    at = _AT.fullmatch(name)
    if at is not None and _spelled(at["kind"]) is not None:
        try:
            return _with_option(at["kind"], {at["option"]: float(at["value"])})
        except ValueError:
            pass
    raise BadInput(
        f"unknown metric {name!r}: {did_you_mean(name, [*_KNOWN, *_ALSO])}use one of {', '.join(_KNOWN)}, or a "
        "function of your own (outputs, targets)"
    )


def _spelled(name: str) -> str | None:
    for n in (name, name.removeprefix("neg_"), name.removeprefix("neg_").removesuffix("_score")):
        n = _ALSO.get(n, n)
        if n in _KNOWN:
            return n
    return None


def _with_option(name: str, options: Any) -> Metric:
    kind = _spelled(name) if isinstance(name, str) else None
    if kind is None:
        return _by_name(str(name))  # raises
    takes = _OPTIONS.get(kind, ())
    if not isinstance(options, Mapping) or len(options) > 1 or any(o not in takes for o in options):
        may = f"one of {', '.join(takes)}, such as {{{takes[0]} = 0.3}}" if takes else "no option"
        raise BadInput(f"the metric {kind} takes {may}; got {options!r}")
    plain = _by_name(kind)
    if not options:
        return plain
    ((option, value),) = options.items()
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise BadInput(f"{option} of the metric {kind} lies between 0 and 1, got {value!r}")
    return Metric(
        f"{kind}_at_{option}_{value:g}", None, plain.higher, f"{plain.label} at {option} {value:g}", plain.form, kind,
        (option, float(value)),
    )  # fmt: skip
