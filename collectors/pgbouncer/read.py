"""Turns an answer of the admin console into a frame, by the names in its header. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.model import Frame, LabelValues, MetricDef, Number
from collectors.pgbouncer.tables import Show, Value
from collectors.pgbouncer.wire import Table

_WORDS = {"yes": 1, "no": 0, "t": 1, "f": 0}


def read(show: Show, table: Table) -> tuple[Frame, tuple[MetricDef, ...]]:
    """Return the samples, and the metrics for which this pgBouncer has no column."""
    if show.by_key:
        return _by_key(show, table)
    index = {name: at for at, name in reversed(list(enumerate(table.columns)))}
    here = [value for value in show.values if value.parts[0][0] in index]
    keys = _keys(show, table, index)
    columns = [_column(value, table, index) for value in here]
    if show.count is not None:
        frame = _grouped(show.count, here, keys, columns)
    else:
        frame = Frame(tuple(value.metric for value in here), keys, columns)
    return _without_repeats(frame), tuple(value.metric for value in show.values if value not in here)


def _keys(show: Show, table: Table, index: dict[str, int]) -> list[LabelValues]:
    names = dict(show.columns)
    places = [index.get(names.get(label, label), -1) for label in show.labels]
    return [tuple((row[at] or "") if at >= 0 else "" for at in places) for row in table.rows]


def _column(value: Value, table: Table, index: dict[str, int]) -> list[Number | None]:
    parts = [(index[column], factor) for column, factor in value.parts if column in index]
    result: list[Number | None] = []
    for row in table.rows:
        numbers = [(_number(row[at]), factor) for at, factor in parts]
        if numbers[0][0] is None:
            result.append(None)
        else:
            total = sum(number * factor for number, factor in numbers if number is not None)
            result.append(int(total) if isinstance(total, float) and total.is_integer() else total)
    return result


def _number(text: str | None) -> Number | None:
    if text is None:
        return None
    if text in _WORDS:
        return _WORDS[text]
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return None


def _grouped(
    count: MetricDef, here: Sequence[Value], keys: Sequence[LabelValues], columns: list[list[Number | None]]
) -> Frame:
    rows: dict[LabelValues, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    counted: list[Number | None] = [len(members) for members in rows.values()]
    largest = [
        [
            max((number for row in members if (number := column[row]) is not None), default=None)
            for members in rows.values()
        ]
        for column in columns
    ]
    return Frame((count, *(value.metric for value in here)), list(rows), [counted, *largest])


def _by_key(show: Show, table: Table) -> tuple[Frame, tuple[MetricDef, ...]]:
    found = {row[0]: _number(row[1]) for row in table.rows if len(row) > 1}
    here = [value for value in show.values if value.parts[0][0] in found]
    columns = [[found[value.parts[0][0]]] for value in here]
    missing = tuple(value.metric for value in show.values if value not in here)
    return Frame(tuple(value.metric for value in here), [()], columns), missing


def _without_repeats(frame: Frame) -> Frame:
    if len(set(frame.keys)) == len(frame.keys):
        return frame
    first = {key: row for row, key in reversed(list(enumerate(frame.keys)))}
    rows = sorted(first.values())
    return Frame(
        frame.metrics,
        [frame.keys[row] for row in rows],
        [[column[row] for row in rows] for column in frame.columns],
    )
