"""Files that no source reads: what they are, and the command that makes of one what a source does read."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from foedus.core.text import visible
from foedus.data.files import kind_of
from foedus.data.signatures import LONGEST, format_of

CSV, NPZ = ".csv", ".npz"
_PANDAS = "import sys, pandas as pd; pd.{}.to_csv(sys.argv[2], index=False)"
_PICTURES = "save the pictures as .png in a folder for each class, and name the folder that holds these folders"


@dataclass(frozen=True)
class Other:
    """A format: ``name`` in a sentence, how files' names end, and what is done about it.

    ``code``  Python that reads ``sys.argv[1]`` and writes ``sys.argv[2]``, a file that ends in ``to``;
    ``command``  or else a command of a shell, in which ``{file}`` and ``{to}`` stand for these, or ``{folder}``;
    ``words``  or else, what to do. ``needs`` are the packages that the code imports. ``is_text``: such a file is text.
    """

    name: str
    suffixes: tuple[str, ...]
    code: str = ""
    to: str = CSV
    needs: str = "pandas"
    command: str = ""
    words: str = ""
    is_text: bool = False

    def advice(self, file: Path) -> str:
        """What to do with a file. Names stand in it as a shell has to be told them."""
        name = file.name[: -len(s)] if (s := self.suffix(file)) else file.name
        given, made = _word(file), _word(file.with_name(name + self.to))
        if self.code:
            return f"this makes {made} of it (needs {self.needs}): python -c '{self.code}' {given} {made}"
        if self.command:
            folder = _word(file.with_name(name))
            return "run " + self.command.format(file=given, to=made, folder=folder)
        return self.words

    def suffix(self, file: Path) -> str:
        """Which of its endings the file's name has, or ""."""
        return max((s for s in self.suffixes if file.name.lower().endswith(s)), key=len, default="")


OTHERS = (
    Other(
        "a workbook of Excel before 2007", (".xls",), _PANDAS.format("read_excel(sys.argv[1])"), needs="pandas, xlrd"
    ),
    Other("an OpenDocument sheet", (".ods",), _PANDAS.format("read_excel(sys.argv[1])"), needs="pandas, odfpy"),
    Other("a binary workbook of Excel", (".xlsb",), _PANDAS.format("read_excel(sys.argv[1])"), needs="pandas, pyxlsb"),
    Other("an SPSS file", (".sav", ".zsav"), _PANDAS.format("read_spss(sys.argv[1])"), needs="pandas, pyreadstat"),
    Other("a SAS file", (".sas7bdat", ".xpt"), _PANDAS.format('read_sas(sys.argv[1], encoding="latin-1")')),
    Other("a Stata file", (".dta",), _PANDAS.format("read_stata(sys.argv[1])")),
    Other("an XML file", (".xml",), _PANDAS.format("read_xml(sys.argv[1])"), needs="pandas, lxml", is_text=True),
    Other("a JSON document, not JSON lines", (".json",), _PANDAS.format("read_json(sys.argv[1])"), is_text=True),
    Other(
        "an R object",
        (".rds",),
        command="Rscript -e 'a <- commandArgs(TRUE); write.csv(readRDS(a[1]), a[2], row.names = FALSE)' {file} {to}",
    ),
    Other(
        "an R workspace",
        (".rdata", ".rda"),
        command=(
            "Rscript -e 'a <- commandArgs(TRUE); write.csv(get(load(a[1])[1]), a[2], row.names = FALSE)' {file} {to}"
        ),
    ),
    Other(
        "an HDF5 file",
        (".h5", ".hdf5", ".he5"),
        "import sys, h5py, numpy as np; f = h5py.File(sys.argv[1]); "
        'np.savez(sys.argv[2], **{k: v[()] for k, v in f.items() if hasattr(v, "shape")})',
        to=NPZ,
        needs="h5py",
    ),
    Other(
        "a MATLAB file",
        (".mat",),
        "import sys, numpy as np, scipy.io as io; f = io.loadmat(sys.argv[1], squeeze_me=True); "
        'np.savez(sys.argv[2], **{k: v for k, v in f.items() if k[0] != "_"})',
        to=NPZ,
        needs="scipy",
    ),
    Other(
        "a NumPy file of a single array",
        (".npy",),
        words="write inputs and labels into one file: numpy.savez(FILE, x=x, y=y)",
    ),
    Other(
        "a pickle",
        (".pkl", ".pickle", ".joblib", ".pt", ".pth"),
        words=(
            "to open one runs whatever code is in it, so it is never opened here; where you trust whoever made it, "
            "load it and write its arrays by numpy.savez(FILE, x=x, y=y), or its table by .to_parquet(FILE)"
        ),
    ),
    Other(
        "a zip archive", (".zip",), command="python -m zipfile -e {file} {folder}, and name the folder that it makes"
    ),
    Other(
        "an archive",
        (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
        command="python -m tarfile -e {file} {folder}, and name the folder that it makes",
    ),
    Other("an archive", (".7z",), command="7z x {file}, and name what it makes"),
    Other("packed by bzip2", (".bz2",), command="bunzip2 --keep {file}, and name what it makes"),
    Other("packed by xz", (".xz",), command="unxz --keep {file}, and name what it makes"),
    Other("packed by Zstandard", (".zst",), command="unzstd {file}, and name what it makes"),
    Other(
        "an SQLite database",
        (".sqlite", ".sqlite3", ".db"),
        "import sys, sqlite3, pandas as pd; db = sqlite3.connect(sys.argv[1]); "
        'name = db.execute("SELECT name FROM sqlite_master").fetchone()[0]; '
        'pd.read_sql("SELECT * FROM " + repr(name), db).to_csv(sys.argv[2], index=False)',
    ),
    Other(
        "an Avro file",
        (".avro",),
        "import sys, fastavro, pandas as pd; "
        'pd.DataFrame(fastavro.reader(open(sys.argv[1], "rb"))).to_csv(sys.argv[2], index=False)',
        needs="pandas, fastavro",
    ),
    Other(
        "a file of TFRecords",
        (".tfrecord", ".tfrecords"),
        words=(
            "with TensorFlow, read tf.data.TFRecordDataset(FILE), take the arrays out of its examples, and write them "
            "by numpy.savez(FILE, x=x, y=y)"
        ),
    ),
    Other(
        "a DICOM picture",
        (".dcm", ".dicom"),
        words=(
            "with pydicom, x = numpy.stack([pydicom.dcmread(f).pixel_array for f in files]), and write them with a "
            "label for each by numpy.savez(FILE, x=x, y=y)"
        ),
    ),
    Other(
        "a NIfTI picture",
        (".nii", ".nii.gz"),
        words=(
            "with nibabel, x = numpy.stack([nibabel.load(f).get_fdata() for f in files]), and write them with a label "
            "for each by numpy.savez(FILE, x=x, y=y)"
        ),
    ),
    Other("a PDF", (".pdf",), words="export its table as CSV from where it was made"),
    Other("a document", (".doc", ".docx", ".odt", ".pages"), words="export its table as CSV"),
    Other("a sheet of Numbers", (".numbers",), words="export it as CSV or Excel"),
    Other("one picture", (".png", ".jpg", ".jpeg"), words=_PICTURES),
    Other("a picture", (".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".psd", ".ps"), words=_PICTURES),
)
"""All that is known by name; formats that are read are no part of it."""

_BY_START = {
    "SQLite": ".sqlite", "HDF5": ".h5", "pre-2007 Excel": ".xls", "PDF": ".pdf", "NumPy": ".npy", "pickle": ".pkl",
    "Avro": ".avro", "SPSS": ".sav", "Stata": ".dta", "bzip2": ".bz2", "xz": ".xz", "Zstandard": ".zst",
    "PNG": ".png", "JPEG": ".jpg", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp", "PPM": ".ppm",
    "Photoshop": ".psd", "PostScript": ".ps", "zip or Excel": ".zip",
}  # fmt: skip
"""The ending of what begins like a format, by the format's name among the signatures."""


def other_format(file: Path) -> Other | None:
    """What a file is that no source reads: by how its name ends, else by how it begins."""
    named = max(OTHERS, key=lambda o: len(o.suffix(file)))
    if named.suffix(file):
        return named
    if kind_of(file) != "a file":
        return None
    try:
        with file.open("rb") as f:
            known = format_of(f.read(LONGEST))
    except OSError:  # whoever reads it says so
        return None
    suffix = _BY_START.get(known or "")
    return None if suffix is None else next(o for o in OTHERS if suffix in o.suffixes)


def refusal(path: Path) -> str:
    """What to say of a file or folder that no source reads, with what to do."""
    other = None if path.is_dir() else other_format(path)
    if other is not None and (suffix := other.suffix(path)) and not other.is_text and _holds_text(path):
        better = _word(path.with_name(path.name[: -len(suffix)] + CSV))
        return f"{path} holds text, and ends as {other.name} does: if it is a table, name it {better}"
    if other is not None:
        return f"{path} is {other.name}, which no source reads: {other.advice(path)}"
    return (
        f"{path} holds no data that a source can read: a table (.csv, .xlsx, .parquet, .jsonl, .arff, .feather, .orc), "
        "an .npz file, LIBSVM's text, or a folder of tables, idx files, LEAF's JSON files or images (.png, .jpg, a "
        "folder for each class)"
    )


def _holds_text(file: Path) -> bool:
    if kind_of(file) != "a file":
        return False
    try:
        with file.open("rb") as f:
            start = f.read(1 << 12)
    except OSError:  # whoever reads it says so
        return False
    return bool(start) and all(b in b"\t\n\r" or 32 <= b != 127 for b in start) and format_of(start) is None


def _word(file: Path) -> str:
    return shlex.quote(visible(str(file)))
