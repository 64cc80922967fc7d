"""Any text is a configuration or a list of mistakes; a configuration written out is read back equal."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from collectors.registry import engines
from collectors.strict_yaml import InvalidFile, dump, parse
from daemon import config as configuration
from daemon.config.model import Config

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
FEWER = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def config_file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(content)
        yield path


def loads_or_tells(content: bytes) -> None:
    with config_file(content) as path:
        try:
            config, problems = configuration.load(path), []
        except InvalidFile as error:
            config, problems = None, error.problems
    assert isinstance(config, Config) or problems
    for problem in problems:
        assert problem.message
        str(problem).encode()


SIGNS = [*"-:?[]{},#&*!|>'\"%@`\n\t .~<=\0\r\x85\u2028\ufeff", "  ", "\n  ", "- ", ": "]
WORDS = [
    "targets",
    "name",
    "engine",
    "postgresql",
    "host",
    "password",
    "daemon",
    "listen",
    "true",
    "null",
    "1e3",
    "10s",
    "<<",
    "!!int",
    ".inf",
    "file",
    "dsn",
    "labels",
    "collect",
    "metrics_files",
    "tls",
    "http",
    "tokens",
    "---",
]
yaml_signs = st.sampled_from(SIGNS)
words = st.sampled_from(WORDS)


@MANY
@given(st.binary(max_size=300))
def test_any_bytes_load_or_are_refused(content: bytes) -> None:
    loads_or_tells(content)


@MANY
@given(st.lists(st.one_of(yaml_signs, words, st.text(max_size=5)), max_size=60).map("".join))
def test_any_text_that_looks_like_yaml_loads_or_is_refused(text: str) -> None:
    loads_or_tells(text.encode())


texts = st.text(max_size=12)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, words)
trees = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(words, texts), inner, max_size=4)
    ),
    max_leaves=20,
)


@MANY
@given(trees)
@example({"\x85": "\u2028 a\n\n b\r\n", "": [" x ", "no", "089", "1e3", "~", "'\"", "a: b #c", "\x00\t"]})
def test_yaml_written_is_yaml_read(tree: Any) -> None:
    if isinstance(tree, dict | list):
        try:
            read = parse(dump(tree), "x").value
        except InvalidFile as error:
            # A NUL and the like are no text; quoted as an escape they are.
            raise AssertionError(dump(tree)) from error
        assert repr(read) == repr(tree)


def shaped_like_a_configuration(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Every key that there is, with any value."""
    target_keys = sorted(
        {"name", "engine", "cluster", "labels", "interval", "deadline", "series_max", "collect"}
        | {key for engine in engines().values() for key in engine.options.model_fields}
    )
    engine = st.sampled_from(sorted(engines()))
    target = st.dictionaries(st.sampled_from(target_keys), values, max_size=6)
    named = st.builds(lambda body, name: {"name": "a", **body, "engine": name}, target, engine)
    top = st.dictionaries(st.sampled_from(sorted(Config.model_fields)), values, max_size=4)
    return st.builds(lambda body, targets: {**body, "targets": targets}, top, st.lists(named, max_size=3))


@MANY
@given(shaped_like_a_configuration(trees))
def test_any_value_under_any_key_loads_or_is_refused(tree: dict[str, Any]) -> None:
    loads_or_tells(dump(tree).encode())


names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,30}", fullmatch=True)
label_names = st.from_regex(r"own_[a-z0-9_]{1,10}", fullmatch=True)
printable = st.text(min_size=1, max_size=20).filter(str.isprintable)
durations = st.one_of(
    st.integers(1, 86400).map(lambda n: f"{n}s"),
    st.integers(500, 10**6).map(lambda n: f"{n}ms"),
    st.floats(0.5, 80000).map(lambda x: f"{x:.7f}s"),
    st.sampled_from(["1m30s", "1h", "1h30m", "0.5s"]),
)
deadlines = st.integers(50, 300_000).map(lambda n: f"{n}ms")
secrets = st.one_of(
    st.builds(lambda name: {"file": f"/{name}"}, printable),
    st.builds(lambda name: {"env": name}, label_names),
    st.builds(lambda name: {"credential": name}, label_names),
)
collect = st.dictionaries(st.sampled_from(["*", "database", "activity", "locks"]), st.booleans())


def with_some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


common = {
    "interval": durations,
    "deadline": deadlines,
    "series_max": st.integers(10, 10**7),
    "collect": collect,
}
valid_targets = with_some(
    {"engine": st.just("postgresql")},
    {
        **common,
        "cluster": printable,
        "labels": st.dictionaries(label_names, printable, max_size=3),
        "host": st.sampled_from(["db1", "10.0.0.1", "::1", "/run/postgresql", "0o17", "1e3", "no"]),
        "port": st.integers(1, 65535),
        "user": printable,
        "dbname": printable,
        "password": secrets,
        "sessions_max": st.integers(1, 10),
        "databases": st.fixed_dictionaries({"include": st.lists(printable, max_size=2)}),
    },
)
valid = st.builds(
    lambda top, bodies, unique: {
        **top,
        "targets": [{"name": name, **body} for name, body in zip(unique, bodies, strict=False)],
    },
    with_some(
        {},
        {
            "daemon": with_some(
                {},
                {
                    "listen": st.sampled_from(["127.0.0.1:1", "[::1]:8720", "unix:/a b", "localhost:99"]),
                    "state_dir": printable.map(lambda name: f"/{name}"),
                    "uvloop": st.booleans(),
                    "log": with_some({}, {"level": st.sampled_from(["debug", "error"])}),
                },
            ),
            "http": with_some(
                {},
                {
                    "allow_insecure": st.booleans(),
                    "allowed_hosts": st.lists(st.sampled_from(["a", "B.example", "1e3"]), max_size=2),
                    "tokens": names.map(
                        lambda name: [{"name": name, "scopes": ["read"], "sha256": "0A" * 32}]
                    ),
                },
            ),
            "exposition": with_some({}, {"aliases": st.booleans()}),
            "defaults": with_some({}, {**common, "sessions_max": st.integers(1, 10)}),
        },
    ),
    st.lists(valid_targets, min_size=1, max_size=3),
    st.lists(names, min_size=3, max_size=3, unique=True),
)


@FEWER
@given(valid)
def test_a_configuration_written_out_is_read_back_equal(tree: dict[str, Any]) -> None:
    with config_file(dump(tree).encode()) as path:
        first = configuration.load(path)
        path.write_text(configuration.dump(first), encoding="utf-8")
        again = configuration.load(path)
        assert again == first
        assert configuration.targets(again) == configuration.targets(first)
