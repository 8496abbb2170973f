"""Server optimisers against the numbers of Reddi et al. and against their definitions."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import foedus as fd
from foedus.optimizers import SGD, Adagrad, Adam, ServerOptimizer, Yogi
from foedus.testing import integers, small

DELTAS = (0.5, 0.25, -0.1)


def _walk(server: ServerOptimizer, deltas=DELTAS, start: float = 0.1) -> list[float]:
    w = torch.tensor([start])
    s = fd.State(w=w, server=server.init(w))
    seen = []
    for d in deltas:
        s = server.step(s, torch.tensor([d]))
        seen.append(float(s.w))
    return seen


def test_adam_reference_numbers() -> None:
    adam = Adam(lr=0.1, beta1=0.9, beta2=0.99, tau=1e-3)
    assert _walk(adam) == pytest.approx([0.1980392, 0.3215447, 0.4140502], abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=6), st.booleans(), st.floats(0, 0.1))
def test_adam_is_its_definition(deltas: list[float], corrected: bool, v0: float) -> None:
    adam = Adam(lr=0.05, beta1=0.8, beta2=0.9, tau=1e-2, v0=v0, bias_correction=corrected)
    m, v, w = 0.0, v0, 0.1
    expected = []
    for t, d in enumerate(deltas, 1):
        m, v = 0.8 * m + 0.2 * d, 0.9 * v + 0.1 * d * d
        m_hat, v_hat = (m / (1 - 0.8**t), v / (1 - 0.9**t)) if corrected else (m, v)
        w += 0.05 * m_hat / (math.sqrt(v_hat) + 1e-2)
        expected.append(w)
    assert _walk(adam, deltas) == pytest.approx(expected, abs=1e-5)


def test_yogi_and_adagrad_by_hand() -> None:
    """The same deltas: v is .0025, .003125, .003225 for Yogi and .25, .3125, .3225 for Adagrad."""
    yogi = Yogi(lr=0.1, beta1=0.9, beta2=0.99, tau=1e-3)
    assert _walk(yogi) == pytest.approx([0.1980392, 0.3210584, 0.4127712], abs=1e-6)
    assert _walk(Adagrad(lr=0.1, tau=1e-3)) == pytest.approx([0.1998004, 0.2444419, 0.2268638], abs=1e-6)
    # With momentum m is .05, .07, .053.
    expected, w = [], 0.1
    for m, v in ((0.05, 0.25), (0.07, 0.3125), (0.053, 0.3225)):
        w += 0.1 * m / (math.sqrt(v) + 1e-3)
        expected.append(w)
    assert _walk(Adagrad(lr=0.1, beta1=0.9, tau=1e-3)) == pytest.approx(expected, abs=1e-6)


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=6), st.floats(0, 0.1), st.booleans())
def test_yogi_and_adagrad_are_their_definitions(deltas: list[float], v0: float, yogi: bool) -> None:
    m, v, w, expected = 0.0, v0, 0.1, []
    for d in deltas:
        m = 0.8 * m + 0.2 * d
        # Yogi moves v towards d^2 by a step that is a part of d^2, not of the gap as Adam does.
        v = v + (0.1 * d * d * (1 if d * d > v else -1 if d * d < v else 0) if yogi else d * d)
        w += 0.05 * m / (math.sqrt(v) + 1e-2)
        expected.append(w)
    common = {"lr": 0.05, "beta1": 0.8, "tau": 1e-2, "v0": v0}
    server = Yogi(**common, beta2=0.9) if yogi else Adagrad(**common)
    assert _walk(server, deltas) == pytest.approx(expected, abs=1e-4)


def test_yogi_forgets_a_large_delta_more_slowly_than_adam() -> None:
    """After one delta of 1, ten small ones: Adam's v decays by b2 a step, Yogi's hardly."""
    s = {}
    for server in (Adam(beta2=0.5), Yogi(beta2=0.5)):
        state = fd.State(w=torch.zeros(1), server=server.init(torch.zeros(1)))
        for d in [1.0] + [0.01] * 10:
            state = server.step(state, torch.tensor([d]))
        s[type(server)] = float(state.server["v"])
    assert s[Adam] < 0.001 < 0.49 < s[Yogi]


def test_sgd_with_momentum_is_fedavgm() -> None:
    """v <- beta v + delta, not (1 - beta) delta."""
    assert _walk(SGD(lr=0.5, momentum=0.9)) == pytest.approx(
        [0.1 + 0.25, 0.35 + 0.5 * 0.7, 0.7 + 0.5 * (0.9 * 0.7 - 0.1)], abs=1e-6
    )


def test_sgd_with_rate_one_is_fedavg_to_the_bit() -> None:
    """Written down once more, without a server optimiser."""
    problem = small()
    local = fd.LocalSGD(epochs=2, batch_size=5, lr=0.1)

    class Plainly:
        async def __call__(self, fed: fd.Federation):
            s = await fed.begin(lambda w: fd.State(w=w))
            for _ in fed.rounds(3):
                total = await fed.map_reduce(local, {"w": s.w}, await fed.sample(fd.Fixed(3)), fd.Mean())
                s = s.replace(w=s.w + torch.cat([total["delta"], total["buffers"]]))
                await fed.commit(s)

    runs = [
        fd.train(program, problem.model, problem.data).sha256
        for program in (
            Plainly(),
            fd.FedAvg(3, fd.Fixed(3), local),
            fd.FedAvg(3, fd.Fixed(3), local, server=SGD(lr=1.0)),
            fd.FedAvg(3, fd.Fixed(3), local, server=SGD(lr=1.0, momentum=0.0)),
        )
    ]
    assert len(set(runs)) == 1


@pytest.mark.parametrize(
    "server", [SGD(1.0), SGD(0.5), SGD(1.0, 0.9), Adam(), Adam(bias_correction=True), Yogi(), Adagrad()], ids=str
)
def test_an_empty_aggregate_changes_nothing(server: ServerOptimizer) -> None:
    w = torch.ones(3)
    s = fd.State(w=w, server=server.init(w))
    assert server.step(s, {}) is s


@pytest.mark.parametrize(
    "server", [SGD(1.0), SGD(0.5), SGD(1.0, 0.9), Adam(), Adam(bias_correction=True), Yogi(), Adagrad()], ids=str
)
def test_buffers_are_moved_by_their_mean_difference_alone(server: ServerOptimizer) -> None:
    w = torch.tensor([1.0, 2.0, 10.0, 20.0])
    s = fd.State(w=w, server=server.init(w))
    for _ in range(3):
        s = server.step(s, {"delta": torch.tensor([0.5, -0.5]), "buffers": torch.tensor([1.0, -2.0])})
    assert s.w[2:].tolist() == [13.0, 14.0]
    alone = fd.State(w=w[:2], server=server.init(w[:2]))
    for _ in range(3):
        alone = server.step(alone, torch.tensor([0.5, -0.5]))
    assert torch.equal(s.w[:2], alone.w)
    assert w.tolist() == [1.0, 2.0, 10.0, 20.0]


@pytest.mark.parametrize("server", [SGD(0.5, 0.5), Adam(), Yogi(), Adagrad()], ids=str)
def test_a_step_changes_no_state_in_place(server: ServerOptimizer) -> None:
    w, delta = torch.ones(3), torch.tensor([1.0, 2.0, 3.0])
    s0 = server.step(fd.State(w=w, server=server.init(w)), delta)
    before = {k: v.clone() for k, v in s0.server.items() if isinstance(v, torch.Tensor)}
    first = server.step(s0, delta)
    assert all(torch.equal(s0.server[k], v) for k, v in before.items())
    assert torch.equal(server.step(s0, delta).w, first.w)
    assert delta.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGD(-1),
        lambda: SGD(math.nan),
        lambda: SGD(1, 1.0),
        lambda: Adam(tau=0),
        lambda: Adam(beta2=1.0),
        lambda: Yogi(beta2=-0.1),
        lambda: Adagrad(beta1=1.0),
        lambda: Yogi(v0=-1.0),
    ],
)
def test_bad_arguments_are_refused(make) -> None:
    with pytest.raises(fd.BadInput, match="server"):
        make()


def test_server_momentum_from_zero_deltas_stays() -> None:
    problem = integers()
    run = fd.train(fd.FedAvg(2, local=fd.LocalSGD(batch_size=None, lr=0.0), server=Adam()), problem.model, problem.data)
    assert torch.equal(run.vector, problem.model.initial)
