"""What `foedus speedup` does: measured speed-up of real processes, beside laws, the cost model and the simulator."""

from foedus.speedup.measurement import Measurement, Plan
from foedus.speedup.subject import Subject, subject

__all__ = ["Measurement", "Plan", "Subject", "subject"]
