"""In what time: clocks, links and devices as a cost model, and jobs on their way in virtual time."""
