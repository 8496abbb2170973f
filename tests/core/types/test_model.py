"""Model: a module over one flat vector, its losses and metrics."""

import copy
import math
import pickle

import cloudpickle
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

import foedus as fd
from foedus.core.coordination.evaluation import Evaluate, combine
from foedus.core.errors import BadInput
from foedus.core.types.data import FederatedDataset, IndexedRows
from foedus.core.types.job import NodeView
from foedus.core.types.keys import Key
from foedus.core.types.model import Model, as_input, join
from foedus.core.types.ranking import area_under_roc
from foedus.testing import same_history


class Net(nn.Module):
    """Everything at once: batch norm (float and integer buffers), a frozen and a tied parameter."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.out = nn.Linear(4, 3)
        self.tied.weight = self.a.weight
        for p in self.frozen.parameters():
            p.requires_grad_(False)

    def forward(self, x):
        return self.out(self.tied(self.frozen(torch.relu(self.norm(self.a(x))))))


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=g), torch.tensor([0, 1, 2, 0, 1, 2])


def numbers(module):
    trainable = [p.detach().flatten() for p in module.parameters() if p.requires_grad]
    buffers = [b.flatten() for b in module.buffers() if b.is_floating_point()]
    return torch.cat([*trainable, *buffers])


def test_the_vector_is_parameters_in_order_then_float_buffers():
    torch.manual_seed(0)
    module = Net()
    model = Model(module)
    assert model.layout.parameters == 16 + 4 + 8 + 4 + 15  # a, norm, tied bias (its weight is a's), out
    assert model.layout.buffers == 8
    assert torch.equal(model.initial, numbers(module))
    assert model.flat.dtype == torch.float32
    assert model.flat.is_contiguous()
    names = [s.name for s in model.layout.slots]
    assert names == [n for n, p in module.named_parameters() if p.requires_grad] + [
        "norm.running_mean",
        "norm.running_var",
    ]
    assert [s.start for s in model.layout.slots[1:]] == [s.stop for s in model.layout.slots[:-1]]
    assert model.layout.slots[-1].stop == model.layout.size


def test_parameters_and_buffers_are_views_of_the_vector(batch):
    model = Model(Net())
    model.flat.copy_(torch.arange(float(model.layout.size)) / 100)
    assert torch.equal(numbers(model.module), model.flat)
    model.module.train()(batch[0])  # batch norm writes its statistics
    assert torch.equal(numbers(model.module), model.flat)
    assert not torch.equal(model.flat[-8:], torch.arange(float(model.layout.size))[-8:] / 100)
    assert model.module.tied.weight is model.module.a.weight


def test_the_users_module_stays_as_it_is(batch):
    module = Net()
    before = copy.deepcopy(module.state_dict())
    model = Model(module)
    model.flat.zero_()
    model.module.train()(batch[0])
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert module.training


def test_gradients_are_those_of_autograd_and_zero_where_a_parameter_took_no_part(batch):
    torch.manual_seed(1)
    module = nn.ModuleDict({"used": nn.Linear(4, 3), "unused": nn.Linear(2, 2)})
    module.forward = module["used"].forward
    model = Model(module)
    model.module.forward = model.module["used"].forward
    grads = model.gradients(model.mean_loss(*batch))
    loss = F.cross_entropy(module["used"](batch[0]), batch[1])
    expected = torch.autograd.grad(loss, list(module["used"].parameters()))
    torch.testing.assert_close(grads[:2], expected)
    assert [g.abs().sum().item() for g in grads[2:]] == [0.0, 0.0]
    split = model.split(torch.cat([g.reshape(-1) for g in grads]))
    assert all(torch.equal(a, b) for a, b in zip(split, grads, strict=True))


def test_integer_buffers_start_afresh_and_do_not_travel(batch):
    model = Model(Net())
    model.module.train()(batch[0])
    assert int(model.module.norm.num_batches_tracked) == 1
    model.load(model.initial)
    assert int(model.module.norm.num_batches_tracked) == 0
    assert torch.equal(model.flat, model.initial)


def test_difference_and_join_are_inverse(batch):
    model = Model(Net())
    model.module.train()(batch[0])
    after = model.flat.clone()
    parts = model.take_difference(model.initial)
    assert parts["delta"].shape == (model.layout.parameters,)
    assert parts["buffers"].abs().sum() > 0
    torch.testing.assert_close(model.initial + join(parts, model.layout), after)
    plain = Model(nn.Linear(2, 2))
    assert set(plain.take_difference(plain.initial)) == {"delta"}
    assert join({"delta": torch.ones(6)}, plain.layout).shape == (6,)


def test_a_buffer_that_the_module_rebinds_comes_back_into_the_vector():
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(2, 1)
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.seen = self.seen + len(x)
            return self.lin(x)

    model = Model(Running(), loss="mse")
    model.module(torch.zeros(5, 2))
    assert model.take_difference(model.initial)["buffers"].tolist() == [5.0]
    model.load(model.initial)
    assert model.module.seen.item() == 0.0


def test_load_refuses_another_length():
    with pytest.raises(BadInput, match=r"vector of 6 numbers, got shape \(5,\)"):
        Model(nn.Linear(2, 2)).load(torch.zeros(5))


@pytest.mark.parametrize("copied", ["pickle", "cloudpickle", "deepcopy"])
def test_copies_are_whole_and_bind_views_of_their_own(copied, batch):
    model = Model(Net(), metrics=["accuracy"])
    model.flat.mul_(2.0)
    again = {
        "pickle": lambda m: pickle.loads(pickle.dumps(m)),
        "cloudpickle": lambda m: pickle.loads(cloudpickle.dumps(m)),
        "deepcopy": copy.deepcopy,
    }[copied](model)
    assert torch.equal(again.initial, model.initial)
    assert again.layout == model.layout
    assert again.metrics == ("accuracy",)
    again.load(model.initial)
    again.flat[0] = 42.0
    assert next(again.module.parameters()).flatten()[0] == 42.0
    again.module.train()(batch[0])
    assert torch.equal(again.flat, numbers(again.module))
    assert again.module.tied.weight is again.module.a.weight
    assert not torch.equal(model.flat, again.flat)


def test_a_pickle_holds_the_numbers_once():
    # Every parameter is a view of one storage; a view pickles its whole storage.
    model = Model(nn.Sequential(*[nn.Linear(30, 30) for _ in range(20)]))
    assert len(cloudpickle.dumps(model)) < 4 * 4 * model.layout.size


def test_copy_of_is_independent_and_in_evaluation_mode(batch):
    model = Model(Net())
    w = model.initial * 1.5
    module = model.copy_of(w)
    model.flat.zero_()
    assert not module.training
    assert torch.equal(numbers(module), w)
    assert next(module.parameters()).requires_grad
    module.train()(batch[0])
    assert model.flat.abs().sum() == 0


# -- what stands still -----------------------------------------------------------------------------------------


class Parts(nn.Module):
    """Norms of all kinds: in a frozen part, beside a trained layer, without parameters, and shared."""

    def __init__(self):
        super().__init__()
        bare, drop = nn.BatchNorm1d(4, affine=False), nn.Dropout(0.5)
        self.first = nn.Sequential(nn.Linear(4, 4), drop)
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), bare, nn.Dropout(0.5), drop)
        self.mixed = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False))
        self.shared = nn.Sequential(nn.Linear(4, 3), bare)
        for part in (self.frozen, self.mixed[1]):
            part.requires_grad_(False)

    def forward(self, x):
        return self.shared[0](self.mixed(self.frozen(self.first(x))))


def test_a_part_whose_parameters_are_all_frozen_stands_still(batch):
    model = Model(Parts())
    m = model.module
    # Its own parameters decide; without any, those of the part around it; one that is used twice must rest twice.
    still = {m.frozen, m.frozen[0], m.frozen[1], m.frozen[3], m.mixed[1]}
    travelling = [s.name for s in model.layout.slots[len(model.parameters) :]]
    assert travelling == [f"{norm}.2.running_{what}" for norm in ("frozen", "mixed") for what in ("mean", "var")]
    before = copy.deepcopy(m.state_dict())
    for _ in range(2):  # the mode survives the evaluation between
        model.training()
        assert {part for part in m.modules() if not part.training} == still
        model.mean_loss(*batch)
        model.outputs(batch[0])
        assert {part for part in m.modules() if not part.training} == still
    after = m.state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    counts = {f"{n.rsplit('.', 1)[0]}.num_batches_tracked" for n in travelling}
    assert changed == {*travelling, *counts, *(n.replace("frozen.2", "shared.1") for n in [*travelling, *counts])}
    m.eval()
    model.outputs(batch[0])
    assert not any(part.training for part in m.modules())
    model.training()
    assert {part for part in m.modules() if not part.training} == still


def test_a_frozen_parameter_beside_trained_parts_stops_only_its_own_module(batch):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4), requires_grad=False)
            self.register_buffer("seen", torch.zeros(()))
            self.inner = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3))

        def forward(self, x):
            if self.training:
                self.seen += 1
            return self.inner(x * self.scale)

    model = Model(Scaled())
    for _ in range(2):
        model.training()
        model.mean_loss(*batch)
        model.outputs(batch[0])
        assert [part.training for part in model.module.modules()] == [False, True, True, True]
    assert model.layout.buffers == 8
    assert model.module.seen == 0


class Counting(nn.Module):
    """Counts its calls in every mode, in two buffers that do not travel: one is rebound, one is written into."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.register_buffer("calls", torch.tensor(7))
        self.frozen.register_buffer("sum", torch.zeros(1))

    def forward(self, x):
        self.calls = self.calls + 1
        self.frozen.sum += 1
        return self.lin(self.frozen(x))


@pytest.mark.parametrize("copied", [False, True])
def test_buffers_that_do_not_travel_start_afresh_however_they_are_written(copied, batch):
    model = Model(Counting())
    assert model.layout.buffers == 0
    model.outputs(batch[0])
    if copied:  # a copy starts from where the original did, not from where it stands
        model = pickle.loads(cloudpickle.dumps(model))
    for _ in range(2):
        model.load(model.initial)
        assert (int(model.module.calls), float(model.module.frozen.sum)) == (7, 0.0)
        model.outputs(batch[0])
        assert (int(model.module.calls), float(model.module.frozen.sum)) == (8, 1.0)


# -- what goes in ----------------------------------------------------------------------------------------------


def test_every_pixel_is_its_255th_part_to_the_bit():
    pixels = np.arange(256, dtype=np.uint8)
    converted = as_input(torch.from_numpy(pixels)).numpy()
    assert converted.dtype == np.float32
    assert (converted == pixels.astype(np.float32) / np.float32(255)).all()
    assert (converted == (pixels / 255.0).astype(np.float32)).all()


def test_float32_and_tokens_are_not_touched():
    for dtype in (torch.float32, torch.int64, torch.int32):
        x = torch.ones(2, 3, dtype=dtype)
        assert as_input(x) is x


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width(dtype, batch):
    x = batch[0].to(dtype)
    assert torch.equal(as_input(x), x.float())
    model = Model(nn.Linear(4, 3))
    model.check(x, batch[1])
    assert torch.equal(model.outputs(x), model.outputs(x.float()))
    assert torch.equal(model.summed_loss(x, batch[1]), model.summed_loss(x.float(), batch[1]))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.complex64])
def test_other_types_are_refused(dtype, batch):
    with pytest.raises(BadInput, match=rf"rows of x are {dtype}: give float32.*uint8 for images.*tokens"):
        Model(nn.Linear(4, 3)).check(torch.ones(2, 4, dtype=dtype), batch[1])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**31))
def test_a_slice_of_bytes_gives_the_bits_of_the_slice_of_floats(rows, batch_size, width, outputs, seed):
    # Products depend in their last bits on where their factors lie, so it is not enough that the numbers are the same.
    g = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (rows, width), dtype=torch.uint8, generator=g)
    converted, y = pixels.float() / 255, torch.randint(0, outputs, (rows,), generator=g)
    model = Model(nn.Linear(width, outputs))
    slices = zip(*(torch.split(t, batch_size) for t in (pixels, converted, y)), strict=True)
    for x8, x32, y_B in slices:
        assert as_input(x8).data_ptr() % 64 == x32.data_ptr() % 64
        a, b = model.mean_loss(x8, y_B), model.mean_loss(x32, y_B)
        assert torch.equal(a, b)
        assert all(map(torch.equal, model.gradients(a), model.gradients(b)))


def test_images_held_as_bytes_train_to_the_same_bits():
    g = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60, 5), dtype=torch.uint8, generator=g)
    y, index, offsets = torch.arange(60) % 3, torch.arange(60), torch.tensor([0, 11, 30, 60])
    model = Model(nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 3)))

    def train(x):
        data = FederatedDataset(x, y, index, offsets, x[:20], y[:20], classes=3)
        return fd.train(fd.FedAvg(3, local=fd.LocalSGD(epochs=3, batch_size=3, lr=0.3)), model, data)

    a, b = train(pixels), train(pixels.float() / 255)
    assert a.sha256 == b.sha256
    assert not same_history(a.history, b.history)


def test_tokens_reach_the_embedding():
    module = nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(6, 7))
    model = Model(module)
    tokens, y = torch.tensor([[1, 6], [2, 3]]), torch.tensor([0, 6])
    for x in (tokens, tokens.int()):
        model.check(x, y)
        assert torch.equal(model.outputs(x), module(tokens))
        assert model.classes(x) == 7
        assert model.flops(x[:1]) == 2 * 6 * 7


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Model("resnet"), r"torch\.nn\.Module, got a str"),
        (lambda: Model(nn.Linear(2, 2), loss="hinge"), "unknown loss 'hinge'.*cross_entropy, mse, bce"),
        (lambda: Model(nn.Linear(2, 2), loss=3), "name or a callable.*int"),
        (lambda: Model(nn.Linear(2, 2), metrics=["acuracy"]), "unknown metric 'acuracy': did you mean 'accuracy'"),
        (lambda: Model(nn.Linear(2, 2).double()), r"weight is torch\.float64.*module\.float\(\)"),
        (lambda: Model(nn.ReLU()), "no trainable parameter"),
        (lambda: Model(nn.Linear(2, 2).requires_grad_(False)), "no trainable parameter"),
        (lambda: Model(nn.LazyLinear(2)), r"^weight has no shape yet.*call module\(x\)"),
        (lambda: Model(nn.Sequential(nn.Linear(2, 2), nn.LazyBatchNorm1d())), r"^1\.weight has no shape yet.*lazy"),
        (
            lambda: Model(nn.Sequential(nn.Linear(2, 2), nn.LazyBatchNorm1d(affine=False))),
            r"^1\.running_mean has no shape yet.*lazy",
        ),
    ],
)
def test_bad_models_are_refused_in_one_line(make, says):
    with pytest.raises(BadInput, match=says) as e:
        make()
    assert "\n" not in str(e.value)


def test_lazy_layers_that_have_seen_a_batch_are_layers_like_others():
    module = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.LazyLinear(2))
    module(torch.randn(3, 5))
    assert Model(module).layout.size == 5 * 4 + 4 + 4 * 4 + 4 * 2 + 2


def check(module, x, y, loss="cross_entropy", metrics=None):
    Model(module, loss, metrics).check(x, y)


class Two(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


X = torch.ones(2, 4)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: check(nn.Linear(5, 3), X, torch.tensor([0, 1])),
            r"cannot take this data: for input of shape \(2, 4\)",
        ),
        (lambda: check(nn.Linear(4, 3), X, torch.tensor([0.0, 1.0])), "integer labels"),
        (lambda: check(nn.Linear(4, 3), X, torch.tensor([[0], [1]])), r"target \(2, 1\)"),
        (lambda: check(nn.Linear(4, 3), X, torch.tensor([0, 3])), "does not fit the loss"),
        (lambda: check(nn.Sequential(nn.Linear(4, 3), nn.Flatten(0)), X, torch.tensor([0, 1])), r"shape \(6,\)"),
        (lambda: check(nn.Linear(4, 3), X, torch.zeros(2), "mse"), "mse needs one output for every target"),
        (lambda: check(nn.Linear(4, 2), X, torch.tensor([0, 1]), "bce"), "bce needs one output for every target"),
        (lambda: check(nn.Linear(4, 3), X, torch.zeros(2), lambda o, t: o), r"returned shape \(2, 3\) for 2 rows"),
        (lambda: check(nn.Linear(4, 3), X, torch.zeros(2), lambda o, t: 1 / 0), "does not fit the loss"),
        (lambda: check(nn.Linear(4, 1), X, torch.zeros(2), lambda o, t: o.sum() * math.nan), "not finite"),
        (lambda: check(Two(4, 3), X, torch.tensor([0, 1])), "tuple"),
        (lambda: check(nn.Linear(4, 3), X, torch.tensor([0, 1]), metrics=["auc"]), "auc"),
        (lambda: check(nn.Linear(4, 3), X, torch.tensor([0, 1]), metrics=["rmse"]), "rmse"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(call, says):
    with pytest.raises(BadInput, match=says) as e:
        call()
    assert "\n" not in str(e.value)


# -- losses ----------------------------------------------------------------------------------------------------

Y = torch.tensor([0, 1, 2, 0, 1, 2])
REAL = torch.randn(6, generator=torch.Generator().manual_seed(3))
LOSSES = {
    "cross_entropy": ("cross_entropy", 3, Y, lambda o, y: F.cross_entropy(o, y)),
    "mse": ("mse", 1, REAL, lambda o, y: F.mse_loss(o.flatten(), y)),
    "mse_wide": ("mse", 2, torch.stack([REAL, -REAL], 1), F.mse_loss),
    "bce": ("bce", 1, Y % 2, lambda o, y: F.binary_cross_entropy_with_logits(o.flatten(), y.float())),
    "rows": (lambda o, y: (o[:, 0] - y).abs(), 2, REAL, lambda o, y: F.l1_loss(o[:, 0], y)),
    "mean": (lambda o, y: F.l1_loss(o[:, 0], y), 2, REAL, lambda o, y: F.l1_loss(o[:, 0], y)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name_and_by_callable(name, batch):
    loss, outputs, y, expected = LOSSES[name]
    model = Model(nn.Linear(4, outputs), loss)
    x = batch[0]
    model.check(x, y)
    want = expected(model.module(x), y)
    torch.testing.assert_close(model.mean_loss(x, y), want)
    torch.testing.assert_close(model.summed_loss(x, y), want * 6)
    assert model.mean_loss(x, y).requires_grad
    assert float(model.statistics(model.outputs(x), y)["loss"]) == pytest.approx(6 * want.item(), rel=1e-5)


def test_default_metrics_fit_the_loss():
    assert Model(nn.Linear(2, 2)).metrics == ("accuracy",)
    assert Model(nn.Linear(2, 1), "bce").metrics == ("accuracy", "auc")
    assert Model(nn.Linear(2, 1), "mse").metrics == ("rmse",)
    assert Model(nn.Linear(2, 1), lambda o, t: o.mean()).metrics == ()


def test_outputs_do_not_train_and_leave_the_mode_alone(batch):
    model = Model(Net())
    model.module.train()
    before = model.flat.clone()
    assert not model.outputs(batch[0]).requires_grad
    assert torch.equal(model.flat, before)
    assert model.module.training
    model.module.eval()
    model.outputs(batch[0])
    assert not model.module.training


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.float16])
def test_flops_of_a_linear_layer(dtype):
    assert Model(nn.Linear(8, 3)).flops(torch.zeros(1, 8, dtype=dtype)) == 2 * 8 * 3


# -- metrics ---------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30))
def test_auc_is_that_of_sklearn_with_ties(rows):
    scores, labels = torch.tensor([float(s) for s, _ in rows]), torch.tensor([int(b) for _, b in rows])
    auc = area_under_roc(scores, labels)
    if len(set(labels.tolist())) < 2:
        assert auc is None
    else:
        assert auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def evaluate(model, x, y, parts):
    rows = IndexedRows(x, y, torch.arange(len(x)))
    updates = []
    for start, stop in parts:
        job = Evaluate(batch_size=4, start=start, stop=stop, keep_rows=True)
        updates.append(job(NodeView(-2, rows, model, {}, Key(0)), {"w": model.initial})[0])
    return combine(updates, model.measures)


def test_metrics_over_parts_are_those_of_the_whole():
    g = torch.Generator().manual_seed(1)
    x = torch.randn(25, 4, generator=g)
    y = (torch.rand(25, generator=g) > 0.5).long()
    model = Model(nn.Linear(4, 1), "bce")
    out = model.outputs(x).flatten()
    got = evaluate(model, x, y, [(0, 10), (10, 20), (20, None)])
    assert got["auc"] == pytest.approx(roc_auc_score(y, out), abs=1e-9)
    assert got["accuracy"] == pytest.approx(((out > 0).long() == y).double().mean().item())
    assert got["loss"] == pytest.approx(F.binary_cross_entropy_with_logits(out, y.float()).item(), rel=1e-5)


def test_two_outputs_give_the_same_auc_as_their_difference():
    x, y = torch.randn(20, 4, generator=torch.Generator().manual_seed(2)), torch.arange(20) % 2
    model = Model(nn.Linear(4, 2), metrics=["auc"])
    out = model.outputs(x)
    assert evaluate(model, x, y, [(0, 20)])["auc"] == pytest.approx(roc_auc_score(y, (out[:, 1] - out[:, 0]).numpy()))


def test_rmse_is_the_root_of_the_mean_over_all_rows_and_targets():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))
    y = torch.randn(9, 2, generator=torch.Generator().manual_seed(4))
    model = Model(nn.Linear(4, 2), "mse")
    got = evaluate(model, x, y, [(0, 4), (4, 9)])
    assert got["rmse"] == pytest.approx(math.sqrt(F.mse_loss(model.outputs(x), y).item()), rel=1e-6)
    assert got["loss"] == pytest.approx(got["rmse"] ** 2, rel=1e-5)
    assert "mse" not in got


def test_accuracy_of_classes():
    x, y = torch.eye(4)[[0, 1, 2, 3]], torch.tensor([0, 1, 2, 0])
    module = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.eye(3, 4, dtype="f")))
    got = evaluate(Model(module), x, y, [(0, 4)])
    assert got["accuracy"] == 1.0  # the last row's outputs tie, and the first class wins


# -- several labels a row --------------------------------------------------------------------------------------


def labelled(rows=60, nodes=3):
    """Rows with three labels each, a test set of 30 others, and what sklearn and torch say of a model on them."""
    g = torch.Generator().manual_seed(5)
    x = torch.randn(rows + 30, 4, generator=g)
    y = (x[:, :3] + torch.randn(rows + 30, 3, generator=g) > 0).int()
    data = fd.data.arrays(x[:rows], y[:rows].numpy(), test=(x[rows:], y[rows:].numpy()))
    return data, x, y


def measured(module, x, y):
    with torch.no_grad():
        output = module(x)
    return {
        "loss": F.binary_cross_entropy_with_logits(output, y.float()).item(),
        "accuracy": ((output > 0) == y.bool()).double().mean().item(),
        "auc": roc_auc_score(y, output, average="macro"),
    }


@pytest.mark.parametrize(
    "program", [fd.FedAvg(rounds=2), fd.SyncSGD(rounds=2), fd.Centralized(rounds=2), fd.Gossip(rounds=2)]
)
def test_the_measures_of_several_labels_are_means_over_rows_and_labels_everywhere(program):
    data, x, y = labelled()
    run = fd.train(program, Model(nn.Linear(4, 3), "bce"), data.split(fd.data.IID(), nodes=3), evaluate_nodes=1)
    want, last = measured(run.model(), x[60:], y[60:]), run.history[-1]
    assert {k: getattr(last, k) for k in want} == pytest.approx(want, rel=1e-5)
    if not isinstance(program, fd.Gossip):  # whose nodes have models of their own
        split = data.split(fd.data.IID(), nodes=3)
        each = [measured(run.model(), *split.rows(n).batch()) for n in range(3)]
        at_nodes = {k: run.node_metrics[k] for k in want}
        assert at_nodes == {k: pytest.approx([e[k] for e in each], rel=1e-5) for k in want}


@pytest.mark.parametrize(
    "job", [fd.LocalSGD(batch_size=None, lr=0.1), fd.Gradient(), Evaluate()], ids=lambda j: type(j).__name__
)
def test_training_and_evaluation_agree_on_the_loss_of_several_labels(job):
    _, x, y = labelled()
    model = Model(nn.Linear(4, 3), "bce")
    rows = IndexedRows(x, y.float(), torch.arange(len(x)))
    u, _ = job(NodeView(0, rows, model, {}, Key(0)), {"w": model.initial})
    want = measured(Model(model.copy_of(model.initial)).module, x, y)["loss"]
    assert u.metrics["loss"] == pytest.approx(want, rel=1e-5)
    if "gradient" in u.parts:  # summed over rows, and a mean over the labels
        model.load(model.initial)
        (g, *_) = torch.autograd.grad(F.binary_cross_entropy_with_logits(model.module(x), y.float()), model.parameters)
        torch.testing.assert_close(u["gradient"][:12].view(3, 4) / len(x), g)


def test_a_label_of_one_class_does_not_count_in_the_auc():
    scores, labels = torch.tensor([[0.1, 1.0], [0.4, 2.0], [0.3, 3.0]]), torch.tensor([[0, 1], [1, 1], [1, 1]])
    assert area_under_roc(scores, labels) == 1.0
    assert area_under_roc(scores[:, 1:], labels[:, 1:]) is None


@pytest.mark.parametrize("metric", ["accuracy", "auc", "rmse"])
def test_a_metric_that_does_not_fit_is_refused_with_the_way_to_leave_it_out(metric):
    shapes = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))
    with pytest.raises(BadInput, match=rf"{metric} needs .*\(2, 2, 3\).*metrics="):
        check(shapes, X, torch.zeros(2, 5), lambda o, t: o.flatten(1).mean(1), [metric])


# -- a loss that meets all outputs with all targets ------------------------------------------------------------

PAIRING = {
    "MSELoss": nn.MSELoss(),
    "L1Loss": nn.L1Loss(),
    "HuberLoss": nn.HuberLoss(),
    "PoissonNLLLoss": nn.PoissonNLLLoss(),
    "difference": lambda o, t: (t - o).square().mean(),
    "named": lambda o, t: F.mse_loss(input=torch.sigmoid(o), target=2 * t),
    "in place": lambda o, t: o.clone().sub(t).abs().mean(),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("flat", ["output", "target"])
@pytest.mark.parametrize("name", PAIRING)
def test_a_loss_that_broadcasts_outputs_against_targets_is_refused(name, flat, rows):
    y = torch.zeros(rows) if flat == "target" else torch.zeros(rows, 1)
    module = nn.Linear(4, 1) if flat == "target" else nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    shapes = r"\(2, 1\).*\(2,\)" if flat == "target" else r"\(2,\).*\(2, 1\)"  # a single row stands there twice
    with pytest.raises(BadInput, match=rf"every row's target.*output has shape {shapes}.*Give y") as e:
        check(module, X[:rows], y, PAIRING[name])
    assert "\n" not in str(e.value)
    check(module, X[:rows], y, lambda o, t: PAIRING[name](o.flatten(), t.flatten()))  # as the message says
    check(nn.Linear(4, 1), X[:rows], torch.zeros(rows, 1), PAIRING[name])


def test_a_loss_of_pairs_that_means_it_is_none_of_our_business():
    def ranks(o, t):
        o, t = o.flatten(), t.flatten()
        return F.relu(-(o[:, None] - o) * (t[:, None] - t)).mean()

    check(nn.Linear(4, 1), X, torch.tensor([0.0, 1.0]), ranks)
    check(nn.Linear(4, 1), X, torch.tensor([0.0, 1.0]), lambda o, t: (o - t[None, :]).abs().mean())


# -- numbers near the end of float32 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job", [fd.LocalSGD(batch_size=None, lr=0.0), fd.Gradient(), Evaluate()], ids=lambda j: type(j).__name__
)
@pytest.mark.parametrize("large", [1e37, 3e38])
def test_the_mean_of_large_losses_is_finite_and_right(job, large):
    x = torch.zeros(100, 2)
    y = torch.full((100,), large)
    model = Model(nn.Linear(2, 1), lambda o, t: (o[:, 0] - t).abs())
    u, _ = job(NodeView(0, IndexedRows(x, y, torch.arange(100)), model, {}, Key(0)), {"w": model.initial})
    assert u.metrics["loss"] == pytest.approx(large, rel=1e-6)
    if "gradient" in u.parts:
        assert u["gradient"].tolist() == [0.0, 0.0, -100.0]


def test_large_losses_of_many_outputs_and_of_classes():
    y = torch.full((5, 50), 1.5e19)
    model = Model(nn.Linear(2, 50), "mse")
    loss = model.mean_loss(torch.zeros(5, 2), y)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(2.25e38, rel=1e-5)
    assert all(bool(torch.isfinite(g).all()) for g in model.gradients(loss))
    classes = Model(nn.Linear(2, 2))
    x, labels = torch.full((8, 2), 1e30), torch.zeros(8, dtype=torch.int64)
    with torch.no_grad():
        classes.flat.copy_(torch.tensor([-1e8, 0, 1e8, 0, 0, 0]))
    assert classes.mean_loss(x, labels).item() == pytest.approx(2e38, rel=1e-5)
    assert classes.summed_loss(x, labels).item() == pytest.approx(16e38, rel=1e-5)
