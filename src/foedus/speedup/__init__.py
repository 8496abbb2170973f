"""What `foedus speedup` does: measured speed-up of real processes, beside laws, the cost model and the simulator.

Nothing is imported here: node processes import ``parts`` alone, and begin sooner. See ``measurement``.
"""
