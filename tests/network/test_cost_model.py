"""Links and devices: draws keep their character and their statistics, and nonsense is refused."""

import math
import pickle
import statistics
import time

import pytest

from foedus.core.errors import BadInput
from foedus.core.time.cost import Link, Network
from foedus.core.types.job import Work
from foedus.core.types.keys import Key
from foedus.network import (
    WAN,
    Always,  # noqa: F401 (a repr names it)
    CostModel,
    Device,
    Exponential,
    Links,
    LogNormal,
    ShiftedExponential,
    Steady,
)

N = 4000
TRAINED = Work(trained=300)


def keys(purpose, seed=0):
    return [Key(seed).child(purpose, i) for i in range(N)]


def assert_mean(values, expected):
    """Within three standard errors."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    assert abs(statistics.fmean(values) - expected) < 3 * error


def assert_stdev(values, expected):
    """Within three standard errors, from the fourth moment."""
    mean, var = statistics.fmean(values), statistics.pvariance(values)
    fourth = statistics.fmean((v - mean) ** 4 for v in values)
    error = math.sqrt((fourth - var**2) / len(values))
    assert abs(var - expected**2) < 3 * error


# Seconds


def test_seconds_are_work_over_speed():
    device = Device(samples_per_second=100)
    assert device.seconds(TRAINED, 0.0, Key(0), Key(1)) == 3.0
    assert device.seconds(Work(evaluated=300), 0.0, Key(0), Key(1)) == 1.0


def test_a_trained_row_costs_three_forward_passes():
    device = Device(flops_per_second=1000.0)
    assert device.seconds(Work(trained=2), 50.0, Key(0), Key(1)) == 0.3
    assert device.seconds(Work(evaluated=2), 50.0, Key(0), Key(1)) == 0.1
    assert device.seconds(Work(), 50.0, Key(0), Key(1)) == 0.0


def test_both_speeds_agree_on_what_evaluation_is_worth():
    work = Work(trained=7, evaluated=30)
    by_rows = Device(samples_per_second=10).seconds(work, 40.0, Key(0), Key(1))
    by_flops = Device(flops_per_second=10 * 3 * 40.0).seconds(work, 40.0, Key(0), Key(1))
    assert by_rows == pytest.approx(by_flops, rel=1e-12)


def test_infinite_speed_takes_no_time():
    assert Device(samples_per_second=math.inf).seconds(TRAINED, 1.0, Key(0), Key(1)) == 0.0


# Draws


@pytest.mark.parametrize(
    ("jitter", "stdev"),
    [
        (Exponential(), 1.0),
        (ShiftedExponential(0.7), 0.3),
        (LogNormal(0.4), math.sqrt(math.exp(0.16) - 1)),
    ],
)
def test_jitter_has_mean_one_and_its_spread(jitter, stdev):
    factors = [jitter.draw(k) for k in keys("jitter")]
    assert_mean(factors, 1.0)
    assert_stdev(factors, stdev)
    assert min(factors) > getattr(jitter, "shift", 0.0)


def test_shift_zero_is_exponential():
    assert [ShiftedExponential(0.0).draw(k) for k in keys("z")[:10]] == [Exponential().draw(k) for k in keys("z")[:10]]


def test_steady_is_exact():
    assert {Steady().draw(k) for k in keys("steady")[:10]} == {1.0}


def test_speed_is_lognormal_across_nodes_with_median_one():
    device = Device(samples_per_second=300, spread=0.6)
    logs = [-math.log(device.seconds(TRAINED, 0.0, k, Key(1))) for k in keys("node")]
    assert_mean(logs, 0.0)
    assert_stdev(logs, 0.6)


def test_links_are_lognormal_across_nodes_and_keep_their_shape():
    links = [Links(latency=0.02, up=1e6, down=5e6, spread=0.5).draw(k) for k in keys("node")]
    logs = [math.log(link.up / 1e6) for link in links]
    assert_mean(logs, 0.0)
    assert_stdev(logs, 0.5)
    assert all(link.down == pytest.approx(5 * link.up) and link.latency == 0.02 for link in links)


def test_a_fast_link_says_nothing_about_the_device():
    """Link and device are drawn with the same node key, and are independent all the same."""
    model = CostModel(Links(0.0, 1.0, 1.0, spread=1.0), Device(samples_per_second=300, spread=1.0))
    link = [math.log(model.link(i, k).up) for i, k in enumerate(keys("node"))]
    speed = [-math.log(model.compute_seconds(i, TRAINED, 0.0, k, Key(1))) for i, k in enumerate(keys("node"))]
    assert abs(statistics.correlation(link, speed)) < 3 / math.sqrt(N)


def test_spread_zero_is_exact():
    model = CostModel(Links(0.02, 1e6, 5e6), Device(samples_per_second=100))
    assert {model.link(i, k) for i, k in enumerate(keys("node")[:50])} == {Link(0.02, 1e6, 5e6)}
    assert {model.compute_seconds(0, TRAINED, 0.0, k, k) for k in keys("node")[:50]} == {3.0}


def test_unlimited_links_stay_unlimited_under_spread():
    assert Links(0.0, math.inf, math.inf, spread=0.5).draw(Key(3)) == Link(0.0, math.inf, math.inf)


# Keys


def test_a_node_keeps_its_character_and_a_job_its_own_draw():
    device = Device(samples_per_second=100, spread=0.6, jitter=Exponential())
    node, other, job, next_job = Key(0).child("n", 1), Key(0).child("n", 2), Key(0).child("j", 0), Key(0).child("j", 1)
    again = [device.seconds(TRAINED, 0.0, node, job) for _ in range(3)]
    assert len(set(again)) == 1
    assert device.seconds(TRAINED, 0.0, other, job) != again[0]
    assert device.seconds(TRAINED, 0.0, node, next_job) != again[0]
    # The node's factor is common to its jobs: what differs is the jitter alone.
    steady = Device(samples_per_second=100, spread=0.6)
    for j in (job, next_job):
        ratio = device.seconds(TRAINED, 0.0, node, j) / steady.seconds(TRAINED, 0.0, node, j)
        assert ratio == pytest.approx(device.seconds(TRAINED, 0.0, other, j) / steady.seconds(TRAINED, 0.0, other, j))


def test_the_order_of_questions_does_not_matter():
    ks = keys("node", seed=9)[:20]
    forward = [WAN.link(i, k) for i, k in enumerate(ks)]
    backward = [WAN.link(i, ks[i]) for i in reversed(range(20))][::-1]
    assert forward == backward
    assert len({link.up for link in forward}) == 20


def test_another_seed_draws_other_nodes():
    assert WAN.link(0, Key(0).child("n", 0)) != WAN.link(0, Key(1).child("n", 0))


# The protocol


def test_it_is_a_network_that_travels():
    assert isinstance(WAN, Network)
    assert pickle.loads(pickle.dumps(WAN)) == WAN
    assert hash(WAN) == hash(pickle.loads(pickle.dumps(WAN)))
    assert eval(repr(WAN), {**globals(), "inf": math.inf}) == WAN


def test_a_jitter_of_the_users_own():
    class Twice:
        def draw(self, key):
            return 2.0

    assert Device(samples_per_second=100, jitter=Twice()).seconds(TRAINED, 0.0, Key(0), Key(1)) == 6.0


def test_a_call_costs_microseconds():
    """An order of magnitude of room for slow machines; a NumPy generator per draw would break it."""
    ks = keys("node")[:1000]
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        for k in ks:
            WAN.compute_seconds(0, TRAINED, 1e6, k, k)
        best = min(best, time.perf_counter() - start)
    assert best / len(ks) < 100e-6


# Bad input


@pytest.mark.parametrize("bad", [0, 0.0, -1, -0.5, math.nan, "fast", True])
@pytest.mark.parametrize("field", ["samples_per_second", "flops_per_second"])
def test_speeds_are_positive_numbers(field, bad):
    with pytest.raises(BadInput, match=rf"Device\.{field} is .*: it must be a positive number of"):
        Device(**{field: bad})


def test_exactly_one_speed():
    with pytest.raises(BadInput, match="exactly one of samples_per_second and flops_per_second, and neither was"):
        Device()
    with pytest.raises(BadInput, match="and both was given"):
        Device(samples_per_second=1, flops_per_second=1)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "wide", None])
def test_spreads_and_latencies_are_finite(bad):
    for call, name in [
        (lambda: Device(samples_per_second=1, spread=bad), "Device.spread"),
        (lambda: Links(0.0, 1.0, 1.0, spread=bad), "Links.spread"),
        (lambda: Links(bad, 1.0, 1.0), "Links.latency"),
        (lambda: LogNormal(bad), "LogNormal.sigma"),
    ]:
        with pytest.raises(BadInput, match=rf"{name} is .*: it must be a finite number of at least 0"):
            call()


@pytest.mark.parametrize("bad", [0, -1.0, math.nan, None])
def test_rates_are_positive(bad):
    fine = Links(0.0, 1.0, 1.0), Device(samples_per_second=1)
    for call, name in [
        (lambda: Links(0.0, bad, 1.0), "Links.up"),
        (lambda: Links(0.0, 1.0, bad), "Links.down"),
        (lambda: CostModel(*fine, server_up=bad), "CostModel.server_up"),
        (lambda: CostModel(*fine, server_down=bad), "CostModel.server_down"),
    ]:
        with pytest.raises(BadInput, match=rf"{name} is .*: it must be a positive number of bytes per second"):
            call()


@pytest.mark.parametrize("bad", [-0.1, 1, 1.5, math.nan])
def test_shift_is_a_share(bad):
    with pytest.raises(BadInput, match=r"ShiftedExponential\.shift is .* use Steady\(\)"):
        ShiftedExponential(bad)


@pytest.mark.parametrize("bad", ["exponential", None, Exponential, 0.3])
def test_jitter_is_an_object(bad):
    with pytest.raises(BadInput, match=r"Device\.jitter is .*use Steady\(\)"):
        Device(samples_per_second=1, jitter=bad)


def test_parts_of_a_cost_model():
    with pytest.raises(BadInput, match=r"CostModel\.links is .* must be a Links"):
        CostModel("wan", Device(samples_per_second=1))
    with pytest.raises(BadInput, match=r"CostModel\.device is .* must be a Device"):
        CostModel(Links(0.0, 1.0, 1.0), 100.0)
