"""The core: what every other part stands on. It imports nothing else of foedus."""
