"""What is sent on tells of no place on anybody's machine."""

import doctest
from types import SimpleNamespace

import pytest

from foedus.report import page, sendable
from foedus.report.sendable import without_folder, without_places

from .fakes import FedAvg, fake, learn


def test_examples():
    assert doctest.testmod(sendable).failed == 0


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('path = "C:\\\\Users\\\\anna\\\\a b.csv"', 'path = "a b.csv"'),
        ("~/data/x.csv: 3 rows", "x.csv: 3 rows"),
        ("'/'", "'/'"),
        ("a 1/2 share on 2026/11/30 at 5 km/h", "a 1/2 share on 2026/11/30 at 5 km/h"),
        ("pkg.mod:Class, data/x.csv, <b>/a</b>", "pkg.mod:Class, data/x.csv, <b>/a</b>"),
    ],
)
def test_only_places_go(said, expected):
    assert without_places(said) == expected


def test_the_folder_of_a_settings_file_goes():
    assert without_folder('seed = 0\nfolder = "/home/anna/trial"\nname = "x"\n') == 'seed = 0\nname = "x"\n'


def test_a_page_tells_files_by_their_names(tmp_path):
    home = "/home/anna/trial of 2026"
    run = fake(
        FedAvg(),
        learn(5, 0.1, 0.9, 2, up=9),
        config=f'folder = "{home}"\n[data]\npath = "{home}/site 1.csv"\n',
        runtime=SimpleNamespace(folder=f"{home}/cache"),
        notices=["went on from /home/anna/trial/before, which had another torch"],
        preparation=SimpleNamespace(lines=["/home/anna/site.csv: 920 rows of 16 columns"], bytes=3),
        origin={"data": "0123456789abcdef", "file": "/home/anna/trial/site 1.csv"},
    )
    html = page(run, tmp_path).read_text(encoding="utf-8")
    assert "anna" not in html
    for name in ("site 1.csv", "site.csv: 920", "before, which", "cache", "0123456789abcdef"):
        assert name in html
