"""Frozen dataclasses as plain tables, and back: what a file says, and what travels between processes.

What may stand in a field is its annotation's to say (``kinds``), what may be named there a ``Registry``'s. A name is
looked up in that one table and nowhere else: nothing that is read here imports anything.
"""
