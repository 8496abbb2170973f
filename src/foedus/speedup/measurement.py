"""The measurement: its runs in their order, and what is known after each. It can be stopped at any time.

Legend: ``p`` processes, ``P`` the most of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from foedus.core.errors import BadInput
from foedus.core.records.origin import origin
from foedus.network import theory
from foedus.report.speedup.found import Curve, Found, Jobs, Point, Rounds, Simulated, Spread, Straggler, Traffic, Wire
from foedus.report.units import human_seconds
from foedus.speedup import measure
from foedus.speedup.fits import amdahl_fraction, gustafson_fraction
from foedus.speedup.measure import (
    WARM_UP,
    Making,
    computing,
    empty_rounds,
    shares,
    spread_of_logs,
    timed,
    together,
)
from foedus.speedup.model import (
    EXCHANGES,
    WIRES,
    Empty,
    JobCosts,
    RoundCosts,
    fit_jobs,
    fit_round,
    in_all,
    one_of,
)
from foedus.speedup.others import OtherWork
from foedus.speedup.pingpong import pingpong
from foedus.speedup.processors import cores, usual_processes
from foedus.speedup.simulate import Machine, by_law, simulate
from foedus.speedup.stragglers import Case, stragglers
from foedus.speedup.subject import Subject

TALKING = 3
"""Processes that are looked at for what they send: enough to tell all formulas apart."""

Pair = tuple[str, str]
"""An exchange and a wire."""


@dataclass(frozen=True)
class Plan:
    """What is measured.

    ``processes``  how many processes, each number once; 1, which all is relative to, is always among them.
    ``exchanges``, ``wires``  how they talk: every exchange over every wire is measured.
    ``rounds``     counted rounds of a run, after ``WARM_UP``.   ``repeats``  how often all runs take their turn.
    ``nodes_max``  up to how many nodes the simulator goes on; 0 leaves it out.
    ``budget_s``   seconds that the simulator may take.
    Errors: ``BadInput`` for a number below 1, a name that is not known, gloo without sockets.
    """

    processes: tuple[int, ...] = field(default_factory=lambda: usual_processes(cores()))
    exchanges: tuple[str, ...] = ("server",)
    wires: tuple[str, ...] = ("shared",)
    rounds: int = 15
    nodes_max: int = 1024
    repeats: int = 3
    budget_s: float = 55.0

    def __post_init__(self) -> None:
        if not self.processes or min(self.processes) < 1:
            raise BadInput(f"processes are numbers from 1 up, such as 1,2,4; got {_listed(self.processes)}")
        if self.rounds < 1:
            raise BadInput(f"rounds are counted from 1 up, got {self.rounds}")
        if self.nodes_max < 0:
            raise BadInput(f"nodes-max is how far the simulation goes, 0 for not at all; got {self.nodes_max}")
        for e in self.exchanges:
            one_of("exchange", e, EXCHANGES)
        for w in self.wires:
            one_of("wire", w, WIRES)
        if not self.pairs:
            raise BadInput("gloo sends over sockets: give --wire sockets, or another exchange beside it")
        object.__setattr__(self, "processes", tuple(sorted({1, *self.processes})))

    @property
    def pairs(self) -> list[Pair]:
        """Every exchange over every wire that it has."""
        return [(e, w) for e in self.exchanges for w in self.wires if _goes(e, w)]

    @property
    def most(self) -> int:
        """The most processes."""
        return max(self.processes)


def _goes(exchange: str, wire: str) -> bool:
    return exchange != "gloo" or wire == "sockets"


def _listed(values: Sequence[object]) -> str:
    return ",".join(map(str, values)) or "none"


class Measurement:
    """Runs of a subject by a plan. ``run`` does them one after the other, ``found`` says what is known so far."""

    def __init__(
        self, subject: Subject, plan: Plan, say: Callable[[str], None] = lambda _: None, make: Making | None = None
    ) -> None:
        subject.check(plan.processes)
        rule = subject.program.aggregate
        self._adds = bool(getattr(rule, "additive", False))
        only_add = [e for e in plan.exchanges if e in ("ring", "gloo")]
        if only_add and not self._adds:
            raise BadInput(f"{rule!r} does more than add answers up, and {only_add[0]} only adds: use server or tree")
        self.subject, self.plan, self._say, self._make = subject, plan, say, make or measure.processes
        self.cores = cores()
        self._began = time.monotonic()
        self._rounds: dict[tuple[Pair, str, int], list[float]] = defaultdict(list)
        self._kinds: dict[tuple[Pair, int], list[dict[str, float]]] = defaultdict(list)
        self._alone: dict[int, list[float]] = defaultdict(list)
        """By p: seconds of a round of computing alone, one a repetition."""
        self._jobs: dict[int, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        """By p and rows: seconds of a job, one a repetition."""
        self._logs: list[float] = []
        self._empty: dict[Pair, list[Empty]] = defaultdict(list)
        self._wires: dict[str, Wire] = {}
        self._traffic: list[Traffic] = []
        self._stragglers: list[Straggler] = []
        self._simulated: tuple[Simulated, ...] = ()
        self._laws: list[Simulated] = []
        self._notes = list(subject.notes)
        self._others = OtherWork()
        self._complete = False

    # -- the runs ----------------------------------------------------------------------------------------------------

    def run(self) -> Found:
        """All of it."""
        for turn in range(self.plan.repeats):
            for p in self.plan.processes:
                self._measure(p, f"{turn + 1}/{self.plan.repeats}")
        self._calibrate()
        self._count_traffic()
        self._slow_down()
        self._go_on()
        self._complete = True
        found = self.found()
        assert found is not None
        return found

    def _measure(self, p: int, turn: str) -> None:
        s, plan = self.subject, self.plan
        rounds = plan.rounds + WARM_UP
        for pair in plan.pairs:
            runtime = self._make(exchange=pair[0], wire=pair[1])
            found = timed(s.sized(rounds, p), s, s.shared(p), runtime)
            self._rounds[pair, "strong", p] += found.rounds
            self._kinds[pair, p].append(found.kinds)
            said = f"turn {turn}, {_of(p)}, {pair[0]} over {pair[1]}: {_ms(found.rounds)} a round"
            if p < plan.most:
                share = s.rows // plan.most
                weak = timed(s.sized(rounds, p, plan.most), s, s.shared(p, p * share), runtime)
                self._rounds[pair, "weak", p] += weak.rounds
                said += f", {_ms(weak.rounds)} with {share:,} rows each"
            else:
                self._rounds[pair, "weak", p] += found.rounds  # the same, but for a remainder of rows
            self._say(said)
        jobs = computing(s, p, self._make(exchange="server", wire="shared"), plan.rounds)
        for rows, seconds in jobs:
            self._jobs[p][rows].append(together(seconds, p > self.cores))
        self._alone[p].append(together(jobs[0][1], p > self.cores))
        if p == 1:
            self._logs.append(spread_of_logs(jobs[0][1][0]))

    def _calibrate(self) -> None:
        s, plan = self.subject, self.plan
        for pair in plan.pairs:
            for p in [n for n in plan.processes if n <= max(2, self.cores)]:
                runtime = self._make(exchange=pair[0], wire=pair[1])
                self._empty[pair] += empty_rounds(s, p, runtime, plan.rounds)
            costs = self._round_costs(pair)
            assert costs is not None
            self._say(
                f"{pair[0]} over {pair[1]}: {human_seconds(costs.fixed_s)} a round, "
                f"{human_seconds(costs.alpha_s)} a message, {_rate(costs.beta_s)}"
            )
        for wire in plan.wires:
            self._wires[wire] = Wire(wire, *pingpong(wire, s))

    def _count_traffic(self) -> None:
        s = self.subject
        p = min(TALKING, s.rows)
        for exchange in EXCHANGES:
            for wire in WIRES:
                if not _goes(exchange, wire):
                    continue
                if exchange in ("ring", "gloo") and not self._adds:
                    continue
                self._traffic.append(self._sent(exchange, wire, p))
        self._say(f"counted what {_of(p)} send")
        if not self._adds:
            self._notes.append("Ring and gloo only add, so they cannot carry this file's aggregator.")

    def _sent(self, exchange: str, wire: str, p: int) -> Traffic:
        s, rounds = self.subject, 5
        found = timed(s.sized(rounds, p), s, s.shared(p), self._make(exchange=exchange, wire=wire))
        total, formula = found.run.ledger.total, in_all(exchange, p)
        # A server's vectors go up and down; between equals what one sends another receives.
        both = exchange == "server"
        messages = (total.messages_up + (total.messages_down if both else 0)) / rounds
        numbers = (total.bytes_up + (total.bytes_down if both else 0)) / rounds
        # Framing is counted at both ends of a connection between equals.
        framing = total.framing / rounds / (1 if both else 2)
        return Traffic(
            exchange, wire, p, messages, numbers + framing, numbers / s.nbytes,
            None if formula is None else formula[0],
            None if formula is None else formula[1] * s.message(exchange) / s.nbytes,
            Spread.of(found.rounds).median,
        )  # fmt: skip

    def _slow_down(self) -> None:
        computing_too = [Case(self.cores, False)] if 1 < self.cores <= self.plan.most else []
        for case in [*computing_too, Case(4, True)]:
            if case.p > self.subject.rows:
                continue
            for found in stragglers(self.subject, case, self.plan.wires[0], self._make, 10):
                self._stragglers.append(found)
                how = "sleeping" if case.sleeping else "computing"
                self._say(
                    f"one of {case.p} {how} processes slowed {found.factor:g} times, {found.program}: "
                    f"{100 * found.lost:.0f} % of updates lost"
                )

    def _go_on(self) -> None:
        if not self.plan.nodes_max:
            return
        machine = self._machine()
        s = self.subject
        if machine is None:
            return
        for curves in simulate(s, machine, self.plan.nodes_max, self.plan.budget_s, self._say, self._notes):
            self._simulated = curves
        rows = s.job(1).work(s.rows).trained
        for exchange in self.plan.exchanges:
            wire = next(w for w in self.plan.wires if _goes(exchange, w))
            costs = self._round_costs((exchange, wire))
            if exchange != "server" and costs is not None:
                self._laws.append(by_law(exchange, machine.job, costs, rows, s.nbytes, self.plan.nodes_max))

    def _machine(self) -> Machine | None:
        """What is simulated: the first wire, with its server (or whatever was measured over it)."""
        job, wire = self._job_costs(1), self._wires.get(self.plan.wires[0])
        pairs = [p for p in self._empty if p[1] == self.plan.wires[0]]
        if job is None or wire is None or not pairs:
            return None
        costs = self._round_costs(("server", wire.wire)) or self._round_costs(pairs[0])
        assert costs is not None
        return Machine(job, costs, wire.alpha_s, wire.beta_s, self._sigma())

    # -- what is known -----------------------------------------------------------------------------------------------

    def found(self) -> Found | None:
        """What is known so far; None before the first run of one process has ended."""
        s, plan = self.subject, self.plan
        curves = [self._curve(pair) for pair in plan.pairs]
        if not any(c.strong for c in curves):
            return None
        notes = list(dict.fromkeys(self._notes))
        return Found(
            name=s.name,
            program=repr(s.program),
            rows=s.rows,
            parameters=int(s.model.initial.numel()),
            vector_bytes=s.nbytes,
            cores=self.cores,
            origin=origin(None),
            processes=plan.processes,
            rounds=plan.rounds,
            curves=tuple(c for c in curves if c.strong),
            jobs=tuple(self._jobs_found()),
            costs=tuple(self._costs_found()),
            wires=tuple(self._wires.values()),
            traffic=tuple(self._traffic),
            stragglers=tuple(self._stragglers),
            simulated=(*self._simulated, *self._laws),
            notes=tuple(notes),
            seconds=time.monotonic() - self._began,
            others=self._others.share(),
            complete=self._complete,
        )

    def _jobs_found(self) -> Iterator[Jobs]:
        for p in self.plan.processes:
            job = self._job_costs(p)
            if job is not None:
                yield Jobs(p, job.fixed_s, job.row_s, self._sigma())

    def _costs_found(self) -> Iterator[Rounds]:
        for exchange, wire in self.plan.pairs:
            costs = self._round_costs((exchange, wire))
            if costs is not None:
                yield Rounds(exchange, wire, costs.fixed_s, costs.alpha_s, costs.beta_s)

    def _curve(self, pair: Pair) -> Curve:
        strong = self._points(pair, "strong")
        weak = self._points(pair, "weak")
        fit = [p for p in strong if not p.oversubscribed]
        fit_weak = [p for p in weak if not p.oversubscribed]
        return Curve(
            *pair,
            strong,
            weak,
            amdahl_fraction([p.p for p in fit], [p.speedup for p in fit]) if any(p.p > 1 for p in fit) else None,
            gustafson_fraction([p.p for p in fit_weak], [p.speedup for p in fit_weak])
            if any(p.p > 1 for p in fit_weak)
            else None,
        )

    def _points(self, pair: Pair, scaling: str) -> tuple[Point, ...]:
        rounds = {p: r for p in self.plan.processes if (r := self._rounds.get((pair, scaling, p)))}
        if 1 not in rounds:
            return ()
        one = Spread.of(rounds[1]).median
        points = []
        for p, measured in rounds.items():
            seconds = Spread.of(measured)
            grown = p if scaling == "weak" else 1
            kinds = self._kinds.get((pair, p), []) if scaling == "strong" else []
            mean = {k: sum(d[k] for d in kinds) / len(kinds) for k in kinds[0]} if kinds else {}
            points.append(
                Point(
                    p=p,
                    rows=self._rows(p, scaling),
                    seconds=seconds,
                    speedup=grown * theory.speedup(one, seconds.median),
                    limit=self._limit(p, scaling),
                    predicted=self._predicted(pair, p, scaling),
                    shares=shares(mean),
                    oversubscribed=p > self.cores,
                )
            )
        return tuple(points)

    def _rows(self, p: int, scaling: str) -> int:
        return self.subject.rows // (self.plan.most if scaling == "weak" else p)

    def _trained(self, p: int, scaling: str) -> float:
        """Rows that a process passes through in a round."""
        nodes = p if scaling == "strong" else self.plan.most
        return self.subject.job(nodes).work(self._rows(p, scaling)).trained

    def _limit(self, p: int, scaling: str) -> float | None:
        if scaling == "strong":
            one, many = self._alone.get(1), self._alone.get(p)
            return Spread.of(one).median / Spread.of(many).median if one and many else None
        job, alone = self._job_costs(p), self._job_costs(1)
        if job is None or alone is None:
            return None
        trained = self._trained(p, scaling)
        return p * alone.seconds(trained) / job.seconds(trained)

    def _predicted(self, pair: Pair, p: int, scaling: str) -> float | None:
        costs, job = self._round_costs(pair), self._job_costs(p)
        if costs is None or job is None:
            return None
        return costs.seconds(pair[0], p, self.subject.message(pair[0])) + job.seconds(self._trained(p, scaling))

    def _job_costs(self, p: int) -> JobCosts | None:
        jobs = self._jobs.get(p)
        if not jobs:
            return None
        return fit_jobs(p, [(rows, Spread.of(seconds).median) for rows, seconds in jobs.items()])

    def _round_costs(self, pair: Pair) -> RoundCosts | None:
        measured = self._empty.get(pair)
        return fit_round(pair[0], measured) if measured else None

    def _sigma(self) -> float:
        return Spread.of(self._logs).median if self._logs else 0.0


def _of(p: int) -> str:
    return "1 process" if p == 1 else f"{p} processes"


def _ms(rounds: Sequence[float]) -> str:
    return human_seconds(Spread.of(rounds).median)


def _rate(beta_s: float) -> str:
    return f"{1e-9 / beta_s:.2g} GB/s" if beta_s > 0 else "bytes for nothing"
