"""LEAF's JSON files: users, and of each user the rows; every user is a node.

Source: LEAF, Caldas et al., 2018, arXiv:1812.01097; https://github.com/TalwalkarLab/leaf.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foedus.core.errors import BadInput
from foedus.data.dataset import Dataset
from foedus.data.files import existing_file, existing_folder, listed, naming, read_bytes
from foedus.data.from_arrays import arrays
from foedus.data.memory import check_fits, fitting
from foedus.data.shaped import shaped

Array = NDArray[Any]


@dataclass(frozen=True)
class _Rows:
    """Rows of some users: ``x`` (N, ...) and ``y`` (N,), numbers or characters; ``user`` (N,) whose each is."""

    x: Array
    y: Array
    user: Array

    @property
    def of_text(self) -> bool:
        return self.x.dtype.kind == "U"


def leaf(path: str | os.PathLike[str], test: float | None = None, shape: Sequence[int] | None = None) -> Dataset:
    """The users and rows of LEAF's JSON files; a node is a user.

    ``path``   a folder with ``train/`` and ``test/``, a folder of .json files, or one such file.
    ``test``   where there is no ``test/``: the fraction of rows to hold out, or None. The rows of ``test/`` are no
               node's, whoever's they were.
    ``shape``  of a row, such as (1, 28, 28), where the files have it flat.

    Rows are lists of numbers, or texts of one length: then x are its characters as tokens (int64), in the order of the
    alphabet of all rows, and y is the character that follows. y are integers (labels), other numbers (targets) or texts
    (labels). A user in several files is one node.
    Errors: ``BadInput`` with file and user, for what is no such file, counts that do not agree, and rows that differ.
    """
    folder, train, held = _found(Path(path).expanduser() if isinstance(path, str | os.PathLike) else path)
    rows = _read(train)
    if held and test is not None:
        raise BadInput(f"{folder} has test rows of its own, in test/: leave out test")
    judged = _read(held) if held else None
    return naming(folder, lambda: _dataset(rows, judged, test, shape, folder.stem))


def _found(path: Any) -> tuple[Path, list[Path], list[Path]]:
    """What is named, the files of rows for training, and those for the test."""
    expected = "LEAF's files: a folder with train/ and test/, a folder of .json files, or one file"
    if isinstance(path, Path) and path.is_file():
        return path, [existing_file(path, expected)], []
    folder = existing_folder(path, expected)
    train, held = _jsons(folder / "train") or _jsons(folder), _jsons(folder / "test")
    if not train:
        raise BadInput(f"{folder} has no .json file, nor has {folder / 'train'}: path must be {expected}")
    return folder, train, held


def _jsons(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.json") if p.is_file())


def _read(files: list[Path]) -> _Rows:
    """The rows of all files, in the order of files and users. Errors: ``BadInput``."""
    found: list[_Rows] = []
    for file in files:
        with fitting(file):
            for user, own in _users(file).items():
                rows = _own(file, user, own)
                if rows is None:
                    continue
                if found and (rows.x.shape[1:], rows.of_text) != (found[0].x.shape[1:], found[0].of_text):
                    raise BadInput(f"{file}: the rows of user {user!r} are {_shown(rows)}, others {_shown(found[0])}")
                if found and rows.y.dtype.kind != found[0].y.dtype.kind:
                    rows = replace(rows, y=rows.y.astype(np.result_type(rows.y, found[0].y)))
                found.append(rows)
    if not found:
        raise BadInput(f"{listed(map(str, files), 3)}: no user has a row")
    with fitting(files[0].parent):
        return _Rows(*(np.concatenate([getattr(r, part) for r in found]) for part in ("x", "y", "user")))


def _users(file: Path) -> dict[str, Any]:
    """What the file says of every user."""
    try:
        said = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as e:
        raise BadInput(f"{file} is not JSON: {str(e).partition(';')[0]}") from e
    if not isinstance(said, dict) or not isinstance(said.get("user_data"), dict):
        raise BadInput(f'{file} is none of LEAF\'s files: it has no "user_data", an object with the rows of every user')
    users, counts, data = said.get("users", list(said["user_data"])), said.get("num_samples"), said["user_data"]
    if not isinstance(users, list) or set(map(str, users)) != set(data) or len(users) != len(data):
        raise BadInput(f'{file}: its "users" are not those of "user_data": it is damaged')
    if counts is not None:
        if not isinstance(counts, list) or len(counts) != len(users):
            raise BadInput(f'{file}: "num_samples" is not one number a user: it is damaged')
        for user, count in zip(map(str, users), counts, strict=True):
            own = data[user]
            if isinstance(own, dict) and isinstance(own.get("y"), list) and len(own["y"]) != count:
                raise BadInput(
                    f"{file}: user {user!r} has {len(own['y'])} rows, num_samples says {count}: it is damaged"
                )
    return dict(data)


def _own(file: Path, user: str, own: Any) -> _Rows | None:
    """The rows of one user, or None for a user without any."""
    x, y = (own.get("x"), own.get("y")) if isinstance(own, dict) else (None, None)
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        raise BadInput(f'{file}: user {user!r} must have lists "x" and "y" of the same length')
    if not x:
        return None
    rows, answers = _array(x, f"{file}: x of user {user!r}"), _array(y, f"{file}: y of user {user!r}")
    if answers.ndim != 1:
        raise BadInput(f"{file}: y of user {user!r} must be one number or text a row, it has shape {answers.shape}")
    return _Rows(rows, answers, np.full(len(rows), user))


def _array(values: list[Any], what: str) -> Array:
    """Numbers (N, ...), float32 or int64; or texts (N,)."""
    try:
        a = np.asarray(values)
    except (ValueError, OverflowError) as e:
        raise BadInput(f"{what} has rows of different lengths, or beyond any number: {str(e).splitlines()[0]}") from e
    if a.dtype.kind == "U" and a.ndim == 1 and all(isinstance(v, str) for v in values):
        return a
    if a.dtype.kind not in "fiub":
        raise BadInput(f"{what} must be numbers, or one text a row; paths of pictures and lists of words are not read")
    with np.errstate(over="ignore"):
        return a.astype(np.float32) if a.dtype.kind == "f" else a.astype(np.int64)


def _shown(rows: _Rows) -> str:
    return "text" if rows.of_text else f"numbers of shape {rows.x.shape[1:]}"


def _dataset(rows: _Rows, judged: _Rows | None, test: float | None, shape: Sequence[int] | None, name: str) -> Dataset:
    parts = [rows] if judged is None else [rows, judged]
    if len({(p.of_text, p.y.dtype.kind == "U") for p in parts}) > 1:
        raise BadInput("train/ has text where test/ has numbers, or the other way")
    names: tuple[str, ...] | None = None
    xs, ys = [p.x for p in parts], [p.y for p in parts]
    if rows.of_text:
        xs, ys, names = _tokens(xs, ys)
    else:
        xs = [shaped(x.astype(np.float32), shape) for x in xs]
    if names is None and rows.y.dtype.kind == "U":
        names = tuple(np.unique(np.concatenate(ys)).tolist())
        ys = [np.searchsorted(np.array(names), y) for y in ys]
    data = arrays(
        xs[0],
        ys[0],
        node=rows.user,
        test=test if judged is None else (xs[1], ys[1]),
        classes=None if names is None else len(names),
        name=name,
        keep_dtype=rows.of_text,
    )
    return data if names is None else replace(data, class_names=names)


def _tokens(xs: list[Array], ys: list[Array]) -> tuple[list[Array], list[Array], tuple[str, ...] | None]:
    """Texts of one length as tokens (N, L); the next characters as labels (N,), with the alphabet."""
    lengths = {int(n) for x in xs for n in np.unique(np.char.str_len(x))}
    if len(lengths) > 1 or lengths == {0}:
        raise BadInput(f"x are texts of {min(lengths)} to {max(lengths)} characters: all must have the same length")
    codes = [_codes(x) for x in xs]
    check_fits("its text as tokens", sum(c.size for c in codes) * 8)
    predicts = ys[0].dtype.kind == "U" and all(int(n) == 1 for y in ys for n in np.unique(np.char.str_len(y)))
    nexts = [_codes(y)[:, 0] for y in ys] if predicts else []
    alphabet = np.unique(np.concatenate([np.unique(c) for c in (*codes, *nexts)]))
    tokens = [np.searchsorted(alphabet, c) for c in codes]
    if not predicts:
        return tokens, ys, None
    return tokens, [np.searchsorted(alphabet, n) for n in nexts], tuple(map(chr, alphabet.tolist()))


def _codes(texts: Array) -> Array:
    """The characters of texts of one length (N, L)."""
    return np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), -1)
