from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from collectors.model import Cost, Frame, Target
from tests.unit.snapshot.making import give, metric, page, probe, snapshot_of

METRICS = {name: metric(name, "x", "y") for name in ("a", "b", "c")}
NARROW = {name: metric(name, "x") for name in ("a", "b")}
KEYS = st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from(["", "1"])), max_size=8)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    keys = draw(KEYS)
    narrow = draw(st.booleans())
    names = draw(st.lists(st.sampled_from("ab" if narrow else "abc"), min_size=1, max_size=3))
    columns = [
        draw(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=len(keys), max_size=len(keys)))
        for _ in names
    ]
    if narrow:
        return Frame(tuple(NARROW[name] for name in names), [(x,) for x, _ in keys], columns)
    return Frame(tuple(METRICS[name] for name in names), keys, columns)


@st.composite
def records(draw: st.DrawFn) -> tuple[str, str, Cost, list[Frame]]:
    return (
        draw(st.sampled_from("pqr")),
        draw(st.sampled_from(["", "one", "two"])),
        draw(st.sampled_from(Cost)),
        draw(st.lists(frames(), max_size=3)),
    )


@given(st.lists(records(), max_size=8), st.integers(1, 30))
@settings(deadline=None, max_examples=120)
async def test_no_series_comes_twice_and_the_cap_holds_whatever_probes_give(
    given_records: list, most: int
) -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=most))
    for name, database, cost, given_frames in [*given_records, *given_records]:
        give(snapshot, *given_frames, info=probe(name, cost=cost), database=database)
        samples = [s for family in parse_text(await page(snapshot)) for s in family.samples]
        shown = [(s.name, frozenset((k, v) for k, v in s.labels.items() if v)) for s in samples]
        assert len(shown) == len(set(shown))
        assert len(shown) == snapshot.states()["db1"].series <= most


@given(st.lists(records(), max_size=8), st.integers(1, 30))
@settings(deadline=None, max_examples=60)
async def test_the_same_answers_show_the_same_series_again(given_records: list, most: int) -> None:
    snapshot = snapshot_of(Target(name="db1", engine="postgresql", series_max=most))
    last = {(name, database): (cost, found) for name, database, cost, found in given_records}

    def round_() -> None:
        for (name, database), (cost, found) in sorted(last.items()):
            give(snapshot, *found, info=probe(name, cost=cost), database=database)

    for _ in range(6):
        round_()
    before = await page(snapshot)
    round_()
    assert await page(snapshot) == before
