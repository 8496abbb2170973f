"""What a file is, by how it begins: names and endings are only claims."""

from __future__ import annotations

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"\xd0\xcf\x11\xe0", "pre-2007 Excel"),
    (b"%PDF", "PDF"),
    (b"SQLite format 3", "SQLite"),
    (b"\x89HDF", "HDF5"),
    (b"\x1f\x8b", "gzip"),
    (b"\x93NUMPY", "NumPy"),
    (b"ARROW1", "Arrow"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"$FL2@(#)", "SPSS"),
    (b"<stata_dta>", "Stata"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    *((bytes([128, protocol]), "pickle") for protocol in range(2, 6)),
)
LONGEST = 16
"""How many bytes ``format_of`` has to see."""


def format_of(start: bytes) -> str | None:
    """The format of a file that begins so; None for one that is not known here.

    >>> format_of(b"%PDF-1.7"), format_of(b"age,sex")
    ('PDF', None)
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return "PPM"
    return next((name for beginning, name in _BEGINNINGS if start.startswith(beginning)), None)
