"""What a node remembers, as its coordinator has it: not the tensors, but the number under which the node keeps them."""

from __future__ import annotations


class Kept:
    """The memory of one owner (a node's job, or one of its transforms) at a node, as the job of this number left it.

    A node keeps it for as long as anybody holds this: the accepted state, that of the last commit, a job that begins
    from it. When the last lets go it joins ``released``, and the next job tells the node that it may forget it.
    """

    __slots__ = ("_released", "node", "number", "owner")

    def __init__(self, node: int, number: int, owner: str, released: list[tuple[int, str]]) -> None:
        self.node, self.number, self.owner, self._released = node, number, owner, released

    def __del__(self) -> None:
        self._released.append((self.number, self.owner))

    def __repr__(self) -> str:
        return f"Kept(node={self.node}, number={self.number}, owner={self.owner!r})"
