"""How a call goes: on virtual time, on the wall clock, or made by all nodes together. Each drives a ``Round``."""

from foedus.core.drivers.driver import Driver, Trip
from foedus.core.drivers.joint import Joint
from foedus.core.drivers.virtual import Virtual
from foedus.core.drivers.wall import Wall

__all__ = ["Driver", "Joint", "Trip", "Virtual", "Wall"]
