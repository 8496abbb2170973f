"""A pair of connected sockets. The parent makes every connection between two processes, and passes each its end."""

from __future__ import annotations

import socket

from foedus.core.errors import WorkerError


def connected_pair(wire: str) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection within this machine: Unix sockets for ``"shared"``, TCP for ``"sockets"``.

    Errors: ``WorkerError`` if the system allows no more.
    """
    try:
        return socket.socketpair() if wire == "shared" else _tcp_pair()
    except OSError as e:
        raise WorkerError(
            f"processes could not be connected with each other ({e.strerror}): use fewer nodes, or raise the system's "
            "limits (ulimit -n)"
        ) from e


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        try:
            other, address = listener.accept()
            while address != one.getsockname():  # somebody else on this machine was quicker
                other.close()
                other, address = listener.accept()
        except BaseException:
            one.close()
            raise
    for end in (one, other):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other
