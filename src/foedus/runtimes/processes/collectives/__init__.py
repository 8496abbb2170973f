"""Sums over all processes without a server: ring, tree and gloo, and the pipes they go through."""
