"""scikit-learn's manner: ``FederatedClassifier`` and ``FederatedRegressor``.

``fit(X, y, groups=...)`` divides the rows among nodes and trains one network; everything else is as in scikit-learn.
What is configured is plain parameters, so that ``clone``, pipelines and searches work.

Legend: N rows, F features, K outputs.
"""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_array,
    check_is_fitted,
    check_random_state,
    column_or_1d,
    validate_data,
)
from torch import nn

from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset
from foedus.core.types.model import Model
from foedus.data import IID, Natural, Partition, arrays
from foedus.jobs import LocalSGD
from foedus.models import mlp
from foedus.models.seeded import seeded
from foedus.programs import FedAvg
from foedus.training import train

Numbers = NDArray[np.float64]
Network = nn.Module | Callable[[int, int], nn.Module]

NODES = 10
"""Among how many nodes rows are divided where nothing says whose they are."""


@dataclass(frozen=True)
class Scaled:
    """How the targets of a regression became numbers about 1: ``unit`` is what 1 in each is in its own unit."""

    unit: tuple[float, ...]

    @property
    def lines(self) -> list[str]:
        """What there is to say about it."""
        each = ", ".join(f"{u:.4g}" for u in self.unit)
        return [f"targets standardised: 1 stands for {each}; errors are in their own unit"]

    bytes: int = 0
    """What was sent to agree on it: the rows are all here."""


class _Federated(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; their docstrings say what the parameters mean."""

    def __init__(
        self,
        program: Any = None,
        network: Network | None = None,
        *,
        hidden: Sequence[int] = (32,),
        rounds: int = 30,
        epochs: int = 5,
        batch_size: int | None = 10,
        lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 0.01,
        nodes: int | None = None,
        partition: Partition | None = None,
        runtime: Any = None,
        scale: bool = True,
        metrics: Any = None,
        warm_start: bool = False,
        random_state: Any = 0,
        verbose: bool | int = False,
    ) -> None:
        self.program = program
        self.network = network
        self.hidden = hidden
        self.rounds = rounds
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.nodes = nodes
        self.partition = partition
        self.runtime = runtime
        self.scale = scale
        self.metrics = metrics
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    groups_: NDArray[Any] | None
    network_: nn.Module

    # -- fitting -----------------------------------------------------------------------------------------------

    def _train(self, x_NF: Numbers, y: NDArray[Any], outputs: int, loss: str, groups: Any) -> None:
        """Divide the rows, scale them, train, and keep the run and its network. Float targets are scaled as well."""
        seed, warm, regression = _seed(self.random_state), self._is_warm(), y.dtype.kind == "f"
        data = self._divide(x_NF, y, outputs, groups, seed)
        if not warm:
            rows_of = np.split(data.index.numpy(), data.offsets[1:-1].numpy())
            self._x_mean, self._x_scale = self._moments(x_NF, rows_of)
            if regression:
                self._y_mean, self._y_scale = self._moments(y, rows_of)
        elif x_NF.shape[1] != len(self._x_mean):
            raise BadInput(f"warm_start: X had {len(self._x_mean)} columns, now it has {x_NF.shape[1]}")
        x = _float32((x_NF - self._x_mean) / self._x_scale)
        data = replace(data, x=x)
        if regression:
            y_float = _float32((y - self._y_mean) / self._y_scale)
            data = replace(data, y=y_float, preparation=Scaled(tuple(self._y_scale.tolist())) if self.scale else None)
        model = Model(self.network_ if warm else self._network(x_NF.shape[1], outputs, seed), loss, self.metrics)
        model.check(x[:2], data.y[:2])
        told_apart = model.classes(x[:1])
        if told_apart not in (None, outputs):
            raise BadInput(f"network tells {told_apart} classes apart, y holds {outputs}: it needs a logit for each")
        self.run_ = train(self._program(), model, data, runtime=self.runtime, seed=seed, progress=bool(self.verbose))
        self.network_ = self.run_.model()

    def _program(self) -> Any:
        if self.program is not None:
            return self.program
        local = LocalSGD(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return FedAvg(rounds=self.rounds, local=local)

    def _network(self, inputs: int, outputs: int, seed: int) -> nn.Module:
        if self.network is None:
            return mlp(inputs, *self.hidden, outputs, seed=seed)
        if isinstance(self.network, nn.Module):
            return self.network
        if not callable(self.network):
            raise BadInput(
                f"network must be a torch.nn.Module, a function (inputs, outputs) that makes one, or None for a "
                f"perceptron with hidden={self.hidden}; got {self.network!r}"
            )
        make = self.network
        return seeded(lambda: make(inputs, outputs), seed)

    def _divide(self, x_NF: Numbers, y: NDArray[Any], outputs: int, groups: Any, seed: int) -> FederatedDataset:
        classes = None if y.dtype.kind == "f" else outputs
        if groups is not None:
            self.groups_, node_N = _nodes(groups, len(x_NF))
            return arrays(x_NF, y, node=node_N, classes=classes, name="X").split(Natural())
        self.groups_ = None
        nodes = min(NODES, len(x_NF)) if self.nodes is None else self.nodes
        partition = IID() if self.partition is None else self.partition
        return arrays(x_NF, y, classes=classes, name="X").split(partition, nodes, seed)

    def _moments(self, v_NK: Numbers, rows_of: list[NDArray[Any]]) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of each column (K,), as a federation finds them; 0 and 1 without ``scale``."""
        if not self.scale:
            return np.zeros(v_NK.shape[1]), np.ones(v_NK.shape[1])
        return moments([v_NK[rows] for rows in rows_of])

    # -- predicting --------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> Numbers:
        """The network's outputs (N, K), in double precision: then a row's does not depend on the rows beside it."""
        check_is_fitted(self, "network_")
        x_NF = validate_data(self, _undated(X), reset=False, dtype=np.float64)
        network = copy.deepcopy(self.network_).double().eval()
        with torch.no_grad():
            output = network(torch.from_numpy((x_NF - self._x_mean) / self._x_scale))
        return output.reshape(len(x_NF), -1).numpy()  # type: ignore[no-any-return]

    def _is_warm(self) -> bool:
        return bool(self.warm_start) and hasattr(self, "network_")


class FederatedClassifier(ClassifierMixin, _Federated):  # type: ignore[misc]
    """A classifier that many nodes train together without pooling their rows.

    ``program``      how the nodes work together; by default ``FedAvg`` over all of them, with ``rounds``, ``epochs``,
                     ``batch_size``, ``lr``, ``momentum`` and ``weight_decay`` (a program given has its own settings).
    ``network``      a ``torch.nn.Module`` with a logit for each class, or a function ``(inputs, outputs)`` that makes
                     one; by default a perceptron with the ``hidden`` widths.
    ``nodes``, ``partition``  where ``fit`` is given no ``groups``: among how many nodes, and how, rows are divided.
    ``runtime``      where it runs; ``Simulation()`` by default.
    ``scale``        standardise the features first, by sums over nodes (see ``moments``).
    ``metrics``      what ``run_`` is measured by, as in ``Model``: names such as ``"f1"``, or your own functions.
    ``warm_start``   go on from the network (and scale) of the last ``fit``; the classes must be the same.
    ``random_state`` the seed of everything random: an integer, a ``numpy.random.RandomState``, or None for NumPy's own.
    ``verbose``      show progress.

    After ``fit``: ``classes_``, ``n_features_in_``, ``feature_names_in_`` (of a data frame), ``groups_`` (the name of
    each node, or None), ``network_`` (a trained module; it takes scaled features) and ``run_`` (history, ledger,
    report). Errors: ``BadInput``, which is a ``ValueError``.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> hospital = [k % 5 for k in range(len(X))]
    >>> model = FederatedClassifier().fit(X, y, groups=hospital)
    >>> model.score(X, y) > 0.95, model.run_.nodes
    (True, 5)
    """

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any, groups: Any = None) -> FederatedClassifier:
        """Train. ``X`` (N, F), ``y`` (N,) labels of any kind, ``groups`` (N,) the name of each row's node."""
        X, y = validate_data(self, _undated(X), _plain(y, "y"), dtype=np.float64)
        y = column_or_1d(y, warn=True)
        try:
            check_classification_targets(y)
            classes, label_N = np.unique(y, return_inverse=True)
        except TypeError as e:
            raise BadInput(f"y must be all numbers or all strings: {e}") from e
        if len(classes) < 2:
            raise BadInput(f"y holds one class, {classes[0]!r}: a classifier needs at least two to tell apart")
        if self._is_warm() and not np.array_equal(classes, self.classes_):
            raise BadInput(f"warm_start: the classes were {list(self.classes_)}, now they are {list(classes)}")
        self.classes_ = classes
        self._train(X, label_N.astype(np.int64), len(classes), "cross_entropy", groups)
        return self

    def decision_function(self, X: Any) -> Numbers:
        """Logits (N, classes); for two classes that of the second less that of the first (N,)."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Numbers:
        """Probabilities (N, classes), in the order of ``classes_``."""
        logits = self._outputs(X)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row (N,)."""
        chosen = self._outputs(X).argmax(axis=1)  # first, for it checks that there was a fit
        return self.classes_[chosen]  # type: ignore[no-any-return]


class FederatedRegressor(RegressorMixin, _Federated):  # type: ignore[misc]
    """A regression, of one target or several, that many nodes train together without pooling their rows.

    Parameters and what there is after ``fit`` are those of ``FederatedClassifier``. ``network`` has an output for each
    target; ``scale`` standardises the targets as well, so ``network_`` and the losses in ``run_`` are in that scale.
    Errors (RMSE, MAE) are in the targets' own unit.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = X @ [1.0, 2.0, 3.0]
    >>> FederatedRegressor(hidden=(), weight_decay=0.0).fit(X, y).score(X, y) > 0.999
    True
    """

    _y_shape: tuple[int, ...]

    def fit(self, X: Any, y: Any, groups: Any = None) -> FederatedRegressor:
        """Train. ``X`` (N, F), ``y`` (N,) or (N, K) numbers, ``groups`` (N,) the name of each row's node."""
        y = _plain(_undated(y), "y")
        X, y = validate_data(self, _undated(X), y, dtype=np.float64, multi_output=True, y_numeric=True)
        y = y.astype(np.float64)
        if self._is_warm() and self._y_shape != y.shape[1:]:
            raise BadInput(f"warm_start: a row of y had shape {self._y_shape}, now it has {y.shape[1:]}")
        self._y_shape = y.shape[1:]
        y_NK = y.reshape(len(y), -1)
        self._train(X, y_NK, y_NK.shape[1], "mse", groups)
        return self

    def predict(self, X: Any) -> Numbers:
        """The targets of each row, in the shape that ``y`` had: (N,) or (N, K)."""
        output_NK = self._outputs(X) * self._y_scale + self._y_mean
        return output_NK.reshape(len(output_NK), *self._y_shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def moments(v_NK_of: Sequence[Numbers]) -> tuple[Numbers, Numbers]:
    """Mean and standard deviation of each column (K,) over the rows of all nodes; 1 for a column that is constant.

    Only sums leave a node: first its count and sum, then, of the mean that they give, its summed squared distances.
    (Sums of squares alone would do in one round, but cancel where a mean is large beside its deviation.)

    >>> moments([np.array([[1.0, 5.0]]), np.array([[2.0, 5.0], [3.0, 5.0]])])
    (array([2., 5.]), array([0.81649658, 1. ]))
    """
    count = sum(len(v) for v in v_NK_of)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum((v.sum(axis=0) for v in v_NK_of), np.zeros(v_NK_of[0].shape[1])) / count
        squares = sum((np.square(v - mean).sum(axis=0) for v in v_NK_of), np.zeros(len(mean)))
    if not np.isfinite(squares).all():
        raise BadInput(
            f"column {int(np.flatnonzero(~np.isfinite(squares))[0])} holds numbers whose squares are beyond float64: "
            "divide it by a power of ten"
        )
    deviation = np.sqrt(squares / count)
    # A constant column's mean may be off by rounding: what is left of it is no deviation.
    constant = deviation <= 1e-12 * np.abs(mean)
    return mean, np.where(constant, 1.0, deviation)


def _nodes(groups: Any, rows: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The names of the groups, sorted, and the node of each row (N,): its group's place among them."""
    groups = _plain(groups, "groups")
    named = column_or_1d(check_array(groups, ensure_2d=False, dtype=None, input_name="groups"))
    if len(named) != rows:
        raise BadInput(f"groups must name the node of each of the {rows} rows; it has {len(named)} entries")
    try:
        names, node_N = np.unique(named, return_inverse=True)
    except TypeError as e:
        raise BadInput(f"groups must be all numbers or all strings: {e}") from e
    return names, node_N.astype(np.int64)


def _plain(column: Any, what: str) -> Any:
    """A column of a data frame as the array that it stands for: its integers and booleans without gaps stay such.

    Errors: ``BadInput`` for gaps that have no number (pandas.NA), of which scikit-learn asks whether they are true.
    """
    a = column.to_numpy() if hasattr(column, "to_numpy") else column
    if isinstance(a, np.ndarray) and a.dtype.kind == "O":
        gaps = [at for at, value in np.ndenumerate(a) if type(value).__name__ in ("NAType", "NaTType", "NoneType")]
        if gaps:
            raise BadInput(f"{what} has nothing in row {gaps[0][0]}: remove or impute what is missing")
    return a


def _undated(values: Any) -> Any:
    """The same. Errors: ``BadInput`` for dates and durations, which scikit-learn makes numbers of without a word."""
    columns: Any = getattr(values, "dtypes", None)  # of a data frame
    named = columns.items() if hasattr(columns, "items") else [("", getattr(values, "dtype", None))]
    for name, dtype in named:
        if getattr(dtype, "kind", "") in ("M", "m"):
            column = f"column {name!r}" if name != "" else "it"
            raise BadInput(
                f"{column} holds dates or durations ({dtype}): make a number of each, such as days since the first"
            )
    return values


def _float32(v: Numbers) -> torch.Tensor:
    return torch.from_numpy(v.astype(np.float32))


def _seed(random_state: Any) -> int:
    """One integer of what scikit-learn calls a random state."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


__all__ = ["FederatedClassifier", "FederatedRegressor", "moments"]
