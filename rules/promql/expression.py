"""An expression that was parsed once and can be evaluated any number of times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rules.promql.context import LOOKBACK_MS, STEP_MS, Context, Memo
from rules.promql.evaluate import evaluate
from rules.promql.gather import Gathered, gather, steps
from rules.promql.parse import parse
from rules.promql.source import Source
from rules.promql.tree import Kind, Node, Reach, reaches
from rules.promql.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to read series."""

    lookback_ms: int = LOOKBACK_MS
    """How old the newest sample of a series may be."""
    step_ms: int = STEP_MS
    """Step of subqueries that name none: the interval at which rules are evaluated."""


DEFAULTS = Settings()


class Expression:
    """A parsed expression; raises `ParseError` for text that is none.

    It keeps what it worked out from labels for the next evaluation, so it belongs to one source
    at a time and to one thread.
    """

    __slots__ = ("_memo", "text", "tree")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: Node = parse(text)
        self._memo = Memo()

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    @property
    def kind(self) -> Kind:
        """Return what it gives: a scalar, a string, an instant vector or a range vector."""
        return self.tree.kind

    def reaches(self) -> Iterator[Reach]:
        """Give every selector in it and how far back it looks."""
        return reaches(self.tree)

    def at(self, source: Source, at_ms: int, settings: Settings = DEFAULTS) -> Value:
        """Return its value at a time (Unix milliseconds): float, str, Vector or Matrix.

        Raises `EvalError` where Prometheus answers with an error.
        """
        return evaluate(self.tree, self._context(source, at_ms, at_ms, settings))

    def over(
        self, source: Source, start_ms: int, end_ms: int, step_ms: int, settings: Settings = DEFAULTS
    ) -> Gathered:
        """Return its values at start, start + step, ... up to end: those of each series, with gaps.

        Raises `EvalError` also when it is no scalar or instant vector.
        """
        context = self._context(source, start_ms, end_ms, settings)
        return gather(self.tree, context, steps(start_ms, end_ms, step_ms), evaluate)

    def _context(self, source: Source, start_ms: int, end_ms: int, settings: Settings) -> Context:
        return Context(source, start_ms, start_ms, end_ms, self._memo, settings.lookback_ms, settings.step_ms)
