"""The estimators keep scikit-learn's rules, and are the library underneath, not something beside it."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import sklearn
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as np_arrays
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import foedus as fd
from foedus.estimators import FederatedClassifier, FederatedRegressor, moments

QUICK = {"rounds": 5, "nodes": 4}


# Nothing is expected to fail: every check that scikit-learn has for such an estimator applies.
@parametrize_with_checks([FederatedClassifier(rounds=10), FederatedRegressor(rounds=10)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def linear():
    """Rows whose two targets are a linear function of them."""
    x = np.random.default_rng(0).normal(size=(80, 3))
    return x, x @ np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]]) + [10.0, -4.0]


# -- laws ----------------------------------------------------------------------------------------------------------


def test_fit_is_train_on_rows_standardised_by_hand(iris):
    x, y = iris
    node = np.arange(len(x)) % 7
    mine = FederatedClassifier(rounds=3, random_state=4).fit(x, y, groups=node)
    # The deviation is summed in another order here, so the last bit of a scaled number may differ.
    data = fd.data.arrays((x - x.mean(0)) / x.std(0), y, node=node).split(fd.data.Natural())
    program = fd.FedAvg(rounds=3, local=fd.LocalSGD(epochs=5, lr=0.05, momentum=0.9, weight_decay=0.01))
    run = fd.train(program, fd.Model(fd.models.mlp(4, 32, 3, seed=4)), data, seed=4)
    assert torch.allclose(mine.run_.vector, run.vector, atol=1e-5)
    assert mine.run_.ledger.bytes_up == run.ledger.bytes_up


def test_the_seed_decides_and_nothing_else_does(iris):
    def sha(**more):
        return FederatedClassifier(**(QUICK | more)).fit(*iris).run_.sha256

    assert sha() == sha(random_state=0) == sha(random_state=np.int64(0)) == sha(verbose=0)
    assert sha() != sha(random_state=1)
    assert sha(random_state=np.random.RandomState(5)) == sha(random_state=np.random.RandomState(5))
    np.random.seed(3)
    first = sha(random_state=None)
    assert first != sha(random_state=None)
    np.random.seed(3)
    torch.manual_seed(9)
    assert first == sha(random_state=None)


def test_two_workers_give_the_same_bits(iris):
    one = FederatedClassifier(**QUICK).fit(*iris)
    two = FederatedClassifier(**QUICK, runtime=fd.Simulation(workers=2)).fit(*iris)
    assert one.run_.sha256 == two.run_.sha256


def test_names_of_groups_and_labels_change_nothing(iris):
    x, y = iris
    node = np.arange(len(x)) % 3
    plain = FederatedClassifier(rounds=3).fit(x, y, groups=node)
    named = FederatedClassifier(rounds=3).fit(
        x, np.array(["ant", "bee", "cat"])[y], groups=np.array(["A", "B", "C"], dtype=object)[node]
    )
    assert plain.run_.sha256 == named.run_.sha256
    assert named.classes_.tolist() == ["ant", "bee", "cat"]
    assert named.groups_.tolist() == ["A", "B", "C"]
    assert named.run_.sizes == [50, 50, 50]
    assert named.predict(x).tolist() == np.array(["ant", "bee", "cat"])[plain.predict(x)].tolist()
    assert FederatedClassifier(rounds=3).fit(x, y, groups=node * 0.5 - 7).run_.sha256 == plain.run_.sha256
    assert FederatedClassifier(rounds=1).fit(x, y).groups_ is None


def test_units_of_measurement_change_nothing(linear):
    x, y = linear
    one = FederatedRegressor(**QUICK).fit(x, y)
    other = FederatedRegressor(**QUICK).fit(x * 1024, y / 4096)  # powers of two: every sum is exact
    assert one.run_.sha256 == other.run_.sha256
    assert np.allclose(other.predict(x * 1024) * 4096, one.predict(x), rtol=1e-12)


def test_going_on_warm_is_going_on(linear):
    # Full batches and no momentum: nothing tells the first two rounds from the last two.
    settings = dict(batch_size=None, momentum=0.0, epochs=1, nodes=4)
    whole = FederatedRegressor(rounds=4, **settings).fit(*linear)
    halves = FederatedRegressor(rounds=2, **settings, warm_start=True).fit(*linear)
    assert halves.run_.sha256 != whole.run_.sha256
    assert halves.fit(*linear).run_.sha256 == whole.run_.sha256
    cold = FederatedRegressor(rounds=2, **settings).fit(*linear)
    assert cold.run_.sha256 == cold.fit(*linear).run_.sha256


finite = st.floats(-1e6, 1e6, width=32)


@given(np_arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 3)), elements=finite), st.data())
def test_moments_are_those_of_all_rows_whoever_has_them(x, draw):
    node = np.array(draw.draw(st.lists(st.integers(0, 3), min_size=len(x), max_size=len(x))))
    mean, deviation = moments([x[node == k] for k in range(4)])
    assert np.allclose(mean, x.mean(0), rtol=1e-9, atol=1e-9)
    constant = np.ptp(x, axis=0) == 0
    assert np.allclose(deviation[~constant], x.std(0)[~constant], rtol=1e-6, atol=1e-9)
    assert (deviation[constant] == 1).all()


def test_moments_beyond_float64_are_refused_by_column():
    x = np.array([[1.0, 1e200], [2.0, 3e200]])
    with pytest.raises(fd.BadInput, match="column 1 holds numbers whose squares are beyond float64"):
        moments([x[:1], x[1:]])
    assert np.isfinite(moments([x[:1] / 1e60, x[1:] / 1e60])).all()


def test_moments_of_a_mean_that_is_large_beside_its_deviation():
    x = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    _, deviation = moments([x[:300], x[300:]])
    assert deviation == pytest.approx(x.std(0), rel=1e-6)


# -- as good as pooled ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("load", "rounds", "within"), [(load_iris, 30, 0.02), (load_breast_cancer, 10, 0.015)])
def test_a_classifier_is_nearly_as_good_as_one_with_all_rows(load, rounds, within):
    x, y = load(return_X_y=True)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    ours = cross_val_score(FederatedClassifier(rounds=rounds), x, y, cv=cv).mean()
    pooled = cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), x, y, cv=cv).mean()
    assert ours > pooled - within


def test_a_regressor_is_nearly_as_good_as_one_with_all_rows():
    x, y = load_diabetes(return_X_y=True)
    cv = KFold(3, shuffle=True, random_state=0)
    ours = cross_val_score(FederatedRegressor(rounds=15), x, y, cv=cv).mean()
    pooled = cross_val_score(make_pipeline(StandardScaler(), RidgeCV()), x, y, cv=cv).mean()
    assert ours > pooled - 0.05


def test_one_linear_layer_finds_a_linear_function(linear):
    x, y = linear
    both = FederatedRegressor(hidden=(), rounds=20, nodes=4, weight_decay=0.0).fit(x, y)
    assert both.score(x, y) > 0.9999
    assert both.predict(x).shape == (80, 2)
    one = FederatedRegressor(hidden=(), rounds=20, nodes=4, weight_decay=0.0).fit(x, y[:, 0])
    assert one.predict(x).shape == (80,)
    assert np.allclose(one.predict(x), y[:, 0], atol=0.05)
    column = clone(one).fit(x, y[:, :1])
    assert np.array_equal(column.predict(x)[:, 0], one.predict(x))


# -- inside scikit-learn -------------------------------------------------------------------------------------------


def test_in_a_pipeline_with_groups_by_the_steps_name(iris):
    x, y = iris
    node = np.arange(len(x)) % 5
    pipe = make_pipeline(PolynomialFeatures(2, include_bias=False), FederatedClassifier(**QUICK))
    pipe.fit(x, y, federatedclassifier__groups=node)
    assert pipe[-1].run_.nodes == 5
    assert pipe[-1].n_features_in_ == 14
    assert pipe.score(x, y) > 0.8


def test_in_a_grid_search(iris):
    x, y = iris
    search = GridSearchCV(
        FederatedClassifier(**QUICK), {"hidden": [(), (8,)], "program": [None, fd.SyncSGD(rounds=3)]}, cv=2
    )
    search.fit(x, y)
    assert len(search.cv_results_["params"]) == 4
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert search.best_estimator_.run_.nodes == 4


def test_group_folds_alone_hold_out_groups_but_do_not_reach_fit(iris):
    x, y = iris
    node = np.arange(len(x)) % 6
    search = GridSearchCV(FederatedClassifier(**QUICK), {"hidden": [()]}, cv=GroupKFold(3)).fit(x, y, groups=node)
    assert search.best_estimator_.run_.nodes == 4


def test_groups_are_routed_to_folds_and_to_fit(iris):
    x, y = iris
    node = np.arange(len(x)) % 6
    with sklearn.config_context(enable_metadata_routing=True):
        model = FederatedClassifier(rounds=2).set_fit_request(groups=True)
        kept = cross_validate(model, x, y, cv=GroupKFold(3), params={"groups": node}, return_estimator=True)
        # Two of six nodes are held out in each fold; the other four train.
        assert [e.run_.nodes for e in kept["estimator"]] == [4, 4, 4]
        pipe = make_pipeline(StandardScaler(), model)
        search = GridSearchCV(pipe, {"federatedclassifier__hidden": [()]}, cv=GroupKFold(3)).fit(x, y, groups=node)
        assert search.best_estimator_[-1].run_.nodes == 6


def test_probabilities_of_other_rows_in_cross_validation():
    x, y = load_breast_cancer(return_X_y=True)
    p = cross_val_predict(FederatedClassifier(**QUICK), x, y, cv=2, method="predict_proba")
    assert p.shape == (569, 2)
    assert np.allclose(p.sum(1), 1)


def test_clone_and_pickle(iris):
    x, y = iris
    model = FederatedClassifier(
        fd.FedAvg(rounds=2, cohort=fd.Fixed(2)), nn.Linear(4, 3), nodes=3, partition=fd.data.Dirichlet(alpha=1.0)
    )
    fitted = clone(model).fit(x, y)
    assert not hasattr(model, "run_")
    assert clone(model).fit(x, y).run_.sha256 == fitted.run_.sha256
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(x), fitted.predict_proba(x))
    assert again.run_.sha256 == fitted.run_.sha256
    assert again.run_.history == fitted.run_.history


def test_a_data_frames_columns_are_known(iris):
    pandas = pytest.importorskip("pandas")
    x, y = iris
    frame = pandas.DataFrame(x, columns=list("abcd"))
    model = FederatedClassifier(rounds=2).fit(frame, pandas.Series(y), groups=pandas.Series(["u", "v"] * 75))
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.groups_.tolist() == ["u", "v"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[list("dcba")])


# -- networks, programs, outputs -----------------------------------------------------------------------------------


def test_decision_probability_and_class_agree():
    x, y = load_breast_cancer(return_X_y=True)
    two = FederatedClassifier(**QUICK).fit(x, y)
    assert two.decision_function(x).shape == (569,)
    assert np.array_equal(two.decision_function(x) > 0, two.predict(x) == 1)
    assert np.allclose(two.predict_proba(x)[:, 1], 1 / (1 + np.exp(-two.decision_function(x))))


def test_a_function_makes_the_network_and_the_seed_its_weights(iris):
    def make(inputs, outputs):
        return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Dropout(0.1), nn.Linear(5, outputs))

    one, two = (FederatedClassifier(network=make, **QUICK).fit(*iris) for _ in range(2))
    assert one.run_.sha256 == two.run_.sha256
    assert isinstance(one.network_[1], nn.Tanh)
    assert FederatedClassifier(network=make, **QUICK, random_state=1).fit(*iris).run_.sha256 != one.run_.sha256
    assert FederatedClassifier(network=nn.Linear, **QUICK).fit(*iris).network_.out_features == 3


def test_a_given_network_stays_as_it_is(iris):
    mine = nn.Linear(4, 3)
    before = mine.weight.detach().clone()
    model = FederatedClassifier(network=mine, **QUICK).fit(*iris)
    assert torch.equal(mine.weight, before)
    assert not torch.equal(model.network_.weight, before)


def test_a_given_program_has_its_own_settings(iris):
    program = fd.FedAvg(rounds=2, local=fd.LocalSGD(lr=0.1))
    model = FederatedClassifier(program, rounds=7).fit(*iris)
    assert len(model.run_.history) == 2
    assert model.run_.program == program
    assert replace(model.run_.program, rounds=3) != program


def test_without_scale_the_network_sees_the_rows_as_they_are(linear):
    x, y = linear
    model = FederatedRegressor(hidden=(), scale=False, **QUICK).fit(x, y)
    direct = model.network_(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    assert np.allclose(model.predict(x), direct, atol=1e-4)


def test_fewer_rows_than_the_usual_nodes():
    x = np.arange(6.0)[:, None]
    assert FederatedClassifier(rounds=1).fit(x, [0, 1, 0, 1, 0, 1]).run_.nodes == 6
    assert FederatedRegressor(rounds=1).fit(x, x[:, 0]).run_.nodes == 6


def test_a_column_of_labels_is_taken_with_a_warning(iris):
    x, y = iris
    with pytest.warns(DataConversionWarning):
        FederatedClassifier(rounds=1).fit(x, y[:, None])


# -- what cannot be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fit", "message"),
    [
        ({}, {"y": np.zeros(150, int)}, "y holds one class, .*0.*: a classifier needs at least two"),
        ({}, {"groups": [1, 2]}, r"groups must name the node of each of the 150 rows; it has 2 entries"),
        ({}, {"groups": [1.0, np.nan] * 75}, "groups contains NaN"),
        ({}, {"groups": np.array([1, "a"] * 75, dtype=object)}, "groups must be all numbers or all strings"),
        ({"network": "mlp"}, {}, r"network must be a torch.nn.Module, a function \(inputs, outputs\)"),
        ({"network": nn.Linear(4, 5)}, {}, "network tells 5 classes apart, y holds 3"),
        ({"network": nn.Linear(9, 3)}, {}, "the model cannot take this data"),
        ({"nodes": 151}, {}, "151 nodes"),
        ({"lr": -1.0}, {}, "lr must be a non-negative number"),
    ],
)
def test_what_does_not_fit_is_said(settings, fit, message, iris):
    x, y = iris
    with pytest.raises(ValueError, match=message):
        FederatedClassifier(**settings).fit(**({"X": x, "y": y} | fit))


def test_warm_starts_that_cannot_be(iris, linear):
    x, y = iris
    model = FederatedClassifier(rounds=1, warm_start=True).fit(x, y)
    with pytest.raises(fd.BadInput, match="warm_start: the classes were"):
        model.fit(x, y + 1)
    with pytest.raises(fd.BadInput, match="warm_start: X had 4 columns, now it has 3"):
        model.fit(x[:, :3], y)
    x, y = linear
    with pytest.raises(fd.BadInput, match=r"warm_start: a row of y had shape \(2,\), now it has \(\)"):
        FederatedRegressor(rounds=1, warm_start=True).fit(x, y).fit(x, y[:, 0])


def test_sparse_rows_and_no_fit_are_refused(iris):
    x, y = iris
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        FederatedClassifier().fit(csr_matrix(x), y)
    for estimator in (FederatedClassifier(), FederatedRegressor()):
        with pytest.raises(NotFittedError):
            estimator.predict(x)


@pytest.mark.parametrize(("kind", "classes"), [("Int64", [0, 1]), ("boolean", [False, True]), ("string", ["0", "1"])])
def test_columns_of_a_frame_keep_their_labels(kind, classes):
    pandas = pytest.importorskip("pandas")
    x, y = np.arange(20.0).reshape(10, 2), pandas.Series([0, 1] * 5)
    y = y.astype(str).astype(kind) if kind == "string" else y.astype(kind)
    model = FederatedClassifier(rounds=1).fit(pandas.DataFrame(x).astype("Float64"), y)
    assert model.classes_.tolist() == classes
    assert type(model.predict(x).tolist()[0]) is type(classes[0])


def test_what_a_frame_holds_that_is_no_number_is_said():
    pandas = pytest.importorskip("pandas")
    x, y = np.arange(20.0).reshape(10, 2), pandas.Series([0, 1] * 5)
    dates = pandas.DataFrame({"born": pandas.date_range("2020-01-01", periods=10)})
    with pytest.raises(fd.BadInput, match=r"column 'born' holds dates or durations"):
        FederatedClassifier(rounds=1).fit(dates, y)
    for named in (y.astype(str).astype("string").where(y == 0, None), pandas.Series([0, None] * 5, dtype=object)):
        gaps = named.astype(object).where(named.notna(), pandas.NA)
        with pytest.raises(fd.BadInput, match="y has nothing in row 1"):
            FederatedClassifier(rounds=1).fit(x, gaps)
        with pytest.raises(fd.BadInput, match="groups has nothing in row 1"):
            FederatedClassifier(rounds=1).fit(x, y, groups=gaps)
    for mixed in ([0, "b"], ["a", 1]):
        with pytest.raises(ValueError, match=r"all numbers or all strings|Unknown label type"):
            FederatedClassifier(rounds=1).fit(x, np.array(mixed * 5, dtype=object))


def test_a_regression_s_errors_are_in_the_targets_unit_and_metrics_are_of_ones_choice():
    g = np.random.default_rng(0)
    X = g.normal(size=(120, 3))
    y = 1000 * (X @ [1.0, 2.0, 3.0]) + 1e5
    model = FederatedRegressor(hidden=(), rounds=3, metrics=["mae", "r2", "rmse"], random_state=0).fit(X, y)
    last = model.run_.history[-1]
    assert last.rmse == pytest.approx(np.sqrt(np.square(model.predict(X) - y).mean()), rel=1e-3)
    assert last.metrics["mae"] == pytest.approx(np.abs(model.predict(X) - y).mean(), rel=1e-3)
    assert last.metrics["r2"] == pytest.approx(model.score(X, y), abs=1e-5)
    assert model.run_.usual["rmse"] == pytest.approx(y.std(), rel=1e-4)
    chosen = FederatedClassifier(rounds=1, metrics=["f1"]).fit(X, y > 1e5)
    assert [m.name for m in chosen.run_.metrics] == ["f1"]
