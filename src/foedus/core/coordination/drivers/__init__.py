"""How a call goes: on virtual time, on the wall clock, or made by all nodes together. Each drives a ``Round``."""

from foedus.core.coordination.drivers.driver import Driver, Trip
from foedus.core.coordination.drivers.joint import Joint
from foedus.core.coordination.drivers.virtual import Virtual
from foedus.core.coordination.drivers.wall import Wall

__all__ = ["Driver", "Joint", "Trip", "Virtual", "Wall"]
