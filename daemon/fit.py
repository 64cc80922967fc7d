"""Makes what a target shows fit: no series twice, and never more series than its cap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collectors.model import LabelValues, MetricDef, Number
from daemon.block import Block
from daemon.known import Held

Place = tuple[Held, int]


def fit(new: Held, old: Held | None, others: Sequence[Held], fixed: Held, most: int) -> bool:
    """Fit the blocks of one new answer among those of the target's other probes.

    Where two would show one series, the one of higher rank does: the cheaper probe, then by name;
    `fixed` comes before all and does not count. When there are more than `most` series, whole rows of
    the lowest rank go; among the rows of the new answer those that were shown before stay, otherwise
    each run would bring other series. Return True when nothing but the new answer was touched.
    """
    if fits_as_before(new, old, most - sum(held.size for held in others)):
        return True
    ranked = sorted([new, *others], key=lambda held: held.rank)
    touched = not new.alone and _drop_repeats(new, _places([fixed, *ranked]))
    places = _places(ranked)
    blocks = [held.blocks[index] for held, index in places]
    if sum(block.size for block in blocks) <= most or sum(block.count for block in blocks) <= most:
        return not touched
    room = most
    for held, index in places:
        block = held.blocks[index]
        if block.count > room:
            members = _members(old, block) if held is new else set()
            _replace((held, index), _only_rows(block, _rows_that_fit(block, room, members)))
        room -= held.blocks[index].count
    return False


def fits_as_before(new: Held, old: Held | None, room: int) -> bool:
    """Tell whether an answer has the series of the last one, and room for all: nearly every one has."""
    new.alone = old is not None and old.alone and _same_series(new, old)
    new.size = sum(block.size for block in new.blocks)
    return new.alone and new.size <= room


def _places(ranked: Sequence[Held]) -> list[Place]:
    return [(held, index) for held in ranked for index in range(len(held.blocks))]


def _drop_repeats(new: Held, places: Sequence[Place]) -> bool:
    """Settle what the new answer shows twice, or another shows too; tell whether another gave way."""
    new.alone = True
    touched = False
    for number, (held, index) in enumerate(places):
        if held is not new:
            continue
        _replace((held, index), _without_repeats(held.blocks[index]))
        if len(held.blocks[index].layout.names) < len(held.blocks[index].layout.metrics):
            new.alone = False  # one name twice: which of the two is shown can differ in the next run
        names = held.blocks[index].layout.names
        for other, place in enumerate(places):
            if (place[0] is new and other <= number) or names.isdisjoint(
                place[0].blocks[place[1]].layout.names
            ):
                continue
            first, second = sorted((number, other))
            _settle(places[first], places[second])
            touched = touched or places[second][0] is not new
    return touched


def _same_series(new: Held, old: Held) -> bool:
    return len(new.blocks) == len(old.blocks) and all(
        mine.layout is theirs.layout and mine.adopt_keys(theirs)
        for mine, theirs in zip(new.blocks, old.blocks, strict=True)
    )


def _settle(winner: Place, loser: Place) -> None:
    """Blank in the loser what both show; remember that the two have to be looked at again."""
    block, overlap = _without_shared(loser[0].blocks[loser[1]], winner[0].blocks[winner[1]])
    if overlap:
        winner[0].alone = loser[0].alone = False
        _replace(loser, block)


def _replace(place: Place, block: Block) -> None:
    held, index = place
    if block is not held.blocks[index]:
        held.left_out += held.blocks[index].count - block.count
        held.blocks[index] = block


def _without_repeats(block: Block) -> Block:
    """Return the block without series that came before in the same block."""
    if len(set(block.keys)) < len(block.keys):
        first: dict[LabelValues, int] = {}
        for row, key in enumerate(block.keys):
            first.setdefault(key, row)
        block = _only_rows(block, list(first.values()))
    if len(block.layout.names) < len(block.layout.metrics):
        block, _ = _without_shared(block, block)
    return block


def _without_shared(block: Block, winner: Block) -> tuple[Block, bool]:
    """Return the block with cells blank that the winner shows too, and whether any labels are shared."""
    columns = list(block.columns)
    rows: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[int, int]]] = {}
    blanked = False
    for index, metric in enumerate(block.layout.metrics):
        for column, other in enumerate(winner.layout.metrics):
            if other.name != metric.name or (winner is block and column >= index):
                continue
            schemes = (metric.labels, other.labels)
            if schemes not in rows:
                rows[schemes] = _same_rows(block, metric, winner, other)
            taken = winner.columns[column]
            twice = [row for row, theirs in rows[schemes] if taken[theirs] is not None]
            if any(columns[index][row] is not None for row in twice):
                columns[index] = _blank(columns[index], twice)
                blanked = True
    overlap = any(rows.values())
    return (block.showing(block.keys, columns) if blanked else block), overlap


def _members(old: Held | None, block: Block) -> set[LabelValues]:
    blocks = old.blocks if old is not None else []
    return {key for each in blocks if each.layout is block.layout for key in each.keys}


def _rows_that_fit(block: Block, room: int, members: set[LabelValues]) -> list[int]:
    order = sorted(range(len(block.keys)), key=lambda row: block.keys[row] not in members)
    chosen = []
    for row in order:
        needs = sum(column[row] is not None for column in block.columns)
        if needs > room:
            break
        room -= needs
        chosen.append(row)
    return chosen


def _only_rows(block: Block, rows: Sequence[int]) -> Block:
    """Return the block with these rows only, in their old order."""
    chosen = sorted(rows)
    columns = [[column[row] for row in chosen] for column in block.columns]
    return block.showing([block.keys[row] for row in chosen], columns)


def _blank(column: Sequence[Number | None], rows: Iterable[int]) -> tuple[Number | None, ...]:
    values = list(column)
    for row in rows:
        values[row] = None
    return tuple(values)


def _same_rows(block: Block, metric: MetricDef, winner: Block, other: MetricDef) -> list[tuple[int, int]]:
    """Return (row, their row) for equal label sets; an empty label is the same as none."""
    if metric.labels == other.labels:
        if set(block.keys).isdisjoint(winner.keys):
            return []
        place = {key: row for row, key in enumerate(winner.keys)}
        return [(row, place[key]) for row, key in enumerate(block.keys) if key in place]
    sets = {_label_set(other, key): row for row, key in enumerate(winner.keys)}
    found = ((row, sets.get(_label_set(metric, key))) for row, key in enumerate(block.keys))
    return [(row, their_row) for row, their_row in found if their_row is not None]


def _label_set(metric: MetricDef, key: LabelValues) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in zip(metric.labels, key, strict=True) if value)
