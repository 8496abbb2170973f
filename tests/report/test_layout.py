"""The page on screens of a phone, of a half window and of a laptop: nothing runs off its edge, no text over another."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from itertools import product

import pytest

from foedus.report import On
from foedus.report.document import render
from foedus.report.speedup.page import render as of_speedup
from foedus.report.summary import compare

from .fakes import Centralized, FedAvg, LocalOnly, SyncSGD, fake, judged, learn
from .test_by_node import hospitals, many
from .test_speedup import FOUND

WIDTHS = (380, 900, 1280)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# In each frame: how wide the page is; and which elements stand out of it that no box around them scrolls or cuts.
PROBE = """
addEventListener("load", function () {
  var found = [];
  document.querySelectorAll("iframe").forEach(function (frame) {
    var d = frame.contentDocument, room = d.documentElement.clientWidth, out = [];
    d.querySelectorAll("details").forEach(function (el) { el.open = true; });
    function inside(el) {
      for (; el && el !== d.body; el = el.parentElement)
        if (/auto|scroll|hidden/.test(frame.contentWindow.getComputedStyle(el).overflowX)) return true;
      return false;
    }
    d.body.querySelectorAll("*").forEach(function (el) {
      var box = el.getBoundingClientRect();
      if (box.width && (box.right > room + 1 || box.left < -1) && !inside(el.parentElement))
        out.push(el.tagName + "." + (el.getAttribute("class") || "") + " " + (el.textContent || "").slice(0, 40));
    });
    var scrolled = [];
    d.querySelectorAll(".scroll").forEach(function (el) {
      if (el.scrollWidth > el.clientWidth + 1) scrolled.push(el.textContent.slice(0, 60));
    });
    found.push([frame.name, d.documentElement.scrollWidth - room, out, scrolled]);
  });
  var pre = document.createElement("pre");
  pre.id = "found"; pre.textContent = JSON.stringify(found);
  document.body.appendChild(pre);
});
"""


def sure(program, *curve, **costs):
    return judged(fake(program, learn(*curve, **costs)), 0.02, 0.01)


def pages():
    """What people look at: few and many programs, settings, networks and nodes, one run, a speed-up."""
    four = {
        "LocalOnly": sure(LocalOnly(), 30, 0.2, 0.71, 5, waiting=0.2),
        "SyncSGD": sure(SyncSGD(), 200, 0.1, 0.95, 30, up=3000, down=6000, wire=1.0, clock=0.3),
        "FedAvg": sure(FedAvg(), 40, 0.2, 0.96, 5, up=3000, down=6_000_000, epochs=5, wire=1.0),
        "Centralized": sure(Centralized(), 30, 0.3, 0.97, 5, compute=0.3),
    }
    sweep = {
        f"lr={lr}, epochs={e}, batch_size={b}": fake(FedAvg(), learn(20, 0.1, 0.9 - lr, 4, up=e, epochs=e, wire=0.5))
        for lr, e, b in product((0.001, 0.01, 0.1), (1, 5), (16, 256))
    }
    programs, places = (("FedAvg", FedAvg(), 1), ("SyncSGD", SyncSGD(), 3)), (("lan", 0.1), ("wan", 9.0))
    nets = {
        On(p, n): fake(made, learn(20, 0.1, 0.9, 4, up=900, wire=w, clock=w * s))
        for (p, made, s), (n, w) in product(programs, places)
    }
    named = hospitals(rows=(100, 60, 40, 12))
    for run in named:
        run.node_names = ("Cleveland", "Universitätsklinikum Nr. 7 ohneLeerzeichenaberdafürsehrlang", "x", "Bern")
    found = {"four": four, "sweep": sweep, "networks": nets, "hospitals": named, "nodes": many(), "one": four["FedAvg"]}
    made = {name: render(compare(runs), f"{name}: a title") for name, runs in found.items()}
    return made | {"speed-up": of_speedup(FOUND)}


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """What the probe found of every page at every width, by name: by how much it is too wide, what stands out of it,
    and which tables have to be scrolled.
    """
    if CHROMIUM is None:
        pytest.skip("needs Chromium, which is not installed")
    inner = []
    for (name, made), width in product(pages().items(), WIDTHS):
        open_ = re.sub(r"<meta http-equiv[^>]*>", "", made)  # the policy would forbid the probe
        size = f'style="border:0;width:{width}px;height:800px"'
        inner.append(f'<iframe name="{name} at {width}" {size} srcdoc="{html.escape(open_)}"></iframe>')
    file = tmp_path_factory.mktemp("layout") / "frames.html"
    file.write_text(f"<!doctype html><script>{PROBE}</script>{''.join(inner)}", encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=5000",
        f"--user-data-dir={file.parent}",
    ]
    said = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", file.as_uri()], capture_output=True, timeout=120, check=False
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', said.stdout.decode(errors="replace"), re.S)
    if found is None:
        pytest.skip(f"Chromium does not run here: {said.stderr.decode(errors='replace')[-300:]}")
    return {name: (wide, out, scrolled) for name, wide, out, scrolled in json.loads(html.unescape(found[1]))}


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_off_the_edge(frames, width):
    here = {name: found for name, found in frames.items() if name.endswith(f" at {width}")}
    assert len(here) == 7
    assert {name: found[:2] for name, found in here.items() if found[:2] != (0, [])} == {}


def test_tables_fit_without_being_scrolled(frames):
    assert {name: scrolled for name, (_, _, scrolled) in frames.items() if scrolled} == {}
