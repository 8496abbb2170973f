"""The API reference: docs/api/*.md, written anew at each build, one page for each package that ``foedus`` exports.

A new package gets its page without anybody's doing. The folder is not kept in the repository.
"""

from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import foedus

ALSO = ("engine", "experiment", "testing")
"""Public modules that ``import foedus`` leaves out."""

CORE = {
    "What programs see": (
        "coordination.federation.Federation", "coordination.federation.Reduced", "coordination.federation.Phased",
        "coordination.stream.Stream", "coordination.peer.Peer", "coordination.population.Selection",
        "coordination.population.Drawn",
    ),
    "What travels": (
        "types.job.Job", "types.job.NodeView", "types.job.Work", "types.update.Update", "types.update.Late",
        "types.update.Refused", "types.update.Failed", "types.update.Lost",
    ),
    "A node's own word": (
        "types.policy.Policy", "types.policy.Asked", "types.policy.Gathered",
        "types.policy.Collusion", "types.policy.Said",
    ),
    "How updates are joined and guarded": (
        "types.aggregator.Aggregator", "types.aggregator.Denominator", "types.transform.Transform",
        "types.transform.Identity", "types.transform.Sensitivity", "types.transform.Mechanism", "types.release.Release",
    ),
    "Whose data": ("types.roster.Roster", "types.roster.RowStore"),
    "Where it runs": (
        "coordination.runtime.Runtime", "coordination.runtime.Engine", "coordination.executor.Executor",
        "coordination.site.Setup", "coordination.site.Site", "coordination.round.Round", "time.clock.Clock",
    ),
    "What is remembered": (
        "types.state.State", "types.keys.Key", "records.checkpoint.Checkpoint", "records.ledger.Ledger",
        "records.run.Record",
    ),
}  # fmt: skip
"""What one writes algorithms and runtimes against, by the place in ``foedus.core``."""

PACKAGES = [name for name in foedus.__all__ if isinstance(getattr(foedus, name), ModuleType)]


def pages() -> dict[str, str]:
    """The text of every page by its name."""
    modules = {name: _module(f"foedus.{name}") for name in sorted({*PACKAGES, *ALSO})}
    return {"index": _index(list(modules)), "foedus": _top(), **modules, "core": _core()}


def _index(names: list[str]) -> str:
    listed = "\n".join(["foedus", *names, "core"])
    return (
        "# API reference\n\nPublic names by package. After `import foedus as fd`, the names on the page of `foedus` are"
        f" `fd.train` and so on, the packages `fd.data` and so on.\n\n```{{toctree}}\n:maxdepth: 1\n{listed}\n```\n"
    )


def _module(module: str) -> str:
    return f"# {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"


def _top() -> str:
    """What is in no package, and where the rest is described."""
    packages = {p: getattr(foedus, p) for p in PACKAGES}
    places = {id(getattr(m, name)): f"foedus.{p}.{name}" for p, m in packages.items() for name in m.__all__}
    places |= {id(_found(path)): f"foedus.core.{path}" for group in CORE.values() for path in group}
    own, elsewhere = [], []
    for name in sorted(set(foedus.__all__) - set(packages), key=str.lower):
        what = getattr(foedus, name)
        if id(what) in places:
            elsewhere.append(f"{{py:obj}}`{name} <{places[id(what)]}>`")
            continue
        kind = "class" if isinstance(what, type) else "function" if isinstance(what, FunctionType) else "data"
        own += [f".. auto{kind}:: foedus.{name}", *["   :members:"] * (kind == "class"), ""]
    also = f"Also at the top: {', '.join(elsewhere)}."
    return "\n".join(["# foedus", "", "```{eval-rst}", ".. automodule:: foedus", "", *own, "```", "", also, ""])


def _core() -> str:
    out = ["# foedus.core", "", "What programs, jobs, aggregators, transforms and runtimes of one's own build on."]
    for title, paths in CORE.items():
        out += ["", f"## {title}", "", "```{eval-rst}"]
        out += [f".. autoclass:: foedus.core.{path}\n   :members:\n" for path in paths]
        out += ["```"]
    return "\n".join([*out, ""])


def _found(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(__import__(f"foedus.core.{module}", fromlist=[name]), name)


def write(app: Any) -> None:
    """Write the pages; those that are as they should be are left alone, so that Sphinx does not read them again."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    texts = {folder / f"{name}.md": text for name, text in pages().items()}
    for left in set(folder.glob("*.md")) - set(texts):
        left.unlink()
    for page, text in texts.items():
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
