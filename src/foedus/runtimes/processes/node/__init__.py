"""A node's process: what it is to be, its parent says."""
