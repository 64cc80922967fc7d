"""What can go wrong with a scratch server."""

from __future__ import annotations


class ScratchError(Exception):
    """A scratch server could not be made, started or asked; the message carries the end of its own log."""


class NotInstalled(ScratchError):
    """The programs of a server are not on this machine."""
