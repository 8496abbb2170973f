"""Other work on the machine while something was measured: whoever reads a speed-up has to know of it."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from foedus.runtimes.warm import running


class OtherWork:
    """What others did on this process's processors since it was made. Where the system does not tell, nothing."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), busy_seconds(), own_seconds()

    def share(self) -> float | None:
        """The share of the processors' time that was neither idle nor ours; ours counts once our children ended."""
        busy, processors = busy_seconds(), _processors()
        passed = time.monotonic() - self._began
        if busy is None or self._busy is None or passed <= 0:
            return None
        others = (busy - self._busy) - (own_seconds() - self._own)
        return min(1.0, max(0.0, others / (passed * len(processors))))


def busy_seconds() -> float | None:
    """Seconds that the processors this process may use have not been idle since the machine began."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    wanted = {f"cpu{n}" for n in _processors()}
    total = 0
    for line in lines:
        name, *counts = line.split()
        if name in wanted:
            user, nice, system, _idle, _waiting, *rest = map(int, counts)
            total += user + nice + system + sum(rest[:3])  # interrupts, and what the host took
    return total / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process, of its children that have ended, and of those that stay for the next run."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used) + sum(process.seconds() for process in running())


def _processors() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except AttributeError:  # not on every Unix
        return set(range(os.cpu_count() or 1))
