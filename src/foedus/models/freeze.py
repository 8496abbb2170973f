"""Networks of which only a part is trained."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from foedus.core.errors import BadInput
from foedus.core.types.model import check_shapes_known
from foedus.models.names import did_you_mean


def freeze(module: nn.Module, *patterns: str) -> nn.Module:
    """Freeze the parameters whose names match any of these patterns; the same module, changed.

    Names are those of ``module.named_parameters()``, patterns those of a shell: ``*`` stands for anything, so that
    ``"stem.*"`` is everything inside ``stem``. Frozen parameters are not trained and do not travel; ``Model`` says
    what becomes of batch norms whose parameters are all frozen.
    Errors: ``BadInput`` for no pattern or for one that matches nothing; then nothing is frozen.

    >>> from foedus.models import mlp
    >>> [name for name, p in freeze(mlp(4, 3, 2), "0.*").named_parameters() if p.requires_grad]
    ['2.weight', '2.bias']
    """
    if not isinstance(module, nn.Module):
        raise BadInput(f"freeze needs a torch.nn.Module, got a {type(module).__name__}: freeze before you wrap it")
    check_shapes_known(module)
    if not patterns or not all(isinstance(p, str) for p in patterns):
        raise BadInput(f'freeze needs names of parameters, or patterns such as "stem.*"; got {list(patterns)}')
    named = dict(module.named_parameters(remove_duplicate=False))  # a shared parameter goes by each of its names
    matching = {p: [n for n in named if fnmatchcase(n, p)] for p in patterns}
    for pattern, found in matching.items():
        if not found:
            # The name of a part is what people write; its parameters are what is meant.
            parts = [name for name, _ in module.named_modules() if name]
            meant = (
                f" (did you mean '{pattern}.*'?)" if pattern in parts else did_you_mean(pattern, _choices(named, parts))
            )
            raise BadInput(f"no parameter matches {pattern!r}{meant}; there are: {', '.join(named)}")
    for name in {n for found in matching.values() for n in found}:
        named[name].requires_grad_(False)
    return module


def _choices(named: dict[str, nn.Parameter], parts: list[str]) -> list[str]:
    return [*named, *(f"{part}.*" for part in parts)]
