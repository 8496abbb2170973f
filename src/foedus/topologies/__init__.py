"""Who talks to whom: graphs, mixing weights and who is away."""

from foedus.topologies.absences import Absence
from foedus.topologies.drawn import ErdosRenyi, Regular
from foedus.topologies.edges import Edges
from foedus.topologies.graph import Graph, graph_of, require_connected
from foedus.topologies.mixing import (
    Mixing,
    describe,
    mix,
    mixing_matrix,
    rate,
    second_eigenvalue,
    spectral_gap,
)
from foedus.topologies.shapes import Complete, Exponential, Hypercube, OnePeer, Ring, Shape, Star, Torus
from foedus.topologies.sketch import Sketch, sketch
from foedus.topologies.weights import Matrix, Metropolis, Push, Uniform, Weights

__all__ = [
    "Absence", "Complete", "Edges", "ErdosRenyi", "Exponential", "Graph", "Hypercube", "Matrix", "Metropolis",
    "Mixing", "OnePeer", "Push", "Regular", "Ring", "Shape", "Sketch", "Star", "Torus", "Uniform", "Weights",
    "describe", "graph_of", "mix", "mixing_matrix", "rate", "require_connected", "second_eigenvalue", "sketch",
    "spectral_gap",
]  # fmt: skip
