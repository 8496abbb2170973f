"""Tables as they lie about: each made by a fixed seed, with what a person who knows it would say of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Columns = dict[str, Any]


@dataclass(frozen=True)
class Right:
    """The right experiment. ``node`` None: no column says whose row it is. ``never``: no feature.

    ``options`` are others that have to be proposed; ``others``: columns that may as well be the answer.
    """

    target: str
    node: str | None = None
    task: str = "classification"
    never: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table that can be written into a folder; ``path`` is what ``init`` is given there."""

    write: Callable[[Path], None]
    path: str
    right: Right


TABLES: dict[str, Callable[[], Table]] = {}


def table(make: Callable[[], Table]) -> Callable[[], Table]:
    TABLES[make.__name__] = make
    return make


def csv_text(columns: Columns, delimiter: str = ",", decimal: str = ".") -> str:
    def cell(v: Any) -> str:
        if v is None or (isinstance(v, float) and np.isnan(v)):
            return ""
        if isinstance(v, float | np.floating):
            return f"{v:g}".replace(".", decimal)
        return str(v)

    lines = [delimiter.join(columns)]
    lines += [delimiter.join(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def one(columns: Columns, right: Right, **how: str) -> Table:
    return Table(
        lambda folder: (folder / "t.csv").write_text(csv_text(columns, **how), encoding="utf-8"), "t.csv", right
    )


def raw(data: bytes, right: Right, name: str = "t.csv") -> Table:
    return Table(lambda folder: (folder / name).write_bytes(data), name, right)


def _yes(r: np.random.Generator, score: Any, names: tuple[Any, Any] = (0, 1)) -> list[Any]:
    return [names[int(p)] for p in r.random(len(score)) < 1 / (1 + np.exp(-np.asarray(score)))]


def _clinic(seed: int, rows: int = 400, sites: int = 4) -> tuple[np.random.Generator, Columns, Any, Any]:
    """Patients of several sites that differ in all that they measure; and what makes them ill."""
    r = np.random.default_rng(seed)
    site = r.choice(sites, rows, p=np.arange(sites, 0, -1) / np.arange(sites, 0, -1).sum())
    age = np.round(r.normal(52 + 3 * site, 9)).astype(int)
    pressure = np.round(r.normal(128 + 5 * site + 0.3 * (age - 52), 14)).astype(int)
    chol = np.round(r.normal(240 - 12 * site, 45)).astype(int)
    rate = np.round(r.normal(150 - 6 * site - 0.5 * (age - 52), 18)).astype(int)
    columns = {
        "age": age,
        "sex": r.choice(["male", "female"], rows, p=[0.7, 0.3]),
        "trestbps": pressure,
        "chol": chol,
        "thalach": rate,
        "exang": r.choice(["yes", "no"], rows),
    }
    score = 0.06 * (age - 55) + 0.02 * (pressure - 135) - 0.03 * (rate - 140) + 0.4 * (site - 1)
    return r, columns, site, score


HOSPITALS = np.array(["Cleveland", "Hungary", "Switzerland", "Long Beach"])


@table
def hospitals() -> Table:
    r, c, site, score = _clinic(1)
    c = {"patient": [f"P{i:04}" for i in r.permutation(400)], "hospital": HOSPITALS[site], **c}
    return one(c | {"disease": _yes(r, score, ("no", "yes"))}, Right("disease", "hospital", never=("patient",)))


@table
def heart_disease_of_four_sites() -> Table:
    r, c, site, score = _clinic(2)
    c["chol"] = np.where(site == 2, 0, c["chol"])
    c["trestbps"][7] = 0
    ca = np.where(site == 0, r.integers(0, 4, 400), -9)
    num = np.clip(np.round(1.5 + 0.9 * score + r.normal(0, 0.7, 400)), 0, 4).astype(int)
    right = Right(
        "num", "dataset_site", "?", options={"missing_values": {"chol": ["0"], "trestbps": ["0"], "ca": ["-9"]}}
    )
    return one(c | {"ca": ca, "dataset_site": HOSPITALS[site], "num": num}, right)


@table
def a_file_for_each_hospital() -> Table:
    r, c, site, score = _clinic(3)
    c |= {"target": _yes(r, score)}

    def write(folder: Path) -> None:
        (folder / "sites").mkdir()
        for k, name in enumerate(HOSPITALS):
            part = {n: np.asarray(v)[site == k] for n, v in c.items()}
            (folder / "sites" / f"{name}.csv").write_text(csv_text(part))

    return Table(write, "sites", Right("target", None))


@table
def bank_branches() -> Table:
    r = np.random.default_rng(4)
    n, branch = 500, r.integers(0, 8, 500)
    balance = np.round(r.lognormal(7 + 0.2 * branch, 1)).astype(int)
    c = {
        "age": r.integers(18, 80, n),
        "job": r.choice(["admin", "technician", "services", "retired"], n),
        "marital": r.choice(["married", "single", "divorced"], n),
        "default": r.choice(["no", "yes"], n, p=[0.95, 0.05]),
        "balance": balance,
        "duration": np.round(r.exponential(250 + 20 * branch)).astype(int),
        "branch": np.array([f"B{k}" for k in range(8)])[branch],
    }
    y = _yes(r, (c["duration"] - 300) / 150, ("no", "yes"))
    return one(c | {"y": y}, Right("y", "branch"))


@table
def sensors() -> Table:
    r = np.random.default_rng(5)
    n, s = 600, np.repeat(np.arange(12), 50)
    offset = r.normal(0, 3, 12)[s]
    c = {
        "timestamp": [f"2024-03-{1 + i % 28:02} {i % 24:02}:00" for i in range(n)],
        "sensor_id": 100 + 7 * s,
        "temperature": np.round(r.normal(60, 3, n) + offset, 2),
        "vibration": np.round(r.gamma(2, 1, n) + 0.2 * offset, 3),
        "pressure": np.round(r.normal(5, 1, n) + 0.4 * offset, 3),
    }
    c["failure"] = _yes(r, c["vibration"] - 4)
    return one(c, Right("failure", "sensor_id", never=("timestamp",)))


@table
def schools() -> Table:
    r = np.random.default_rng(6)
    n, school = 395, r.choice(2, 395, p=[0.6, 0.4])
    g1 = np.clip(np.round(r.normal(11 - school, 3.2, n)), 0, 20).astype(int)
    g2 = np.clip(np.round(g1 + r.normal(0, 1.5, n)), 0, 20).astype(int)
    c = {
        "school": np.array(["GP", "MS"])[school],
        "sex": r.choice(["F", "M"], n),
        "age": r.integers(15, 20, n) + school,
        "studytime": r.integers(1, 5, n),
        "absences": np.round(r.exponential(5 + 3 * school)).astype(int),
        "G1": g1,
        "G2": g2,
        "G3": np.clip(np.round(g2 + r.normal(0, 1, n)), 0, 20).astype(int),
    }
    return one(c, Right("G3", "school", "?"))


@table
def retail_stores() -> Table:
    r = np.random.default_rng(7)
    n, store = 900, r.integers(1, 31, 900)
    size = np.round(r.uniform(50, 400, 31))[store]
    price = np.round(r.uniform(2, 20, n) + 0.01 * size, 2)
    c = {
        "store": store,
        "date": [f"{1 + i % 28:02}.{1 + i % 12:02}.2023" for i in range(n)],
        "floor_area": size,
        "price": price,
        "promo": r.integers(0, 2, n),
        "customers": np.round(r.poisson(30 + size / 4)).astype(int),
    }
    c["weekly_sales"] = np.round(c["customers"] * price * 7 * r.uniform(0.8, 1.2, n), 2)
    return one(c, Right("weekly_sales", "store", "regression", never=("date",)))


@table
def insurance() -> Table:
    r = np.random.default_rng(8)
    n = 700
    smoker = r.choice(["no", "yes"], n, p=[0.8, 0.2])
    age, bmi = r.integers(18, 65, n), np.round(r.normal(30, 6, n), 2)
    c = {
        "age": age,
        "sex": r.choice(["female", "male"], n),
        "bmi": bmi,
        "children": r.integers(0, 6, n),
        "smoker": smoker,
        "region": r.choice(["northeast", "northwest", "southeast", "southwest"], n),
        "charges": np.round(250 * age + 300 * bmi + 20_000 * (smoker == "yes") + r.normal(0, 3000, n) + 500, 2),
    }
    return one(c, Right("charges", "region", "regression"))


@table
def numeric_codes_of_sites() -> Table:
    r, c, site, score = _clinic(9, sites=5)
    codes = np.array([101, 104, 212, 305, 307])[site]
    return one({"zc": codes, **c, "outcome": _yes(r, score)}, Right("outcome", "zc"))


@table
def site_in_the_prefix_of_the_id() -> Table:
    r, c, site, score = _clinic(10)
    code = np.array(["CLE", "HUN", "SWI", "LBE"])[site]
    ids = [f"{a}-{i:04}" for a, i in zip(code, r.permutation(400), strict=True)]
    return one({"record": ids, **c, "outcome": _yes(r, score)}, Right("outcome", "?", never=("record",)))


@table
def dates_everywhere() -> Table:
    r, c, site, score = _clinic(11)
    c = {"site": HOSPITALS[site], "admitted": [f"2021-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(400)], **c}
    c["born"] = [f"{1 + i % 28}/{1 + i % 12}/{1940 + i % 50}" for i in range(400)]
    return one(c | {"readmitted": _yes(r, score)}, Right("readmitted", "site", never=("admitted", "born")))


@table
def wide_genes() -> Table:
    r = np.random.default_rng(12)
    n, kind = 120, r.choice(3, 120)
    genes = {f"g{j}": np.round(r.normal(7, 1, n) + (kind == j % 3) * (0.8 if j < 12 else 0), 3) for j in range(150)}
    c = {"sample_id": [f"TCGA-{i:03}-{i * 7 % 100:02}X" for i in range(n)], **genes}
    return one(c | {"subtype": np.array(["LumA", "LumB", "Basal"])[kind]}, Right("subtype", None, never=("sample_id",)))


@table
def flowers() -> Table:
    r = np.random.default_rng(13)
    kind = np.repeat(np.arange(3), 50)
    parts = {"sepal length": 0.6, "sepal width": 0.1, "petal length": 1.5, "petal width": 0.7}
    c = {name: np.round(r.normal(3 + kind * step, 0.5), 1) for name, step in parts.items()}
    return one(c | {"species": np.array(["setosa", "versicolor", "virginica"])[kind]}, Right("species", None))


@table
def visits_of_patients() -> Table:
    r, c, site, score = _clinic(14, rows=130)
    visits = r.integers(2, 6, 130)
    c = {"clinic": HOSPITALS[site], "patient_id": 5000 + r.permutation(130), **c}
    long = {n: np.repeat(np.asarray(v), visits) for n, v in c.items()}
    long["weight"] = np.round(r.normal(80, 12, visits.sum()), 1)
    long["relapse"] = _yes(r, np.repeat(score, visits))
    return one(long, Right("relapse", "clinic", options={"group": "patient_id"}))


@table
def target_first() -> Table:
    r, c, site, score = _clinic(15)
    return one({"label": _yes(r, score, ("healthy", "ill")), **c, "site": site + 1}, Right("label", "site"))


@table
def target_in_the_middle() -> Table:
    r, c, site, score = _clinic(16)
    names = list(c)
    c["outcome"] = _yes(r, score)
    order = [*names[:3], "outcome", *names[3:]]
    return one({"centre": HOSPITALS[site], **{n: c[n] for n in order}}, Right("outcome", "centre"))


@table
def german_with_decimal_commas() -> Table:
    r = np.random.default_rng(17)
    n, f = 400, r.integers(0, 5, 400)
    betrag = np.round(r.lognormal(8 + 0.2 * f, 0.7), 2)
    zins = np.round(r.normal(4 + 0.3 * f, 0.8), 2)
    c = {
        "Kundennummer": 100_000 + r.permutation(n),
        "Filiale": np.array(["Nord", "Süd", "Ost", "West", "Mitte"])[f],
        "Betrag": betrag,
        "Zinssatz": zins,
        "Laufzeit": r.choice([12, 24, 36, 48, 60], n),
        "Ausfall": _yes(r, zins - 5.5, ("nein", "ja")),
    }
    right = Right("Ausfall", "Filiale", never=("Kundennummer",), options={"delimiter": ";", "decimal": ","})
    return one(c, right, delimiter=";", decimal=",")


@table
def byte_order_mark() -> Table:
    r, c, site, score = _clinic(18)
    c = {"hospital": HOSPITALS[site], **c, "outcome": _yes(r, score)}
    return raw(b"\xef\xbb\xbf" + csv_text(c).encode(), Right("outcome", "hospital"))


@table
def hungarian() -> Table:
    r, c, site, score = _clinic(19)
    named = dict(zip(["életkor", "nem", "vérnyomás", "koleszterin", "pulzus", "fájdalom"], c.values(), strict=True))
    korhaz = np.array(["Szeged", "Pécs", "Győr", "Eger"])[site]
    return one({"kórház": korhaz, **named, "beteg": _yes(r, score, ("nem", "igen"))}, Right("beteg", "kórház"))


@table
def finnish_with_the_target_first() -> Table:
    r, c, site, score = _clinic(20)
    named = dict(zip(["ikä", "sukupuoli", "paine", "kolesteroli", "syke", "kipu"], c.values(), strict=True))
    c = {"sairas": _yes(r, score, ("ei", "on")), **named, "sairaala": np.array(["A", "B", "C", "D"])[site]}
    return one(c, Right("sairas", "sairaala"))


@table
def target_and_its_copy() -> Table:
    r, c, site, score = _clinic(21)
    y = np.array(_yes(r, score))
    c = {"hospital": HOSPITALS[site], **c, "stage_code": np.where(y == 1, r.integers(1, 5, 400), 0)}
    return one(c | {"outcome": np.where(y == 1, "ill", "well")}, Right("outcome", "hospital", never=("stage_code",)))


@table
def price_in_two_currencies() -> Table:
    r = np.random.default_rng(22)
    n = 300
    area, rooms = np.round(r.uniform(30, 180, n), 1), r.integers(1, 7, n)
    price = np.round(2500 * area + 8000 * rooms + r.normal(0, 20_000, n)).astype(int)
    c = {
        "city": np.array(["Lyon", "Nice", "Lille"])[r.integers(0, 3, n)],
        "area": area,
        "rooms": rooms,
        "built": r.integers(1950, 2020, n),
        "price_usd": np.round(price * 1.09).astype(int),
        "price": price,
    }
    return one(c, Right("price", "city", "regression", never=("price_usd",)))


@table
def leading_zeros_in_codes() -> Table:
    r, c, site, score = _clinic(23)
    zips = np.array([f"{z:05}" for z in (1067, 4109, 10115, 20095, 50667, 80331, 90402)])
    c = {
        "case_id": [f"{i:06}" for i in r.permutation(400)],
        "hospital": HOSPITALS[site],
        "zip": r.choice(zips, 400),
        **c,
    }
    right = Right("outcome", "hospital", never=("case_id",), options={"text": ["zip"]})
    return one(c | {"outcome": _yes(r, score)}, right)


@table
def ids_beyond_what_floats_hold() -> Table:
    r, c, site, score = _clinic(24)
    ids = [str(2**53 + 1 + int(i)) for i in r.permutation(400)]
    right = Right("outcome", "hospital", options={"id": "person_id"}, never=("person_id",))
    return one({"person_id": ids, "hospital": HOSPITALS[site], **c, "outcome": _yes(r, score)}, right)


@table
def amounts_as_people_write_them() -> Table:
    r = np.random.default_rng(25)
    n, b = 400, r.integers(0, 4, 400)
    income, share = r.lognormal(8 + 0.1 * b, 0.6), r.uniform(5, 95, n)
    c = {
        "branch": np.array(["North", "South", "East", "West"])[b],
        "income": [f'"{v:,.2f} €"' for v in income],
        "used": [f"{v:.0f} %" for v in share],
        "age": r.integers(18, 80, n),
        "years": r.integers(0, 30, n),
        "default": _yes(r, (share - 60) / 15, ("no", "yes")),
    }
    return one(c, Right("default", "branch", options={"numeric": ["income", "used"]}))


@table
def words_among_numbers() -> Table:
    r, c, site, score = _clinic(26)
    crp = [f"{v:.1f}" for v in r.gamma(2, 8, 400)]
    for i in range(0, 400, 9):
        crp[i] = "<5"
    for i in range(4, 400, 31):
        crp[i] = "unknown"
    glucose = [str(v) for v in r.integers(70, 200, 400)]
    for i in range(3, 400, 17):
        glucose[i] = "."
    c |= {"crp": crp, "glucose": glucose}
    right = Right("outcome", "hospital", options={"missing_values": {"crp": ["<5", "unknown"], "glucose": ["."]}})
    return one({"hospital": HOSPITALS[site], **c, "outcome": _yes(r, score)}, right)


@table
def abbreviations_at_one_site() -> Table:
    r, c, site, score = _clinic(27)
    c["sex"] = np.where(site == 2, np.array([s[0].upper() for s in c["sex"]]), c["sex"])
    return one({"hospital": HOSPITALS[site], **c, "outcome": _yes(r, score)}, Right("outcome", "hospital"))


@table
def a_survey_with_nines() -> Table:
    r = np.random.default_rng(28)
    n = 600
    trust = np.where(r.random(n) < 0.08, 99, r.integers(1, 8, n))
    income = np.where(r.random(n) < 0.1, -1, r.integers(12, 90, n) * 1000)
    c = {
        "country": np.array(["DK", "PT", "PL", "IE"])[r.integers(0, 4, n)],
        "age": np.where(r.random(n) < 0.03, 999, r.integers(16, 90, n)),
        "gender": r.choice([1, 2], n),
        "trust": trust,
        "household_income": income,
        "voted": r.integers(0, 2, n),
        "satisfied": r.integers(1, 6, n),
        "outcome": _yes(r, (trust - 4.0) / 10),
    }
    missing = {"age": ["999"], "trust": ["99"], "household_income": ["-1"]}
    return one(c, Right("outcome", "country", options={"missing_values": missing}))


@table
def train_and_test_files() -> Table:
    r, c, _, score = _clinic(29)
    c |= {"target": _yes(r, score)}

    def write(folder: Path) -> None:
        (folder / "d").mkdir()
        for name, rows in (("train", slice(0, 300)), ("test", slice(300, 400))):
            (folder / "d" / f"{name}.csv").write_text(csv_text({n: np.asarray(v)[rows] for n, v in c.items()}))

    return Table(write, "d", Right("target", None, options={"test": "test.csv"}))


@table
def a_target_that_never_changes() -> Table:
    r, c, site, score = _clinic(30)
    c = {"hospital": HOSPITALS[site], **c, "died": _yes(r, score), "outcome": ["alive"] * 400}
    return one(c, Right("died", "hospital", never=("outcome",)))


@table
def french_in_windows_letters() -> Table:
    r, c, site, score = _clinic(31)
    c = {"hôpital": np.array(["Évry", "Sète", "Nîmes", "Besançon"])[site], **c, "décès": _yes(r, score, ("non", "oui"))}
    right = Right("décès", "hôpital", options={"encoding": "cp1252", "delimiter": ";"})
    return raw(csv_text(c, delimiter=";").encode("cp1252"), right)


@table
def decoys_and_no_site() -> Table:
    r = np.random.default_rng(32)
    n = 500
    sex = r.choice(["m", "f"], n)
    height = np.round(r.normal(166 + 12 * (sex == "m"), 7)).astype(int)
    weight = np.round(height - 100 + r.normal(0, 9, n)).astype(int)
    smoker = r.choice(["yes", "no"], n)
    c = {
        "sex": sex,
        "smoker": smoker,
        "education": r.choice(["none", "school", "college", "phd"], n),
        "height": height,
        "weight": weight,
        "lung": np.round(r.normal(4 + (sex == "m") - 0.5 * (smoker == "yes"), 0.5), 2),
        "pulse": r.integers(55, 100, n),
    }
    return one(c | {"outcome": _yes(r, 2 * (4 - c["lung"]))}, Right("outcome", None))


@table
def parquet_of_centers() -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    r, c, site, score = _clinic(33)
    c = {"center": HOSPITALS[site], **c, "target": np.array(_yes(r, score)) == 1}
    t = pa.table({n: pa.array(list(v)) for n, v in c.items()})
    sink = io.BytesIO()
    pq.write_table(t.set_column(0, "center", t["center"].dictionary_encode()), sink)
    return raw(sink.getvalue(), Right("target", "center"), "t.parquet")


@table
def counts_to_predict() -> Table:
    r, c, site, score = _clinic(34)
    c |= {"target": np.minimum(r.poisson(np.exp(0.4 * np.clip(score, -2, 2) + 0.7)), 12)}
    return one({"practice": site + 1, **c}, Right("target", "practice", "?"))


@table
def hospital_and_ward() -> Table:
    r, c, site, score = _clinic(35)
    ward = np.array(["A", "B", "C", "D", "E"])[r.integers(0, 5, 400)]
    code = np.array([11, 12, 13, 14])[site]
    c = {"hospital": HOSPITALS[site], "hospital_code": code, "ward": ward, **c, "outcome": _yes(r, score)}
    return one(c, Right("outcome", "hospital", never=("hospital_code",)))


@table
def letters_as_grades() -> Table:
    r = np.random.default_rng(36)
    n, s = 400, r.integers(0, 6, 400)
    hours = np.round(r.gamma(4, 2 + 0.2 * s), 1)
    grade = np.array(list("EDCBA"))[np.clip((hours / 5 + r.normal(0, 0.5, n)).astype(int), 0, 4)]
    c = {
        "school": np.array([f"S{k}" for k in range(6)])[s],
        "hours": hours,
        "distance": np.round(r.exponential(3 + s), 1),
        "siblings": r.integers(0, 5, n),
        "grade": grade,
    }
    return one(c, Right("grade", "school"))


@table
def an_index_that_pandas_wrote() -> Table:
    r, c, site, score = _clinic(37)
    order = np.argsort(site, kind="stable")
    c = {
        "index": np.arange(400),
        "grp": np.array(list("WXYZ"))[site][order],
        **{n: np.asarray(v)[order] for n, v in c.items()},
    }
    return one(c | {"outcome": np.array(_yes(r, score))[order]}, Right("outcome", "grp", never=("index",)))


@table
def what_one_site_did_not_measure() -> Table:
    r, c, site, score = _clinic(38)
    same = np.random.default_rng(0)
    c = {n: same.permutation(np.asarray(v)) for n, v in c.items()}  # alike everywhere, but for what is missing
    c["lactate"] = [None if k == 1 else round(float(v), 2) for k, v in zip(site, r.gamma(2, 1, 400), strict=True)]
    return one(
        {"src": np.array(["k1", "k2", "k3", "k4"])[site], **c, "outcome": _yes(r, score)}, Right("outcome", "src")
    )


@table
def utf_16_with_tabs() -> Table:
    r, c, site, score = _clinic(39)
    c = {
        "Klinik": np.array(["Köln", "Jena", "Ulm", "Trier"])[site],
        **c,
        "Diagnose": _yes(r, score, ("gesund", "krank")),
    }
    right = Right("Diagnose", "Klinik", options={"encoding": "utf-16"})
    return raw(csv_text(c, delimiter="\t").encode("utf-16"), right)


@table
def every_clinic_counts_its_patients() -> Table:
    r, c, site, score = _clinic(40, rows=200)
    number = np.array([(site[:i] == k).sum() + 1 for i, k in enumerate(site)])
    visits = r.integers(2, 5, 200)
    c = {"clinic": HOSPITALS[site], "patient_id": number, **c}
    long = {n: np.repeat(np.asarray(v), visits) for n, v in c.items()}
    long["weight"] = np.round(r.normal(80, 12, visits.sum()), 1)
    long["relapse"] = _yes(r, np.repeat(score, visits))
    return one(long, Right("relapse", "clinic", options={"group": ["clinic", "patient_id"]}))


@table
def every_hospital_counts_its_rows() -> Table:
    r, c, site, score = _clinic(41)
    number = [(site[:i] == k).sum() + 1 for i, k in enumerate(site)]
    c = {"hospital": HOSPITALS[site], "id": number, **c, "outcome": _yes(r, score)}
    return one(c, Right("outcome", "hospital", never=("id",)))


@table
def a_site_that_is_not_known_for_all() -> Table:
    r, c, site, score = _clinic(42)
    known = [None if i % 9 == 0 else str(HOSPITALS[k]) for i, k in enumerate(site)]
    return one({"hospital": known, **c, "outcome": _yes(r, score)}, Right("outcome", "hospital"))


@table
def folders_that_give_a_column() -> Table:
    r, c, site, score = _clinic(43)
    c |= {"target": _yes(r, score)}

    def write(folder: Path) -> None:
        for k, name in enumerate(HOSPITALS):
            (folder / "d" / f"hospital={name}").mkdir(parents=True)
            part = {n: np.asarray(v)[site == k] for n, v in c.items()}
            (folder / "d" / f"hospital={name}" / "part.csv").write_text(csv_text(part))

    return Table(write, "d", Right("target", "hospital"))


@table
def a_folder_for_each_site() -> Table:
    r, c, site, score = _clinic(44)
    c["chol"] = np.where(site == 1, 0, c["chol"])
    c |= {"target": _yes(r, score)}

    def write(folder: Path) -> None:
        for k in range(4):
            (folder / "d" / f"site-{k}").mkdir(parents=True)
            part = {n: np.asarray(v)[site == k] for n, v in c.items()}
            (folder / "d" / f"site-{k}" / "data.csv").write_text(csv_text(part))

    return Table(write, "d", Right("target", None, options={"missing_values": {"chol": ["0"]}}))
