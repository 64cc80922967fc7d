"""The configuration's own cap on the rows of a declared probe."""

from __future__ import annotations

from collectors import choose
from collectors.model import Target
from collectors.postgresql.catalogue import declared
from collectors.postgresql.options import PostgresOptions
from collectors.postgresql.rows import FrameMaker


def made(name: str, **options: object) -> FrameMaker:
    target = Target(name="t", engine="postgresql", options=PostgresOptions.model_validate(options))
    probes = choose.wanted(declared(), target)
    queries, _ = choose.choose(probes, lambda _: True, role="primary", schema_of=str)
    return FrameMaker(next(query for query in queries if query.probe.name == name))


def table(number: int, columns: int) -> tuple[object, ...]:
    return ("app", "public", f"t{number}", *[number] * columns)


def shown(maker: FrameMaker, tables: int) -> tuple[int, int]:
    columns = len(maker._query.metrics)
    frame, dropped = maker.frame([table(number, columns) for number in range(tables)])
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
