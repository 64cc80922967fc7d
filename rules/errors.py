"""What can be wrong with expressions and rules."""

from __future__ import annotations


class RulesError(Exception):
    """Something about rules is wrong."""


class ParseError(RulesError):
    """An expression that cannot be understood, or asks for what is not supported."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        """Within the expression, from 1."""
        self.column = column

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


class EvalError(RulesError):
    """An expression that gives no answer over these series; says what Prometheus says."""
