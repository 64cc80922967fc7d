"""The example knows every key there is, and loads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from collectors.registry import engines
from collectors.strict_yaml import InvalidFile
from daemon import config as configuration
from daemon.config.model import CommonSettings, Config, TargetSettings

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.yaml"


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not BaseModel:
            yield annotation
            for field in annotation.model_fields.values():
                yield from models_in(field.annotation)
        return
    for inner in get_args(annotation):
        yield from models_in(inner)


def all_keys() -> set[tuple[str, str]]:
    models = set(models_in(Config))
    for engine in engines().values():
        models |= set(models_in(engine.options))
    return {
        (model.__name__, field.alias or key) for model in models for key, field in model.model_fields.items()
    }


def without_the_stops(text: str) -> str:
    """Every key that is off, switched on; of a key that then stands twice the second stays."""
    text = re.sub(r"^#(?=[^ \n#]| {2,}[\w-])", "", text, flags=re.MULTILINE)
    for twice in ("  collect: {}\n", "metrics_files: []\n", "  store: sqlite\n", "  commands: {}\n"):
        text = text.replace(twice, "")
    header, _, body = text.partition("\ndaemon:\n")
    assert header
    return f"daemon:\n{body}"


def test_it_loads_and_names_every_engine() -> None:
    config = configuration.load(EXAMPLE)
    assert {target.engine for target in config.targets} == set(engines())


def test_every_key_of_every_model_is_mentioned() -> None:
    text = EXAMPLE.read_text()
    body = text.partition("\ndaemon:\n")[2]
    missing = sorted(
        (model, key)
        for model, key in all_keys()
        if (model, key) not in {("Config", "daemon"), ("TargetSettings", "options")}
        and not re.search(rf"(?:^|[\s{{#-]){re.escape(key)}:", body)
    )
    assert missing == []


def test_the_walk_over_the_models_reaches_the_depths() -> None:
    keys = all_keys()
    assert {("SecretRef", "credential"), ("TokenSettings", "sha256"), ("LogSettings", "level")} <= keys
    assert {("TlsOptions", "ca_file"), ("TargetSettings", "cluster"), ("MetricsFile", "engine")} <= keys


def test_what_it_shows_as_default_is_the_default(tmp_path: Path) -> None:
    config = configuration.load(EXAMPLE)
    small = tmp_path / "small.yaml"
    small.write_text("targets: [{name: a, engine: postgresql}]\n")
    plain = configuration.load(small)
    parts = (
        "daemon",
        "http",
        "exposition",
        "defaults",
        "metrics_files",
        "rules",
        "alertmanagers",
        "history",
        "acting",
    )
    for part in (*parts, "allow_inline_secrets"):
        assert getattr(config, part) == getattr(plain, part), part


def test_the_keys_that_are_off_can_be_switched_on(tmp_path: Path) -> None:
    text = without_the_stops(EXAMPLE.read_text())
    for key in ("cert_file", "tokens", "- /etc/dbarchitect/metrics/*.yaml", "    engine: postgresql"):
        assert re.search(rf"^ *{re.escape(key)}", text, re.MULTILINE), key
    for folder in (tmp_path / "metrics", tmp_path / "rules", tmp_path / "policies"):
        folder.mkdir()
    for name in ("tls.crt", "tls.key", "client.crt", "client.key", "ca.crt", "shop.yaml"):
        (tmp_path / name).write_text(
            "shop_orders:\n  sql: select 1 as n\n"
            "  values: {n: {metric: shop_orders, kind: gauge, help: Orders.}}\n"
        )
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("/etc/dbarchitect/", f"{tmp_path}/"))
    config = configuration.load(path)
    assert [token.name for token in config.http.tokens] == ["prometheus"]
    assert config.http.tls is not None
    assert [probe.name for probe in config.custom_probes] == ["shop_orders"]
    assert config.acting.store.postgresql is not None
    assert config.acting.commands["move_address"].engine == "postgresql"
    assert config.defaults.collect["buffercache_summary"] is True


def test_a_file_of_five_lines_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "targets:\n  - name: shop\n    engine: postgresql\n    host: db1\n    password: {env: DB_PASSWORD}\n"
    )
    (target,) = configuration.targets(configuration.load(path))
    assert (target.name, target.engine, target.interval_seconds, target.series_max) == (
        "shop",
        "postgresql",
        10.0,
        20_000,
    )
    assert target.options.host == "db1"


def test_no_engine_has_an_option_of_a_common_name() -> None:
    common = set(CommonSettings.model_fields) | set(TargetSettings.model_fields)
    clashes = {
        (name, key)
        for name, engine in engines().items()
        for key in engine.options.model_fields
        if key in common
    }
    assert clashes == set()


def test_a_copy_with_one_letter_changed_in_any_key_is_refused_with_the_right_word(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    path = tmp_path / "config.yaml"
    refused = 0
    for match in re.finditer(r"^ *(?:- )?([a-z_]{4,}):", text, re.MULTILINE):
        key = match[1]
        path.write_text(text[: match.start(1)] + key[:-1] + "q" + text[match.end(1) :])
        with pytest.raises(InvalidFile, match=key) as caught:
            configuration.load(path)
        line = text.count("\n", 0, match.start(1)) + 1
        assert any(problem.line == line and repr(key) in problem.hint for problem in caught.value.problems), (
            key,
            str(caught.value),
        )
        refused += 1

    assert refused > 40
