"""PromQL: parse an expression once, evaluate it as often as wanted.

`Expression(text)` parses; `.at(source, time_ms)` gives a float, a str, a `Vector` or a `Matrix`;
`.over(source, start_ms, end_ms, step_ms)` gives the range form. Any `Source` of series will do:
`rules.window.Window` is the one in memory.
"""

from __future__ import annotations

from rules.promql.expression import Expression
from rules.promql.source import Source
from rules.promql.values import Matrix, Value, Vector

__all__ = ["Expression", "Matrix", "Source", "Value", "Vector"]
