"""Presets: in the order that their names promise, in the units of the field, found by name."""

import itertools
import math
import re
from pathlib import Path

import pytest

from foedus import network
from foedus.core.errors import BadInput
from foedus.core.types.job import Work
from foedus.core.types.keys import Key

DOCS = Path(__file__).parents[2] / "docs" / "network.md"


def test_units():
    assert network.mbit(8) == 1e6
    assert network.gbit(8) == 1e9
    assert network.gbit(1) == network.mbit(1000)
    assert network.milliseconds(20) == 0.02


def medians(preset):
    """Latency, seconds a byte up and down, seconds a row: larger is worse."""
    work = preset.device.flops_per_second
    return preset.links.latency, 1 / preset.links.up, 1 / preset.links.down, 1 / work


def test_each_preset_is_no_better_than_the_one_before():
    order = [network.IDEAL, network.LAN, network.WAN, network.MOBILE]
    for better, worse in itertools.pairwise(order):
        assert all(b <= w for b, w in zip(medians(better), medians(worse), strict=True))
        assert better.links.latency < worse.links.latency
        assert better.links.up > worse.links.up
        assert better.links.spread <= worse.links.spread
        assert better.device.spread <= worse.device.spread


def test_ideal_leaves_the_computation_alone():
    link = network.IDEAL.link(0, Key(0))
    assert (link.latency, link.up, link.down) == (0.0, math.inf, math.inf)
    assert (network.IDEAL.server_up, network.IDEAL.server_down) == (math.inf, math.inf)
    assert network.IDEAL.device == network.LAN.device


def test_lan_is_equal_machines():
    links = {network.LAN.link(i, Key(0).child(i)) for i in range(10)}
    assert len(links) == 1
    assert links.pop().up == 1.25e9


def test_mobile_is_asymmetric_and_unequal():
    links = [network.MOBILE.link(i, Key(0).child(i)) for i in range(1000)]
    assert all(link.down > 2 * link.up for link in links)
    # sigma 0.6: the middle 95 % of phones span about an order of magnitude.
    speeds = sorted(
        1
        / network.Device(flops_per_second=1.0, spread=network.MOBILE.device.spread).seconds(
            Work(trained=1), 1.0, Key(0).child(i), Key(0)
        )
        for i in range(1000)
    )
    assert 8 < speeds[975] / speeds[25] < 14


@pytest.mark.parametrize("name", ["wan", "WAN", "Wan"])
def test_by_name(name):
    assert network.by_name(name) is network.WAN


def test_every_preset_has_a_name():
    for name, preset in network.PRESETS.items():
        assert getattr(network, name.upper()) is preset
        assert network.by_name(name) is preset


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(BadInput, match="unknown network 'mobil': did you mean 'mobile'"):
        network.by_name("mobil")
    with pytest.raises(BadInput, match="unknown network 'zigbee': The presets are ideal, lan, wan, mobile"):
        network.by_name("zigbee")
    with pytest.raises(BadInput, match="unknown network 7"):
        network.by_name(7)


def test_the_docs_give_the_figures_that_are_used():
    rows = {}
    for line in DOCS.read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if re.fullmatch(r"`(IDEAL|LAN|WAN|MOBILE)`", cells[0]):
            rows[cells[0].strip("`")] = cells[1:]
    assert set(rows) == {"IDEAL", "LAN", "WAN", "MOBILE"}
    for name, cells in rows.items():
        p = network.by_name(name)
        latency, up, down, link_spread, server, flops, spread, _ = (number(c) for c in cells)
        assert latency == pytest.approx(p.links.latency * 1e3)
        assert network.mbit(up) == p.links.up
        assert network.mbit(down) == p.links.down
        assert link_spread == p.links.spread
        assert network.mbit(server) == p.server_up == p.server_down
        assert flops * 1e9 == p.device.flops_per_second
        assert spread == p.device.spread
        assert cells[-1].strip("`") == repr(p.device.jitter)


def test_the_example_in_the_docs_spells_out_the_preset():
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    plain = [b for b in blocks if ">>>" not in b]
    assert len(plain) == 3
    names = {}
    for block in plain:
        exec(block, names)
    # The first spells out the preset, the second adds to it what the presets leave out, the third is a program.
    assert names["hospitals"] == network.WAN
    assert names["phones"].availability.share == 0.3
    assert names["program"].cohort.cohort.asked == 13


def number(cell):
    plain = cell.replace(",", "")
    if plain == "unlimited":
        return math.inf
    return float(plain) if re.fullmatch(r"[\d.]+", plain) else math.nan
