"""How a file is read: what its places ask for, with what files have and no other table has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from foedus.core.errors import BadInput, plain_name
from foedus.core.types.aggregator import Aggregator
from foedus.data.sources import SOURCES
from foedus.experiment import user_code
from foedus.experiment.known import known
from foedus.experiment.tables import Data, Rule
from foedus.plain.build import Builder, Moved, Options, find
from foedus.plain.kinds import parameters, shape
from foedus.plain.names import counted
from foedus.plain.places import Path

ATTACK = "attack"
"""The table whose rules leave open how many dishonest nodes they withstand."""


class FileBuilder(Builder):
    """Builds what a file says. ``"module:Name"`` is the user's own code.

    ``may_import`` is asked before an import path is followed, and raises ``BadInput`` where it may not be.
    """

    nothing = "foedus has none: name your own, 'module:Name'"

    def __init__(self, folder: FilePath, may_import: Callable[[str], None] = lambda name: None) -> None:
        super().__init__(known(), folder)
        self._may_import = may_import

    def imports(self, name: str) -> bool:
        return ":" in name

    def load(self, name: str) -> Any:
        self._may_import(name)
        return user_code.load(name, self.folder)

    def build(self, hint: Any, value: Any, path: Path) -> Any:
        """As any table's, and ``false`` says that there is nothing where it says nothing else: ``test = false``."""
        s = shape(hint)
        if path[:1] and plain_name(str(path[0])) == ATTACK and any(k.hint is Aggregator for k in s.kinds):
            hint = Rule  # a rule in a rule leaves open what that does
        return super().build(hint, None if value is False and s.none and bool not in s.scalars else value, path)

    def label(self, target: Any, path: Path) -> str:
        """A table of the file by its header, anything else by its name."""
        if not self.registry.is_table(target):
            return super().label(target, path)
        return f"[{path[-1]}]" if path else "an experiment"

    def rearranged(self, target: Any, arguments: Any, path: Path) -> Any:
        return self._options_of_source(arguments, path) if target is Data and isinstance(arguments, dict) else arguments

    def _options_of_source(self, table: dict[str, Any], path: Path) -> dict[str, Any]:
        """In ``[data]`` the source's options stand beside the keys of the table itself: put them where they belong.

        Where no ``split`` divides them anew, ``nodes`` is for a source that makes rows of so many nodes, too.
        """
        own = parameters(Data)
        rest = {k: v for k, v in table.items() if not find(k, own)}
        mine = {k: v for k, v in table.items() if k not in rest}
        source = next((k for k in mine if find(k, own) == "source"), None)
        if source is None or not isinstance(mine[source], str) or not mine[source]:
            return table
        if not any(find(k, own) == "split" for k in mine) and "nodes" in self._takes(mine[source]):
            rest |= {k: v for k, v in mine.items() if find(k, own) == "nodes"}
        options = Options(rest, path, tuple(own), f"; {self.label(Data, path)} takes: {counted(own)}")
        mine[source] = Moved((*path, source), {mine[source]: options})
        return mine

    def _takes(self, source: str) -> Mapping[str, Any]:
        """The parameters of a source, none for one that is not there: whoever builds it says so."""
        try:
            target = self.load(source) if self.imports(source) else SOURCES[find(source, SOURCES) or ""]
        except (BadInput, KeyError):
            return {}
        return parameters(target)
