"""Reads Prometheus' text format into frames: every sample family under the very name it came with.

prometheus_client's own parser is not for this: it adds `_total` to counters that have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from collectors.model import Frame, Kind, LabelValues, MetricDef, Number

_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(?:\{(.*)\})?[ \t]*([^\s{}]+)(?:[ \t]+-?[0-9.]+)?[ \t]*$"
)
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(,|$)')
_SIMPLE = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"]*)"(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_COUNTED = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count"), "counter": ("_total",)}
_NO_HELP = "The exporter says nothing of it."

Labels = tuple[tuple[str, ...], LabelValues]
_NONE: Labels = ((), ())


class NotMetrics(Exception):
    """The text is not in the format; says in which line."""


@dataclass(slots=True)
class Scrape:
    """What one answer holds."""

    frames: list[Frame] = field(default_factory=list)
    series: int = 0
    left_out: int = 0
    """Samples with a name that cannot be exported, and repeated ones."""


def parse(body: bytes, *, open_metrics: bool, takes: Callable[[str], bool], rename: frozenset[str]) -> Scrape:
    """Return the samples whose name `takes` wants; raise NotMetrics.

    A label of the exporter's that is in `rename` becomes `exported_...`, as Prometheus does it.
    """
    text = body.decode("utf-8", "replace")
    kinds: dict[str, str] = {}
    helps: dict[str, str] = {}
    samples = _open_metrics(text, kinds, helps) if open_metrics else _plain(text, kinds, helps)
    wanted: dict[str, bool] = {}
    foreign: frozenset[str] = frozenset()
    families: dict[tuple[str, tuple[str, ...]], dict[LabelValues, Number]] = {}
    renamed: dict[tuple[str, ...], tuple[str, ...]] = {}
    scrape = Scrape()
    for name, (labels, values), value in samples:
        if name not in wanted:
            wanted[name] = takes(name)
            foreign = foreign if _NAME.fullmatch(name) else foreign | {name}
        if not wanted[name]:
            continue
        if name in foreign:
            scrape.left_out += 1
            continue
        if labels not in renamed:
            renamed[labels] = _renamed(labels, rename)
        family = families.setdefault((name, renamed[labels]), {})
        if values in family:
            scrape.left_out += 1
        else:
            family[values] = value
            scrape.series += 1
    for (name, labels), family in families.items():
        kind, said = _described(name, kinds, helps)
        metric = MetricDef(name=name, kind=kind, help=said or _NO_HELP, labels=labels)
        scrape.frames.append(Frame((metric,), list(family), [list(family.values())]))
    return scrape


def _plain(text: str, kinds: dict[str, str], helps: dict[str, str]) -> Iterator[tuple[str, Labels, Number]]:
    seen: dict[str, Labels] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()  # noqa: PLW2901 - a line's blanks mean nothing
        if not line:
            continue
        if line[0] == "#":
            _comment(line, kinds, helps)
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise NotMetrics(f"line {number} is no sample of Prometheus' text format")
        name, inside, value = match.groups()
        try:
            if not inside:
                labels = _NONE
            elif inside in seen:
                labels = seen[inside]
            else:
                labels = seen[inside] = _labels(inside)
            yield name, labels, _number(value)
        except ValueError as error:
            raise NotMetrics(f"line {number}: {error}") from None


def _comment(line: str, kinds: dict[str, str], helps: dict[str, str]) -> None:
    words = line.split(None, 3)
    if len(words) < 3 or words[0] != "#":  # noqa: PLR2004 - "# HELP name ..."
        return
    if words[1] == "HELP" and len(words) > 3:  # noqa: PLR2004
        helps[words[2]] = _ESCAPE.sub(_unescaped, words[3])
    elif words[1] == "TYPE" and len(words) > 3:  # noqa: PLR2004
        kinds[words[2]] = words[3].strip().lower()


def _labels(inside: str) -> Labels:
    if "\\" not in inside:
        pairs = _SIMPLE.findall(inside)
        # Each pair has =, two quotes and a comma besides; the last comma may be left out.
        if sum(map(len, chain.from_iterable(pairs))) + 4 * len(pairs) - len(inside) in (0, 1):
            return _ordered([name for name, _ in pairs], [value for _, value in pairs])
    return _ordered(*_any_labels(inside))


def _any_labels(inside: str) -> tuple[list[str], list[str]]:
    names: list[str] = []
    values: list[str] = []
    at = 0
    while at < len(inside):
        match = _LABEL.match(inside, at)
        if match is None:
            if not inside[at:].strip():
                break
            raise ValueError('its labels are not of the form name="value"')
        value = match[2]
        names.append(match[1])
        values.append(_ESCAPE.sub(_unescaped, value) if "\\" in value else value)
        at = match.end()
    return names, values


def _ordered(names: list[str], values: list[str]) -> Labels:
    """Put labels in one order, so that the series of a family share their label names."""
    if len(names) == 1:
        return (names[0],), (values[0],)
    if len(set(names)) != len(names):
        raise ValueError("a label stands there twice")
    order = sorted(range(len(names)), key=names.__getitem__)
    return tuple([names[index] for index in order]), tuple([values[index] for index in order])


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1] if match[1] in '\\"' else match[0]


def _number(text: str) -> Number:
    if text.isdigit() and text.isascii():
        return int(text) if len(text) < 19 else float(text)  # noqa: PLR2004 - what 64 bits hold
    if "_" in text:
        raise ValueError("its value is not a number")
    try:
        return float(text)
    except ValueError:
        raise ValueError("its value is not a number") from None


def _open_metrics(
    text: str, kinds: dict[str, str], helps: dict[str, str]
) -> Iterator[tuple[str, Labels, Number]]:
    try:
        for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
            kinds[family.name], helps[family.name] = family.type, family.documentation
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                pairs = sorted(sample.labels.items())
                yield (
                    sample.name,
                    (tuple(key for key, _ in pairs), tuple(one for _, one in pairs)),
                    sample.value,
                )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotMetrics(f"it is not OpenMetrics: {error}") from None


def _described(name: str, kinds: dict[str, str], helps: dict[str, str]) -> tuple[Kind, str]:
    if name in kinds:
        kind = Kind.COUNTER if kinds[name] == "counter" else Kind.GAUGE
        return kind, helps.get(name, "")
    for family_kind, endings in _COUNTED.items():
        for ending in endings:
            family = name.removesuffix(ending)
            if name.endswith(ending) and kinds.get(family) == family_kind:
                return Kind.COUNTER, helps.get(family, "")
    return Kind.GAUGE, helps.get(name, "")


def _renamed(labels: tuple[str, ...], ours: frozenset[str]) -> tuple[str, ...]:
    taken = set(labels) | ours
    result = []
    for label in labels:
        name = label
        while label in ours and name in taken:
            name = f"exported_{name}"
        taken.add(name)
        result.append(name)
    return tuple(result)
