"""Commands of the operator's own as actions: fixed argv from the configuration, never a shell."""

from __future__ import annotations
