"""The checks of ``foedus.testing`` find what is broken: every law is broken once, and named."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

import foedus as fd
from foedus.core.coordination.drivers import Virtual, Wall
from foedus.core.records.ledger import Costs
from foedus.core.time.clock import VirtualClock
from foedus.core.types.aggregator import Callability
from foedus.core.types.transform import Identity
from foedus.testing import check_aggregator, check_program, check_runtime, check_transform

# -- aggregators -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _InPlace(fd.Mean):
    def __call__(self, u_KD: Any, weights_K: Any = None) -> Any:
        u = super().__call__(u_KD, weights_K)
        u_KD.mul_(2)
        return u


@dataclass(frozen=True)
class _Ignorant(fd.Mean):
    """Forgets that a sum is multiplied by its weight already."""

    def add(self, acc: Any, u: fd.Update) -> Any:
        return super().add(acc, replace(u, summed=False))


@dataclass(frozen=True)
class _FirstCounts(fd.Mean):
    """The first update counts twice."""

    def add(self, acc: Any, u: fd.Update) -> Any:
        return super().add(acc, replace(u, weight=2 * u.weight) if acc["sum"] is None and not u.summed else u)


@dataclass(frozen=True)
class _MeanOfMeans(Callability):
    """Merges by halves, whatever they weigh."""

    robust = False

    def empty(self) -> Any:
        return None

    def add(self, acc: Any, u: fd.Update) -> Any:
        return self.merge(acc, dict(u.value()))

    def merge(self, a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        return {k: (v + b[k]) / 2 for k, v in a.items()}

    def init(self, shapes: Any) -> Any:
        return None

    def read(self, acc: Any, state: Any) -> Any:
        return acc or {}, state


@dataclass(frozen=True)
class _Shrinks(fd.Mean):
    def read(self, acc: Any, state: Any) -> Any:
        parts, state = super().read(acc, state)
        return {k: v * 0.9 for k, v in parts.items()}, state


@dataclass(frozen=True)
class _Credulous(fd.Mean):
    robust = True  # type: ignore[misc]


@dataclass(frozen=True)
class _Hoards(fd.Median):
    """Its accumulator is no tree."""

    def empty(self) -> Any:
        return [object()]

    def judge(self, acc: Any, state: Any) -> Any:
        return super().judge([a for a in acc if isinstance(a, dict)], state)


@dataclass(frozen=True)
class _Loses(fd.Median):
    """An empty accumulator on the right swallows the left."""

    def merge(self, a: Any, b: Any) -> Any:
        return a + b if b else b


@dataclass(frozen=True)
class _Stumbles(fd.Median):
    """Cannot stand that nobody answered."""

    def judge(self, acc: Any, state: Any) -> Any:
        return super().judge(acc, state) if 1 / len(acc) else None


class _Nameless(fd.Mean):
    """Its repr is an address, and names nothing after a resume."""

    __repr__ = object.__repr__


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (_InPlace(), "does not change its input"),
        (_Ignorant(), "a summed update counts"),
        (_FirstCounts(), "folding|order"),
        (_MeanOfMeans(), "folding|order"),
        (_Shrinks(), "identical updates"),
        (_Credulous(), "robust"),
        (_Hoards(), "travel|nothing"),
        (_Loses(), "identity"),
        (_Stumbles(), "nothing gives nothing"),
        (_Nameless(), "travels as data"),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, str) else "",
)
def test_broken_aggregators_are_found(broken: Any, law: str) -> None:
    with pytest.raises(AssertionError, match=law) as caught:
        check_aggregator(broken)
    assert "expected" in str(caught.value)
    assert "got" in str(caught.value)


def test_sums_are_not_exact() -> None:
    with pytest.raises(AssertionError, match="bits"):
        check_aggregator(fd.Mean(), exact=True)


# -- transforms --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spoils(Identity):
    """One fault a field."""

    encode_: Callable[..., Any] | None = None
    decode_: Callable[..., Any] | None = None
    wire_: Callable[..., Any] | None = None
    finish_: Callable[..., Any] | None = None

    def encode(self, u: fd.Update, state: Any, key: Any) -> Any:
        return self.encode_(u, state, key) if self.encode_ else (u, state)

    def decode(self, u: fd.Update, shapes: Any) -> Any:
        return self.decode_(u, shapes) if self.decode_ else u

    def wire(self, shapes: Any) -> Any:
        return self.wire_(shapes) if self.wire_ else shapes

    def finish(self, total: Any, state: Any, key: Any) -> Any:
        return self.finish_(total, state, key) if self.finish_ else (total, state)

    def __repr__(self) -> str:
        return "Spoils()"


def _each(f: Callable[[str, torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    return lambda u, state, key: (u.with_parts({k: f(k, v) for k, v in u.parts.items()}), state)


def _but_buffers(f: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Any]:
    return _each(lambda k, v: v if k == "buffers" else f(v))


def _counts(u: fd.Update, state: Any, key: Any) -> Any:
    state.setdefault("n", torch.zeros(())).add_(1)
    return u, state


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (_Spoils(encode_=_but_buffers(lambda v: v.mul_(2))), "encode does not change its input"),
        (_Spoils(encode_=_each(lambda k, v: v * 2)), "buffers"),
        (_Spoils(encode_=_but_buffers(lambda v: v.double())), "announces"),
        (_Spoils(encode_=_but_buffers(lambda v: v[:1])), "announces"),
        (_Spoils(encode_=_but_buffers(lambda v: v + torch.randn(v.shape))), "the same key"),
        (_Spoils(encode_=_but_buffers(lambda v: v / v.norm())), "finite"),
        (_Spoils(encode_=_but_buffers(lambda v: v.clamp(-0.2, 0.2))), "summed"),
        (_Spoils(encode_=_counts), "old state"),
        (_Spoils(encode_=lambda u, s, k: (u, {"n": 1})), "named tensors"),
        (_Spoils(encode_=lambda u, s, k: (u, {"n": torch.tensor(math.nan)})), "finite state"),
        (_Spoils(decode_=lambda u, s: u.with_parts({k: v.flatten() for k, v in u.parts.items()})), "shapes back"),
        (_Spoils(decode_=lambda u, s: u.with_parts({k: v.add_(1) for k, v in u.parts.items()})), "decode does not"),
        (_Spoils(wire_=lambda shapes: {}), "announces"),
        (_Spoils(finish_=lambda t, s, k: ({n: v.mul_(2) for n, v in t.items()}, s)), "finish does not|shapes"),
        (_Spoils(finish_=lambda t, s, k: ({"delta": t["delta"]}, s)), "finish keeps"),
        (_Spoils(finish_=lambda t, s, k: (t, object())), "stored"),
    ],
)
def test_broken_transforms_are_found(broken: Any, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_transform(broken)


@dataclass(frozen=True)
class _Forgets(Identity):
    """Error feedback that keeps what it sent instead of what it dropped."""

    def encode(self, u: fd.Update, state: Any, key: Any) -> Any:
        sent = {k: v if k == "buffers" else torch.where(v > 0, v, 0.0) for k, v in u.parts.items()}
        return u.with_parts(sent), {"residual:" + k: v for k, v in sent.items() if k != "buffers"}


def test_promises_are_checked() -> None:
    check_transform(_Forgets())
    with pytest.raises(AssertionError, match="owed"):
        check_transform(_Forgets(), conserves=True)
    with pytest.raises(AssertionError, match="owed"):
        check_transform(fd.TopK(0.1), conserves=True)
    with pytest.raises(AssertionError, match="the mean of what arrives"):
        check_transform(fd.TopK(0.1), unbiased=True)


# -- programs and runtimes ---------------------------------------------------------------------------------------


def test_a_ledger_that_does_not_add_up_is_found() -> None:
    with pytest.raises(AssertionError, match="fill the round"):
        check_program(fd.SyncSGD(2, batch_size=4, backup=2), workers=(1,), synchronous=True)


@dataclass(frozen=True)
class _Rounds(fd.Simulation):
    """Somewhere on the way a bit is lost."""

    def start(self, setup: Any) -> Any:
        engine = super().start(setup)
        place = engine.executor.place
        engine.executor.place = lambda args: place({k: v.half().float() for k, v in args.items()})  # type: ignore[method-assign]
        return engine


@dataclass(frozen=True)
class _Litters(fd.Simulation):
    """Leaves a process behind."""

    def start(self, setup: Any) -> Any:
        import subprocess
        import sys

        LEFT.append(subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE))
        return super().start(setup)


LEFT: list[Any] = []


def test_broken_runtimes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="reference bits"):
        check_runtime(_Rounds())
    monkeypatch.setattr("foedus.testing.runtimes._Check.left_behind.__defaults__", (0.1,))
    try:
        with pytest.raises(AssertionError, match="process"):
            check_runtime(_Litters())
    finally:
        for process in LEFT:
            process.kill()
            process.wait()


class _Patient(Virtual):
    """Waits for everybody, whatever a round needs."""

    async def perform(self, call: Any) -> Any:
        call.round.needed = call.round.members
        return await super().perform(call)


class _Generous(Wall):
    """Charges nothing for what is sent up."""

    def measured(self, *asked: Any) -> Costs:
        return replace(super().measured(*asked), bytes_up=0)


@dataclass(frozen=True)
class _With(fd.Local):
    """A runtime of which one thing is not right."""

    wrong: str = ""

    def start(self, setup: Any) -> Any:
        if self.wrong == "deaf":
            setup = replace(setup, policy=fd.Policy())
        engine = super().start(setup)
        executor = engine.executor
        match self.wrong:
            case "patient":
                return replace(engine, clock=VirtualClock(), driver=_Patient)
            case "generous":
                return replace(engine, driver=_Generous)
            case "forgets":
                wait = executor.wait

                def forget(ticket: Any) -> Any:
                    result = wait(ticket)
                    for outcome in result.outcomes:
                        outcome.state = {}
                    return result

                executor.wait = forget
            case "closes once":
                executor.close = iter([None]).__next__
        return engine


@pytest.mark.parametrize(
    ("wrong", "law"),
    [
        ("patient", "a quorum takes its k"),
        ("generous", "bytes_up is"),
        ("forgets", "gives the reference bits"),
        ("deaf", "a refusal is a normal answer"),
        ("closes once", "what was submitted can be called off"),
    ],
)
def test_a_runtime_of_which_one_thing_is_not_right_is_found(wrong: str, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        check_runtime(_With(wrong=wrong))
