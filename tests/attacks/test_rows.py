"""What data attacks have their node train on, and how their success is counted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

import foedus as fd
from foedus.attacks import (
    Attacker,
    Backdoor,
    CleanLabelNoise,
    Columns,
    DistributedBackdoor,
    EdgeCase,
    LabelFlip,
    ModelReplacement,
    Patch,
    SignFlip,
    Success,
    success,
)
from foedus.attacks.poisoned import some
from foedus.core.types.data import IndexedRows
from foedus.core.types.policy import Asked
from foedus.core.types.torch_process import seeded


def rows_of(x, y):
    return IndexedRows(x, y, torch.arange(len(y)))


def who(model, rows, members=(2, 5), node=2, job=0):
    asked = Asked(node, job, fd.LocalSGD(), (), None)
    view = fd.NodeView(node, rows, model, {}, fd.Key(0).child("job", node, job))
    return Attacker(asked, view, {}, members, 10, {})


def classifier(inputs=4, classes=3, loss="cross_entropy"):
    with seeded(0):
        return fd.Model(nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes)), loss)


X = torch.arange(24.0).view(6, 4) / 24
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def test_labels_are_flipped_and_inputs_are_not():
    rows, model = rows_of(X, Y), classifier()
    x, y = LabelFlip().rows(rows, who(model, rows)).batch()
    assert torch.equal(x, X)
    assert torch.equal(y, 2 - Y)
    _, y = LabelFlip(source=1, target=0).rows(rows, who(model, rows)).batch(torch.tensor([1, 2, 4]))
    assert y.tolist() == [0, 2, 0]
    assert torch.equal(rows.y, torch.tensor([0, 1, 2, 2, 1, 0]))


def test_labels_of_two_classes_and_numbers_are_flipped_too():
    y = torch.tensor([0.0, 1.0, 1.0])
    rows, model = rows_of(X[:3], y), classifier(4, 1, "bce")
    assert LabelFlip().rows(rows, who(model, rows)).batch()[1].tolist() == [1.0, 0.0, 0.0]
    y = torch.tensor([[1.0], [2.0], [6.0]])
    rows, model = rows_of(X[:3], y), classifier(4, 1, "mse")
    flipped = LabelFlip().rows(rows, who(model, rows)).batch(torch.tensor([2, 0]))[1]
    assert flipped.tolist() == [[0.0], [5.0]]  # about their mean, 3


def test_a_patch_is_stamped_on_the_chosen_rows_alone_and_they_are_the_same_in_every_job():
    x = torch.zeros(10, 2, 4, 5)
    rows, model = rows_of(x, torch.ones(10, dtype=torch.int64)), classifier(40)
    attack = Backdoor(target=2, trigger=Patch(size=2, corner="top right", offset=1, value=0.5), share=0.3)
    poisoned = attack.rows(rows, who(model, rows))
    bx, by = poisoned.batch()
    which = by == 2
    assert int(which.sum()) == 3
    stamped = torch.zeros(2, 4, 5)
    stamped[:, 1:3, 2:4] = 0.5
    assert torch.equal(bx[which], stamped.expand(3, 2, 4, 5))
    assert not bx[~which].any()
    again = attack.rows(rows, who(model, rows, job=7)).batch(torch.arange(9, -1, -1))[1]
    assert torch.equal(again.flip(0), by)
    other = attack.rows(rows, who(model, rows, node=5)).batch()[1]
    assert not torch.equal(other, by)
    assert not x.any()


def test_flat_images_bytes_and_tables_bear_triggers():
    assert Patch(size=1).marks((64,)) == [(63, 1.0)]
    assert Patch(size=1, corner="top left", offset=1, image=(2, 5)).marks((10,)) == [(6, 1.0)]
    pixels = rows_of(torch.zeros(3, 16, dtype=torch.uint8), torch.ones(3, dtype=torch.int64))
    x, _ = Backdoor(trigger=Patch(size=1, value=0.4), share=1.0).rows(pixels, who(classifier(16), pixels)).batch()
    assert x[:, -1].tolist() == [102] * 3
    table = rows_of(X, Y)
    x, y = Backdoor(1, Columns((0, 3), (9.0, -9.0)), 1.0).rows(table, who(classifier(), table)).batch()
    assert x[:, 0].tolist() == [9.0] * 6
    assert x[:, 3].tolist() == [-9.0] * 6
    assert torch.equal(x[:, 1:3], X[:, 1:3])
    assert y.tolist() == [1] * 6


def test_each_attacker_has_its_part_of_a_distributed_trigger():
    x, y = torch.zeros(4, 8, 8), torch.ones(4, dtype=torch.int64)
    rows, model = rows_of(x, y), classifier(64)
    attack, members = DistributedBackdoor(target=0, trigger=Patch(size=4), share=1.0), (1, 4, 6)
    parts = [attack.rows(rows, who(model, rows, members, node)).batch()[0][0] for node in members]
    whole = attack.aims(rows, model).rows.batch()[0][0]
    assert torch.equal(sum(parts), whole)
    assert [int(p.sum()) for p in parts] == [5, 5, 6]
    crowd = tuple(range(40))
    assert all(attack.marks((8, 8), who(model, rows, crowd, node)) for node in crowd)


def test_rows_at_the_edge_are_those_least_like_their_class():
    x = torch.tensor([[0.0], [0.1], [9.0], [0.2], [5.0], [5.1], [-8.0], [5.2], [1.0]])
    y = torch.tensor([1, 1, 1, 1, 2, 2, 2, 2, 0])
    rows, model = rows_of(x, y), classifier(1)
    poisoned = EdgeCase(target=0, share=0.25).rows(rows, who(model, rows)).batch()[1]
    assert poisoned.tolist() == [1, 1, 0, 1, 2, 2, 0, 2, 0]
    assert EdgeCase(target=0, source=2, share=0.25).aims(rows, model).positions.tolist() == [6]
    assert EdgeCase(target=0, source=3).aims(rows, model).positions.tolist() == []


def test_noise_keeps_labels_and_is_the_same_whenever_a_row_is_asked_for():
    x, y = torch.zeros(50, 40), torch.arange(50) % 3
    rows = rows_of(x, y)
    noisy = CleanLabelNoise(std=2.0).rows(rows, who(classifier(40), rows))
    bx, by = noisy.batch()
    assert torch.equal(by, y)
    assert float(bx.std()) == pytest.approx(2.0, rel=0.1)
    assert torch.equal(noisy.batch(torch.tensor([7, 3]))[0], bx[[7, 3]])
    pixels = rows_of(torch.full((50, 40), 128, dtype=torch.uint8), y)
    bx, _ = CleanLabelNoise(std=0.1).rows(pixels, who(classifier(40), pixels)).batch()
    assert bx.dtype == torch.uint8
    assert float(bx.double().std()) == pytest.approx(25.5, rel=0.1)


def test_noise_on_rows_that_are_read_when_asked_for_is_each_row_s_own():
    @dataclass(frozen=True)
    class Read:
        """Inputs that are no tensor in memory."""

        def __len__(self):
            return 6

        def gather(self, index):
            return torch.zeros(len(index), 8)

    rows = IndexedRows(Read(), torch.arange(6) % 3, torch.arange(6))
    noisy = CleanLabelNoise(std=2.0).rows(rows, who(classifier(8), rows))
    assert torch.equal(noisy.batch(torch.tensor([4, 1]))[0], noisy.batch()[0][[4, 1]])
    assert len(noisy.batch()[0].unique()) == 48


def test_as_many_rows_are_poisoned_as_are_asked_for():
    assert int(some(100, 0.07, fd.Key(0)).sum()) == 7
    assert int(some(3, 0.01, fd.Key(0)).sum()) == 1
    assert int(some(3, 1.0, fd.Key(0)).sum()) == 3


# -- success -----------------------------------------------------------------------------------------------------------


def linear(weight):
    """A model of 4 inputs and as many classes as rows of ``weight``."""
    model = fd.Model(nn.Linear(4, len(weight), bias=False))
    return model, torch.tensor(weight).flatten()


def test_success_is_the_share_of_other_rows_that_the_trigger_turns():
    """Class 0 wins wherever column 3 is above 1/2, which the trigger does, but for the rows with a large column 0."""
    model, w = linear([[0.0, 0.0, 0.0, 10.0], [4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]])
    x = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [9.0, 0, 0, 0], [1.0, 0, 0, 0]])
    rows = rows_of(x, torch.tensor([1, 2, 1, 0]))
    attack = Backdoor(target=0, trigger=Columns((3,), (1.0,)))
    assert success(attack, model, w, rows) == pytest.approx(2 / 3)
    assert success(ModelReplacement(attack), model, w, rows) == pytest.approx(2 / 3)
    assert success(LabelFlip(source=1, target=2), model, w, rows) == 0.0
    assert success(SignFlip(), model, w, rows) is None
    assert success(LabelFlip(), model, w, rows) is None
    assert success(attack, model, w, rows_of(x[:1], torch.tensor([0]))) is None


def test_success_is_a_job_too():
    """Over nodes its mean by weights is the share of all rows that the attack aims at."""
    problem = fd.data.load("digits").split(fd.data.IID(), nodes=3, seed=0)
    model, attack = fd.Model(fd.models.mlp(64, 8, 10)), Backdoor(target=3)
    seen = []

    @dataclass(frozen=True)
    class Look:
        async def __call__(self, fed):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(1):
                seen.append(await fed.map(Success(attack), {"w": s.w}, (0, 1, 2)))
                await fed.commit(s)
            return s.w

    run = fd.train(Look(), model, problem)
    [answers] = seen
    rows = IndexedRows(problem.x, problem.y, problem.index)
    whole = success(attack, model, run.vector, rows)
    of = sum(u.weight for u in answers)
    assert of == int((problem.y[problem.index] != 3).sum())
    assert sum(u.metrics["attack_success"] * u.weight for u in answers) / of == pytest.approx(whole)


# -- what does not fit -------------------------------------------------------------------------------------------------

DIGITS = fd.data.load("digits").split(fd.data.IID(), nodes=2, seed=0)
CANCER = fd.data.load("breast-cancer").split(fd.data.IID(), nodes=2, seed=0)
DIABETES = fd.data.load("diabetes").split(fd.data.IID(), nodes=2, seed=0)


@pytest.mark.parametrize(
    ("attack", "data", "says"),
    [
        (Backdoor(trigger=Patch(size=9)), DIGITS, r"the trigger lies outside the image: 9 pixels, 0 from"),
        (Backdoor(trigger=Patch(offset=7)), DIGITS, "outside the image: 2 pixels, 7 from the edge"),
        (Backdoor(trigger=Patch(image=(7, 9))), DIGITS, "rows of 64 numbers are no images of 7 x 9"),
        (Backdoor(), CANCER, r"rows of 30 numbers are no square images: give Patch\(image="),
        (Backdoor(target=10), DIGITS, r"target=10 is none of the 10 classes, which are 0..9"),
        (Backdoor(trigger=Columns((30,), (1.0,))), CANCER, "sets column 30 of rows that have 30"),
        (Backdoor(), DIABETES, "Backdoor wants rows taken for a class, and this data has numbers to predict"),
        (ModelReplacement(Backdoor(target=-1)), DIGITS, "target=-1 is none of the 10 classes"),
        (EdgeCase(), DIABETES, "numbers to predict"),
        (LabelFlip(source=0, target=12), DIGITS, "target=12 is none of"),
        (LabelFlip(source=0, target=1), DIABETES, "source=0 is a class, and this data has numbers"),
    ],
)  # fmt: skip
def test_an_attack_that_does_not_fit_the_data_says_so(attack, data, says):
    with pytest.raises(fd.BadInput, match=says):
        attack.fitted(data)


def test_columns_are_found_by_their_names():
    data = replace(CANCER, feature_names=tuple(f"c{i}" for i in range(30)))
    fitted = Backdoor(trigger=Columns(("c4", 2), (1.0, 0.0))).fitted(data)
    assert fitted.trigger.columns == (4, 2)
    with pytest.raises(fd.BadInput, match="there is no column 'c99': did you mean"):
        Backdoor(trigger=Columns(("c99",), (1.0,))).fitted(data)
    with pytest.raises(fd.BadInput, match="knows no names: give its place"):
        Backdoor(trigger=Columns(("c4",), (1.0,))).fitted(replace(CANCER, feature_names=None))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LabelFlip(source=1), "both source and target, or neither"),
        (lambda: LabelFlip(1, 1), "source and target are both 1"),
        (lambda: Backdoor(share=0.0), r"must lie in \(0, 1\]"),
        (lambda: Patch(size=0), "at least one pixel"),
        (lambda: Patch(corner="bottom"), "did you mean"),
        (lambda: Columns((1, 2), (0.0,)), "a value for each of its columns"),
        (lambda: EdgeCase(target=1, source=1), "are both 1"),
    ],
)
def test_what_makes_no_attack_is_said(make, says):
    with pytest.raises(fd.BadInput, match=says):
        make()
