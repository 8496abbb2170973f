"""Model: an ``nn.Module`` seen as one flat float32 vector, with its loss and its metrics.

Legend: P trainable parameters, B float buffers, D = P + B, N rows of a batch, C classes, L labels of a row.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from foedus.core.cell import ends, facts, framed, grid, paragraph
from foedus.core.errors import BadInput
from foedus.core.types.flops import count_flops
from foedus.core.types.grouped import Grouped, by_cell
from foedus.core.types.metric import Metric
from foedus.core.types.metric import metrics as as_metrics
from foedus.core.types.scoring import needs
from foedus.core.types.statistics import CONFUSION, SCORES, Statistics, measured, scored
from foedus.core.types.torch_process import seeded
from foedus.core.types.update import BUFFERS, Tensors

Loss = str | Callable[[Tensor, Tensor], Tensor]

LOSSES = ("cross_entropy", "mse", "bce")

FEW_CLASSES = 100
"""Of so many classes at most it is kept who was taken for whom, where that costs nobody anything."""


@dataclass(frozen=True)
class Slot:
    """Where one tensor of the module lies in the flat vector."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """One past its last element."""
        return self.start + math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """What the flat vector holds: the trainable parameters in ``module.parameters()`` order, then the float buffers."""

    slots: tuple[Slot, ...]
    parameters: int
    buffers: int

    @property
    def size(self) -> int:
        """D, the length of the flat vector."""
        return self.parameters + self.buffers

    def answer(self, part: str) -> dict[str, tuple[int, ...]]:
        """Shapes of a job's answer: this part (P,) and, if there are float buffers, ``buffers`` (B,)."""
        shapes: dict[str, tuple[int, ...]] = {part: (self.parameters,)}
        if self.buffers:
            shapes[BUFFERS] = (self.buffers,)
        return shapes


class Model:
    """An ``nn.Module`` over one contiguous float32 vector.

    ``module``  any module; it is copied, so yours stays as it is. Parameters that do not require a gradient are
                frozen: they stay where they are and do not travel. A part of the module whose parameters are all
                frozen stands still: it stays in evaluation mode, and its buffers (batch norm's statistics) neither
                change nor travel. Integer buffers do not travel either.
    ``loss``    ``"cross_entropy"`` (integer labels), ``"mse"``, ``"bce"`` (a logit for each label, labels 0 and 1:
                one label a row (N,), or several (N, L), whose mean is the row's loss), or a callable
                ``(output, target)`` that returns the loss of each row (N,), or its mean as a scalar.
                Rows go to the module as ``as_input`` makes them: images may be uint8, tokens integers.
    ``metrics`` names such as ``"f1"``, tables such as ``{"sensitivity": {"threshold": 0.3}}``, functions of your own
                ``(outputs, targets)``, or ``Metric``; the first is the main one. By default those that fit the loss.
                Outputs are taken for logits. Where rows have several labels, ``accuracy`` is the share of labels that
                are right, and ``auc`` the mean over the labels.

    >>> model = Model(nn.Linear(3, 2))
    >>> model.layout.size, model.initial.dtype
    (8, torch.float32)
    """

    def __init__(self, module: nn.Module, loss: Loss = "cross_entropy", metrics: Any = None) -> None:
        if not isinstance(module, nn.Module):
            raise BadInput(f"a Model needs a torch.nn.Module, got a {type(module).__name__}")
        if isinstance(loss, str) and loss not in LOSSES:
            raise BadInput(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}, or a callable (output, target)")
        if not isinstance(loss, str) and not callable(loss):
            raise BadInput(f"the loss must be a name or a callable (output, target), got a {type(loss).__name__}")
        check_shapes_known(module)
        try:
            self.module = copy.deepcopy(module)
        except Exception as e:
            raise BadInput(f"the module cannot be copied ({_first_line(e)}): make one that copy.deepcopy takes") from e
        self.loss = loss
        self.measures: tuple[Metric, ...] = as_metrics(_by_loss(loss) if metrics is None else metrics)
        self._bind()

    # -- the flat vector ---------------------------------------------------------------------------------------

    def _bind(self) -> None:
        parameters = [(n, p) for n, p in self.module.named_parameters() if p.requires_grad]
        if not parameters:
            raise BadInput("the model has no trainable parameter: nothing could be learned")
        self._still = _standing_still(self.module)
        # The modules that change mode do it together, so any one of them knows it. There is one: a trainable
        # parameter belongs to it.
        self._learns = next(m for m in self.module.modules() if m not in self._still)
        self._set_still()
        buffers, self._local, seen = [], [], set()
        for prefix, owner in self.module.named_modules():
            for name, b in owner._buffers.items():
                if b is None or id(b) in seen:
                    continue
                seen.add(id(b))
                if b.is_floating_point() and owner not in self._still:
                    buffers.append((owner, name, f"{prefix}.{name}" if prefix else name, b))
                else:
                    self._local.append((owner, name, b, b.clone()))
        named = [*parameters, *((full, b) for _, _, full, b in buffers)]
        for name, t in named:
            if t.dtype != torch.float32 or t.device.type != "cpu":
                raise BadInput(
                    f"{name} is {t.dtype} on {t.device}: a Model is float32 on the CPU; call module.float().cpu() first"
                )
        slots, at = [], 0
        for name, t in named:
            slots.append(Slot(name, at, tuple(t.shape)))
            at += t.numel()
        n_parameters = sum(p.numel() for _, p in parameters)
        self.layout = Layout(tuple(slots), n_parameters, at - n_parameters)
        self.flat = torch.empty(at)
        self.parameters: list[nn.Parameter] = [p for _, p in parameters]
        self._buffers: list[tuple[nn.Module, str, Tensor]] = []
        for (_, p), slot in zip(parameters, slots, strict=False):
            view = self.flat[slot.start : slot.stop].view(slot.shape)
            view.copy_(p.detach())
            p.data = view
        for (owner, name, _, b), slot in zip(buffers, slots[len(parameters) :], strict=True):
            view = self.flat[slot.start : slot.stop].view(slot.shape)
            view.copy_(b)
            owner._buffers[name] = view
            self._buffers.append((owner, name, view))
        self.initial: Tensor = self.flat.clone()
        self.views = self.split(self.flat)
        self._flops: float | None = None
        self._one_row: bool | None = None

    def __repr__(self) -> str:
        return f"Model({type(self.module).__name__}, {self.layout.size:,} numbers, loss={self._loss_name!r})"

    def _repr_html_(self) -> str:
        slots = [[s.name, " x ".join(map(str, s.shape)) or "1", f"{s.stop - s.start:,}"] for s in self.layout.slots]
        floats = f"{self.layout.parameters:,} parameters" + f" and {self.layout.buffers:,} in buffers" * bool(
            self.layout.buffers
        )
        told = [("loss", self._loss_name), ("metrics", ", ".join(self.metrics)), ("numbers", floats)]
        title = f"Model of a {type(self.module).__name__}"
        return framed(paragraph(title, bold=True), facts(told), grid(["part", "shape", "numbers"], ends(slots)))

    @property
    def _loss_name(self) -> str:
        return self.loss if isinstance(self.loss, str) else getattr(self.loss, "__name__", type(self.loss).__name__)

    def __getstate__(self) -> dict[str, object]:
        # Views do not survive pickling as views; the copy binds its own.
        return {
            "module": self._module_apart(),
            "loss": self.loss,
            "measures": self.measures,
            "initial": self.initial,
            "layout": self.layout,
            "fresh": [fresh for *_, fresh in self._local],
            "flops": self._flops,
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        self.module = state["module"]  # type: ignore[assignment]
        self.loss = state["loss"]  # type: ignore[assignment]
        self.measures = state["measures"]  # type: ignore[assignment]
        self._bind()
        if self.layout != state["layout"]:
            raise BadInput(
                "the module was changed after it was wrapped: its parameters and buffers were "
                f"{_listed(state['layout'])}, now they are {_listed(self.layout)}. Wrap it anew, Model(module)"  # type: ignore[arg-type]
            )
        self.initial = state["initial"]  # type: ignore[assignment]
        fresh: list[Tensor] = state["fresh"]  # type: ignore[assignment]
        self._local = [(*where, b) for (*where, _), b in zip(self._local, fresh, strict=True)]
        self._flops = state["flops"]  # type: ignore[assignment]

    def load(self, vector_D: Tensor) -> None:
        """Make these the model's parameters and float buffers; buffers that do not travel start afresh."""
        if vector_D.shape != self.flat.shape:
            raise BadInput(f"this model is a vector of {self.layout.size} numbers, got shape {tuple(vector_D.shape)}")
        self.flat.copy_(vector_D)
        for owner, name, buffer, fresh in self._local:
            buffer.copy_(fresh)
            owner._buffers[name] = buffer  # the module may have rebound it

    def _heal_buffers(self) -> None:
        # A module may rebind a buffer (self.mean = ...) instead of writing into it; bring it back into the vector.
        for owner, name, view in self._buffers:
            current = owner._buffers[name]
            if current is not view:
                view.copy_(current)  # type: ignore[arg-type]
                owner._buffers[name] = view

    def take_difference(self, vector_D: Tensor) -> dict[str, Tensor]:
        """What changed since ``vector_D``: ``delta`` (P,) and, if the model has float buffers, ``buffers`` (B,).

        Computed in place: the model holds nothing sensible until the next ``load``, and the answer is a view of it.
        """
        self._heal_buffers()
        p = self.layout.parameters
        self.flat.sub_(vector_D)
        parts = {"delta": self.flat[:p]}
        if self.layout.buffers:
            parts[BUFFERS] = self.flat[p:]
        return parts

    def training(self) -> None:
        """Put what learns into training mode. ``outputs`` is the only one who leaves it, and comes back."""
        if not self._learns.training:
            self.module.train()
            self._set_still()

    def trains_on_one_row(self, x_1: Callable[[], Tensor]) -> bool:
        """Whether it can be trained on a batch of one row. Batch norm cannot where that leaves it with one number a
        channel, which has no variance. ``x_1`` gives such a batch.

        Found out by a forward pass, once: the model holds nothing sensible until the next ``load``.
        """
        if self._one_row is None:
            self._one_row = True
            if any(isinstance(m, _BatchNorm) and m not in self._still for m in self.module.modules()):
                with seeded(0), torch.no_grad():
                    self.training()
                    try:
                        self.forward(x_1())
                    except ValueError:
                        self._one_row = False
        return self._one_row

    def _set_still(self) -> None:
        for m in self._still:
            m.training = False  # not eval(), which would take along parts inside it that learn

    def split(self, flat_P: Tensor) -> list[Tensor]:
        """Views of a vector of P (or D) numbers in the shapes of the parameters."""
        return [flat_P[s.start : s.stop].view(s.shape) for s in self.layout.slots[: len(self.parameters)]]

    def apart(self) -> Model:
        """The same model in memory of its own, so that what is done to the one does not concern the other.

        Errors: ``BadInput`` where the module's tensors are others than when it was wrapped.
        """
        return copy.copy(self)

    def copy_of(self, vector_D: Tensor) -> nn.Module:
        """A module of its own with these parameters and buffers, in evaluation mode. This model stays as it is."""
        made = self.apart()
        made.load(vector_D)
        return _with_own_tensors(made.module).eval()

    def _module_apart(self) -> nn.Module:
        self._heal_buffers()
        return _with_own_tensors(copy.deepcopy(self.module))

    # -- loss and metrics --------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """The module's output for a batch, with its graph, in the mode that the module is in."""
        return self.module(as_input(x))  # type: ignore[no-any-return]

    def mean_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar with its graph."""
        output = self.forward(x)
        if self.loss == "cross_entropy":
            mean = F.cross_entropy(output, y)
            return mean if math.isfinite(mean.item()) else mean_of(self.row_losses(output, y))
        rows = self.row_losses(output, y)
        return rows if rows.dim() == 0 else mean_of(rows)

    def summed_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of a batch summed over its rows; float64 where float32 does not reach so far."""
        output = self.forward(x)
        if self.loss == "cross_entropy":
            total = F.cross_entropy(output, y, reduction="sum")
            return total if math.isfinite(total.item()) else sum_of(self.row_losses(output, y), len(y))
        return sum_of(self.row_losses(output, y), len(y))

    def row_losses(self, output: Tensor, y: Tensor) -> Tensor:
        """The loss of each row (N,), or a scalar mean where a callable loss gives no more."""
        if self.loss == "cross_entropy":
            return F.cross_entropy(output, y, reduction="none")
        if self.loss == "mse":
            error = output - y.view_as(output)
            return mean_of(error.square().flatten(1), 1) if error.dim() > 1 else error.square()
        if self.loss == "bce":
            each = F.binary_cross_entropy_with_logits(output.flatten(), y.flatten().to(output.dtype), reduction="none")
            return each if len(each) == len(y) else mean_of(each.view(len(y), -1), 1)
        rows: Tensor = self.loss(output, y)  # type: ignore[operator]
        if rows.dim() == 0 or rows.shape == (len(y),):
            return rows
        raise BadInput(
            f"the loss returned shape {tuple(rows.shape)} for {len(y)} rows: return one number a row, "
            "or their mean as a scalar"
        )

    def gradients(self, loss: Tensor) -> tuple[Tensor, ...]:
        """Gradients of a scalar in the shapes of the parameters; zero for a parameter that took no part."""
        grads = _grad(loss, self.parameters)
        for g in grads:
            if g is None:  # `None in grads` would compare tensors element by element
                return tuple(
                    torch.zeros_like(p) if g is None else g for g, p in zip(grads, self.parameters, strict=True)
                )
        return grads  # type: ignore[return-value]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of its metrics, the main one first."""
        return tuple(m.name for m in self.measures)

    def statistics(
        self,
        output: Tensor,
        y: Tensor,
        unit_K: Tensor | None = None,
        weights_N: Tensor | None = None,
        all: bool = False,
        scores: bool = True,
    ) -> Statistics:
        """What loss and metrics of some rows are made of. ``unit_K`` and ``weights_N`` as in ``measured``.

        ``all``: also who was taken for whom, whatever the metrics, where rows have one of few classes. ``scores``:
        those too, if metrics are made of them.
        """
        wanted = needs(self.measures) if scores else needs(self.measures) - {SCORES}
        if all and output.dim() == 2 and 2 <= output.shape[1] <= FEW_CLASSES and output.numel() != y.numel():
            wanted |= {CONFUSION}
        return measured(output, y, self.row_losses(output, y), wanted, weights_N, unit_K)

    def scored(self, output: Tensor, y: Tensor) -> Statistics:
        """The scores of some rows; nothing, where no metric is made of them."""
        return scored(output, y) if SCORES in needs(self.measures) else Statistics({})

    def grouped(
        self,
        output: Tensor,
        y: Tensor,
        cells_N: Tensor,
        unit_K: Tensor | None = None,
        scored: Statistics | None = None,
    ) -> Grouped:
        """What loss and metrics are made of by cells of rows, see ``by_cell``. ``scored``: the rows' scores, if they
        are there already.
        """
        return by_cell(output, y, self.row_losses(output, y), needs(self.measures), cells_N, unit_K, scored)

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """The module's output for a batch, in evaluation mode."""
        training = self._learns.training
        self.module.eval()
        try:
            return self.forward(x)
        finally:
            if training:
                self.training()

    def check(self, x: Tensor, y: Tensor) -> None:
        """Pass a small batch through model and loss, so that what does not fit is said before anything runs.

        Errors: ``BadInput`` that names the shapes of input, output and target.
        """
        self.load(self.initial)
        x = as_input(x)
        try:
            output = self.outputs(x)
        except Exception as e:
            raise BadInput(
                f"the model cannot take this data: for input of shape {tuple(x.shape)} {x.dtype} it raised "
                f"{type(e).__name__}: {_first_line(e)}"
            ) from e
        if not isinstance(output, Tensor):
            raise BadInput(
                f"the model must return one tensor, it returned a {type(output).__name__}: wrap it in a module"
            )
        if output.dim() == 0 or len(output) != len(x):
            raise BadInput(
                f"the model must return a row for each of the {len(x)} rows it is given; "
                f"its output has shape {tuple(output.shape)}"
            )
        shapes = f"the model's output has shape {tuple(output.shape)}, the target {tuple(y.shape)} {y.dtype}"
        if self.loss == "cross_entropy":
            if output.dim() != 2 or y.dim() != 1 or y.dtype != torch.int64:
                raise BadInput(f"cross_entropy needs outputs (rows, classes) and integer labels (rows,); {shapes}")
        elif self.loss in ("bce", "mse") and output.numel() != y.numel():
            raise BadInput(f"{self.loss} needs one output for every target; {shapes}")
        self._check_metrics_fit(output, y, shapes)
        try:
            loss = self.row_losses(output, y) if isinstance(self.loss, str) else self._without_pairs(output, y)
        except BadInput:
            raise
        except Exception as e:
            raise BadInput(f"the model's output does not fit the loss: {shapes}; {_first_line(e)}") from e
        if not bool(torch.isfinite(loss).all()):
            raise BadInput(
                "the loss of the initial model is not finite on the first rows: check the data's scale and the loss"
            )

    def _check_metrics_fit(self, output: Tensor, y: Tensor, shapes: str) -> None:
        """Errors: ``BadInput`` for a metric that cannot be computed of such an output and such targets."""
        each, of_classes = output.numel() == y.numel(), output.dim() == 2 and y.numel() == len(y)
        two = of_classes and (each or output.shape[1] == 2)
        wide = of_classes and (each or output.shape[1] > 1)
        fits = {
            "labels": (each or wide, "an output for every label, or (rows, classes) and a label a row"),
            "ranks": (each or two, "an output for every label, or two classes"),
            "two": (two or (each and y.numel() == len(y)), "two classes"),
            "classes": (wide or (each and y.numel() == len(y)), "classes and a label a row"),
            "numbers": (each, "one output for every target"),
        }
        for m in self.measures:
            if m.kind not in _FITS:
                continue
            fit, what = fits["two" if m.option is not None else _FITS[m.kind]]
            if not fit:
                more = _FOR_SEVERAL.get(m.kind, "") if of_classes and not two else ""
                raise BadInput(f"{m.name} needs {what}; {shapes}: {more}leave it out, Model(..., metrics=[...])")

    def _without_pairs(self, output: Tensor, y: Tensor) -> Tensor:
        """What a callable loss makes of these rows. Errors: ``BadInput`` if every output meets every row's target.

        torch broadcasts (N, 1) beside (N,) to (N, N): a loss of all pairs, whose minimum is the targets' mean.
        """
        if len(y) == 1:
            output, y = torch.cat([output, output]), torch.cat([y, y])
        with _Pairs(len(y)) as seen, torch.enable_grad():
            loss = self.row_losses(output.detach().requires_grad_(), y)
        if seen.found is not None:
            a, b = seen.found
            raise BadInput(
                f"the loss meets every row's output with every row's target: it puts {a} beside {b}, which broadcasts "
                f"to {_broadcast(a, b)}; the model's output has shape {tuple(output.shape)}, the target "
                f"{tuple(y.shape)}. Give y the output's shape, or flatten both in the loss: "
                "lambda output, target: loss(output.flatten(), target.flatten())"
            )
        return loss.detach()

    def classes(self, x: Tensor) -> int | None:
        """How many classes the model tells apart, or None for a loss without classes."""
        if self.loss == "cross_entropy":
            return int(self.outputs(x[:1]).shape[1])
        return 2 if self.loss == "bce" else None

    def flops(self, x_1: Tensor) -> float:
        """Floating-point operations of one forward pass of one row; see ``count_flops``."""
        if self._flops is None:
            self._flops = count_flops(lambda: self.outputs(x_1)) / max(1, len(x_1))
        return self._flops


def check_shapes_known(module: nn.Module) -> None:
    """Errors: ``BadInput`` for a module with lazy layers that have seen no batch yet."""
    for name, t in itertools.chain(module.named_parameters(), module.named_buffers()):
        if is_lazy(t):
            raise BadInput(
                f"{name} has no shape yet, for a lazy layer takes it from the first batch that it sees: call module(x) "
                "on two or more rows of your data first"
            )


def as_input(x: Tensor) -> Tensor:
    """Rows as modules take them: float32, or int32 and int64 as they are (tokens, for an embedding).

    uint8 (images) becomes float32 / 255, floats of another width float32: rows may be held in a quarter or half of the
    memory, and the bits are those of rows that were converted beforehand. Errors: ``BadInput`` for any other type.

    >>> as_input(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    if x.dtype in _AS_THEY_ARE:
        return x
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise BadInput(
            f"rows of x are {x.dtype}: give float32 (or another float), uint8 for images (0 .. 255 become 0 .. 1), "
            "or int64 or int32 for tokens"
        )
    # A product's last bits can depend on where its factors lie, so a slice of rows keeps its place within a cache line.
    shift = x.storage_offset() % 16
    made = torch.empty(shift + x.numel())[shift:].view(x.shape).copy_(x)
    return made.div_(255.0) if x.dtype == torch.uint8 else made


_AS_THEY_ARE = (torch.float32, torch.int64, torch.int32)


def _standing_still(module: nn.Module) -> set[nn.Module]:
    """The modules whose parameters are all frozen: their own; if they have none, those inside; or else those around."""
    still: dict[nn.Module, bool] = {}

    def look(m: nn.Module, around: bool) -> None:
        judged = list(m.parameters(recurse=False)) or list(m.parameters())
        stands = not any(p.requires_grad for p in judged) if judged else around
        still[m] = stands and still.get(m, True)  # one that is used in two places stands still in both, or in none
        for child in m.children():
            look(child, stands)

    look(module, False)
    return {m for m, stands in still.items() if stands}


def _grad(loss: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """``torch.autograd.grad`` of a scalar, without what it does around the engine: 8 of 40 microseconds a small step.

    The engine is no public name, so where it is not as expected the public function serves.
    """
    if _ENGINE is None or loss.dim() != 0 or not loss.requires_grad:
        return torch.autograd.grad(loss, parameters, allow_unused=True)
    # outputs, their gradients, keep the graph, create a graph, inputs, allow unused, accumulate
    return _ENGINE((loss,), (torch.ones_like(loss),), False, False, tuple(parameters), True, False)


def _find_engine() -> Callable[..., tuple[Tensor | None, ...]] | None:
    try:
        run: Callable[..., tuple[Tensor | None, ...]] = torch.autograd.Variable._execution_engine.run_backward
        x, unused = torch.full((), 3.0, requires_grad=True), torch.zeros((), requires_grad=True)
        grads = run((x * x,), (torch.ones(()),), False, False, (x, unused), True, False)
        assert grads[0] is not None
        return run if float(grads[0]) == 6.0 and grads[1] is None else None
    except Exception:
        return None


_ENGINE = _find_engine()


def _listed(layout: Layout) -> str:
    return ", ".join(f"{s.name} {s.shape}" for s in layout.slots)


def _with_own_tensors(module: nn.Module) -> nn.Module:
    """The module, whose tensors have memory of their own from now on. A view would carry the whole vector along."""
    for p in module.parameters():
        p.data = p.data.clone()
    for owner in module.modules():
        for name, b in owner._buffers.items():
            if b is not None:
                owner._buffers[name] = b.clone()
    return module


class _Pairs(TorchFunctionMode):
    """Looks on for an operation that meets the outputs (they carry a graph) of N rows with the targets of all.

    That is: both have N rows and as many numbers, but their shapes broadcast to more. (N, 1) beside (1, N) is no
    accident and passes.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self.found: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in (*args, *kwargs.values()) if isinstance(t, Tensor)]
        with torch._C.DisableTorchFunction():
            for a in given if self.found is None else ():
                for b in given:
                    if a.requires_grad and not b.requires_grad and self._meet(tuple(a.shape), tuple(b.shape)):
                        self.found = tuple(a.shape), tuple(b.shape)
        return func(*args, **kwargs)

    def _meet(self, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        if len(a) == len(b) or a[:1] != (self._rows,) or b[:1] != (self._rows,) or math.prod(a) != math.prod(b):
            return False
        together = _broadcast(a, b)
        return together is not None and math.prod(together) > math.prod(a)


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that an operation of two such tensors has; None if there is none."""
    try:
        return tuple(torch.broadcast_shapes(a, b))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None


def mean_of(losses: Tensor, dim: int = 0) -> Tensor:
    """Their mean over one dimension. Finite losses have a finite one, though their float32 sum may overflow."""
    mean = losses.mean(dim)
    if losses.shape[dim] <= 1 or math.isfinite(mean.sum().item()):
        return mean
    return losses.double().mean(dim).to(losses.dtype)


def sum_of(losses: Tensor, rows: int) -> Tensor:
    """The sum over so many rows of their losses, or of their mean (a scalar); float64 where float32 overflows.

    A callable loss that returns a mean is multiplied by the rows.
    """
    total = losses * rows if losses.dim() == 0 else losses.sum()
    if math.isfinite(total.item()):
        return total
    return losses.double() * rows if losses.dim() == 0 else losses.double().sum()


def join(parts: Tensors, layout: Layout) -> Tensor:
    """The flat vector (D,) of ``delta`` and, where there are any, ``buffers``."""
    return torch.cat([parts["delta"], parts[BUFFERS]]) if layout.buffers else parts["delta"]


def _by_loss(loss: Loss) -> tuple[str, ...]:
    known = {"cross_entropy": ("accuracy",), "bce": ("accuracy", "auc"), "mse": ("rmse",)}
    return known.get(loss, ()) if isinstance(loss, str) else ()


_FITS = {
    **dict.fromkeys(("accuracy", "brier", "log_loss"), "labels"),
    **dict.fromkeys(("auc", "average_precision"), "ranks"),
    **dict.fromkeys(("precision", "recall", "sensitivity", "specificity", "f1"), "two"),
    **{f"{m}_{how}": "classes" for m in ("precision", "recall", "f1") for how in ("macro", "weighted")},
    **dict.fromkeys(
        ("balanced_accuracy", "kappa", "mcc", "auc_ovr", "auc_ovr_weighted", "calibration_error"), "classes"
    ),
    **dict.fromkeys(("rmse", "mse", "mae", "median_absolute_error", "r2"), "numbers"),
}
"""What each metric can be computed of."""

_FOR_SEVERAL = {
    "auc": "of several classes there are auc_ovr and auc_ovr_weighted; or ",
    **{m: f"of several classes there are {m}_macro and {m}_weighted; or " for m in ("precision", "recall", "f1")},
    "sensitivity": "of several classes there are recall_macro and recall_weighted; or ",
}


def _first_line(e: Exception) -> str:
    return (str(e).strip().splitlines() or ["no message"])[0]
