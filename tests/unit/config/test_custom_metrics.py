"""SQL metrics of the user's own: loaded with the configuration, refused when they clash or cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.registry import engines
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.config.custom import wrong_sql

ORDERS = """\
shop_orders:
  help: Orders by status.
  every: 30s
  sql: select status, count(*) as orders from shop.orders group by status
  labels: {status: }
  values:
    orders: {metric: shop_orders, kind: gauge, help: Orders.}
"""


def load(tmp_path: Path, *files: str, more: str = "") -> configuration.Config:
    for number, text in enumerate(files):
        (tmp_path / f"own{number}.yaml").write_text(text)
    path = tmp_path / "config.yaml"
    path.write_text(f"metrics_files: ['own*.yaml']\ntargets:\n  - name: shop\n    engine: postgresql\n{more}")
    return configuration.load(path)


def mistakes(tmp_path: Path, *files: str) -> list[str]:
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, *files)
    return [str(one).replace(f"{tmp_path}/", "") for one in caught.value.problems]


def test_they_belong_to_the_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, ORDERS, more="    collect: {shop_orders: false}\n")
    (probe,) = config.custom_probes
    assert (probe.name, probe.custom, probe.engine) == ("shop_orders", True, "postgresql")
    assert probe.source == f"{tmp_path}/own0.yaml:1"
    (target,) = configuration.targets(config)
    assert not target.wants("shop_orders", by_default=True)


def test_a_change_in_them_is_a_change_of_the_configuration(tmp_path: Path) -> None:
    before = load(tmp_path, ORDERS)
    assert load(tmp_path, ORDERS) == before
    assert load(tmp_path, ORDERS.replace("30s", "40s")) != before


def test_one_file_named_twice_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(ORDERS)
    path = tmp_path / "config.yaml"
    path.write_text("metrics_files: [own.yaml, 'o*.yaml']\ntargets: [{name: a, engine: postgresql}]\n")
    assert len(configuration.load(path).custom_probes) == 1


def test_a_pattern_may_match_nothing(tmp_path: Path) -> None:
    assert load(tmp_path).custom_probes == ()


def test_a_metric_that_exists_names_both_places(tmp_path: Path) -> None:
    (message,) = mistakes(
        tmp_path, ORDERS.replace("metric: shop_orders", "metric: pg_stat_database_xact_commit")
    )
    assert message.startswith(
        "own0.yaml:1:1: shop_orders: the metric 'pg_stat_database_xact_commit' exists already ("
    )
    assert "database.yaml:" in message
    assert "choose another name" in message


def test_a_metric_of_another_file_of_ones_own_names_both_places(tmp_path: Path) -> None:
    (message,) = mistakes(tmp_path, ORDERS, "\n" + ORDERS.replace("shop_orders:\n", "other:\n"))
    assert message.startswith("own1.yaml:2:1: other: the metric 'shop_orders' exists already (")
    assert "own0.yaml:1)" in message


@pytest.mark.parametrize("name", sorted(engines()))
def test_no_engines_up_can_be_taken(name: str, tmp_path: Path) -> None:
    taken = engines()[name].up_metric.name
    (message,) = mistakes(tmp_path, ORDERS.replace("metric: shop_orders", f"metric: {taken}"))
    assert f"the metric {taken!r} exists already" in message


def test_a_probe_that_exists_names_both_places(tmp_path: Path) -> None:
    (message,) = mistakes(tmp_path, ORDERS.replace("shop_orders:\n", "database:\n"))
    assert message.startswith("own0.yaml:1:1: there is already a probe 'database' (")


def test_metrics_about_the_daemon_are_its_own(tmp_path: Path) -> None:
    (message,) = mistakes(tmp_path, ORDERS.replace("metric: shop_orders", "metric: dbarchitect_orders"))
    assert "begins with dbarchitect_, the daemon's own prefix" in message


def test_an_alias_that_exists_is_refused_too(tmp_path: Path) -> None:
    (message,) = mistakes(tmp_path, ORDERS.replace("help: Orders.}", "help: Orders., aliases: [pg_up]}"))
    assert "the metric 'pg_up' exists already" in message


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = ORDERS + "    orders: {metric: shop_other, kind: gauge, help: Orders.}\n"
    (message,) = mistakes(tmp_path, twice)
    assert message.startswith("own0.yaml:8:5: the key 'orders' stands here twice")
    label = ORDERS.replace("{status: }", "{orders: }")
    assert any("'orders' is a label and a value" in one for one in mistakes(tmp_path, label))
    metric = ORDERS + "    other: {metric: shop_orders, kind: gauge, help: Orders.}\n"
    assert any("both become 'shop_orders'" in one for one in mistakes(tmp_path, metric))


def test_a_key_misspelt_names_line_and_word(tmp_path: Path) -> None:
    (message,) = mistakes(tmp_path, ORDERS.replace("every:", "evrey:"))
    assert message.startswith("own0.yaml:3:3: shop_orders.evrey: unknown key")
    assert "did you mean 'every'?" in message


def test_mistakes_of_all_files_come_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, ORDERS.replace("kind: gauge", "kind: gage"), "- a list", "a word")
    assert [one.split(":", 1)[0] for one in found] == ["own0.yaml", "own1.yaml", "own2.yaml"]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "SELECT 1;",
        "  -- a comment; with a semicolon\n select ';' , \";\" , $$;$$, $a$ ; $a$ /* ; */",
        "with x as (select 1) select * from x",
        "(select 1) union (select 2)",
        "values (1)",
        "table pg_database",
        "show server_version",
        "select {columns} from t",
    ],
)
def test_one_reading_statement_is_fine(sql: str) -> None:
    assert wrong_sql(sql) == ""


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select 1; select 2", "several statements"),
        ("select 'a;'; drop table x", "several statements"),
        ("drop table x", "does not read"),
        ("insert into x values (1)", "does not read"),
        ("/* select */ delete from x", "does not read"),
        ("set work_mem = 1", "does not read"),
        ("-- nothing", "does not read"),
        ("explain select 1", "does not read"),
        ("{columns}", "does not read"),
    ],
)
def test_anything_else_is_refused_before_a_server_sees_it(sql: str, says: str, tmp_path: Path) -> None:
    assert says in wrong_sql(sql)
    text = ORDERS.replace(ORDERS.split("sql: ")[1].split("\n", maxsplit=1)[0], repr(sql).replace("\\n", " "))
    if "{columns}" not in sql:
        assert any(f"shop_orders.sql: {wrong_sql(sql)}" in one for one in mistakes(tmp_path, text))
