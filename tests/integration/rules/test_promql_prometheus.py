"""Our evaluator gives what Prometheus gives, sample by sample, for the same series.

Debian's Prometheus is of version 2, ours follows version 3. They are known to differ in this, so nothing
here asks for it:

- Ranges and the lookback are closed at their left edge in 2, open in 3: no sample lies at such an edge.
- A counter that must have been 0 between half and 1.1 of an interval before its first sample: 2 takes the
  rate from there on, 3 from half an interval before.
- `stddev` and `stdvar` of one element that is NaN or infinite: 0 in 2, NaN in 3.
- `atan2` keeps the metric name in 2: here the name is taken away after it.
- Label names are plain words in 2, any text in 3: none here is anything else.
- 2 lets a dot in a regular expression stand for anything but a new line: only a plain text is looked for.
- 2 moves the range of `predict_linear(x[5m] @ t, 1)` along in a range query: asked for one time only.
- `ln` of numbers below 2.3e-308 is wrong in 2, by an error in Go's assembler code: not asked for.
- Sums are compensated (Kahan) in 3 everywhere, in 2 only over time: aggregations have a tolerance.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import hypothesis
import pytest

from actions.scratch.errors import NotInstalled
from actions.scratch.place import Place
from actions.scratch.prometheus import ScratchPrometheus
from rules.window import Window
from tests.fixtures.missing import missing
from tests.fixtures.promql_answers import Answer, Oracle, Span, Tolerance, difference, ours
from tests.fixtures.promql_expressions import Family, families
from tests.fixtures.promql_generated import expressions
from tests.fixtures.promql_series import batches, window
from tests.fixtures.promql_shapes import MINUTE, START, all_pages
from tests.fixtures.remote_write import remote_write

FAMILIES = tuple(families())
INSTANTS = tuple(Span(START + int(minute * MINUTE) + 412) for minute in (31.7, 48.2, 56.4))
RANGE = Span(START + 40 * MINUTE + 412, START + 66 * MINUTE + 412, 79_000)
SPANS = (*INSTANTS, RANGE)
EXAMPLES = int(os.environ.get("PROMQL_EXAMPLES", "0"))
"""How many random expressions to try; by default a few, and always the same ones."""
SOME_DIGITS = Tolerance(1e-8, 1e-6)


@dataclass
class Both:
    """The same series in a Prometheus and in a window."""

    oracle: Oracle
    window: Window


@pytest.fixture(scope="module")
async def both(place: Place) -> AsyncIterator[Both]:
    pages = all_pages()
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(
                ScratchPrometheus((), place=place, name="promql", interval=60.0, receives=True)
            )
        except NotInstalled as error:
            missing(str(error))
        for batch in batches(pages):
            await remote_write(server.url, batch)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Both(Oracle(server.url, http), window(pages))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name.replace(" ", "_"))
async def test_every_sample_is_that_of_prometheus(both: Both, family: Family) -> None:
    spans = INSTANTS if family.at_once else SPANS
    asked = [(text, span) for text in family.expressions for span in spans]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(both.oracle.ask(*each)) for each in asked]
    differences, answered = [], set()
    for (text, span), task in zip(asked, tasks, strict=True):
        theirs, mine = task.result(), ours(text, both.window, span)
        found = difference(theirs, mine, family.tolerance) or _disorder(family, span, theirs, mine)
        if theirs.error if family.fails else theirs.series or theirs.text:
            answered.add(text)
        if found:
            differences.append(f"{text} at {(span.start_ms - START) / MINUTE:g} min: {found}")
    assert not differences, "\n".join(differences)
    assert len(answered) > len(family.expressions) * 0.75, "too few have anything to compare"


def test_they_are_many_different_expressions() -> None:
    assert len({text for family in FAMILIES for text in family.expressions}) > 1000


@hypothesis.settings(
    max_examples=EXAMPLES or 100, derandomize=not EXAMPLES, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
)  # fmt: skip
@hypothesis.given(expression=expressions())
async def test_expressions_made_at_random_too(both: Both, expression: str) -> None:
    for span in (INSTANTS[1], RANGE):
        theirs = await both.oracle.ask(expression, span)
        hypothesis.event("fails" if theirs.error else "has series" if theirs.series else "is empty")
        assert difference(theirs, ours(expression, both.window, span), SOME_DIGITS) == "", expression


def _disorder(family: Family, span: Span, theirs: Answer, mine: Answer) -> str:
    if family.ordered and span is not RANGE and list(theirs.series) != list(mine.series):
        return f"the order there is {list(theirs.series)}, here {list(mine.series)}"
    return ""
