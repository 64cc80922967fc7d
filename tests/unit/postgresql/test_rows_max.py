"""The configuration's own cap on the rows of a declared probe."""

from __future__ import annotations

from collectors import choose
from collectors.model import Target
from collectors.postgresql.catalogue import declared
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.rows import FrameMaker
from tests.fixtures.observing import probes


def made(name: str, **options: object) -> FrameMaker:
    target = Target(name="t", engine="postgresql", options=PostgresOptions.model_validate(options))
    wanted = choose.wanted(declared(), target)
    queries, _ = choose.choose(wanted, lambda _: True, role="primary", schema_of=str)
    return FrameMaker(next(query for query in queries if query.probe.name == name))


def shown(maker: FrameMaker, tables: int) -> tuple[int, int]:
    """Return how many rows are shown and left out when the server has so many and sends those that lead."""
    columns, sent = len(maker._query.metrics), min(tables, 2 * maker._keeper.most)
    rows = [("app", "public", f"t{one}", *[one] * columns, float(one), tables) for one in range(sent)]
    frame, dropped = maker.frame(rows)
    return len(frame.keys), dropped


def test_tables_that_lead_are_shown_and_the_others_counted() -> None:
    assert shown(made("tables"), 120) == (50, 70)


def test_a_cap_of_the_configuration_takes_the_place_of_the_probes_own() -> None:
    assert shown(made("tables", rows_max={"tables": 100}), 120) == (100, 20)
    assert shown(made("tables", rows_max={"indexes": 100}), 120) == (50, 70)


def test_servers_with_the_same_cap_share_the_probe() -> None:
    first, second = (
        choose.wanted(
            declared(),
            Target(name=name, engine="postgresql", options=PostgresOptions(rows_max={"tables": 7})),
        )
        for name in ("a", "b")
    )
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_row_that_leads_in_one_of_several_values_is_among_those_kept() -> None:
    text = (
        "own: {help: h, rows_max: 2, rank: [a, b], sql: 'select {columns} from t', labels: {l: l},"
        " values: {a: {metric: own_a, kind: gauge, help: A.}, b: {metric: own_b, kind: gauge, help: B.}}}"
    )
    queries, _ = choose.choose(probes(text), lambda _: True, role="primary", schema_of=str)
    frame, dropped = FrameMaker(queries[0]).frame([("x", 900, 0), ("y", 500, 1), ("z", 0, 9)])
    assert (list(frame.keys), dropped) == ([("x",), ("z",)], 1)
