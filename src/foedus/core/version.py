"""The version of foedus."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("foedus")
    except PackageNotFoundError:  # a checkout that was not installed
        return "0+unknown"


__version__ = _version()
