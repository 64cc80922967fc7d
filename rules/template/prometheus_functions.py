"""The functions that Prometheus adds to Go's for the texts of rules."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from rules.template.addresses import strip_domain, strip_port
from rules.template.context import TemplateContext
from rules.template.errors import CallFailed
from rules.template.go_functions import query_escape
from rules.template.humanize import (
    humanize,
    humanize_1024,
    humanize_duration,
    humanize_percentage,
    humanize_timestamp,
    parse_duration,
    to_duration,
    to_time,
)
from rules.template.patterns import matches, replace_all
from rules.template.signature import SAMPLE, SAMPLES, Function
from rules.template.values import ANY, GoMap, Html, Pointer, Samples, Struct
from rules.template.words import title, to_lower, to_upper


def prometheus_functions(context: TemplateContext) -> dict[str, Function]:
    """Return Prometheus' functions for one expansion."""
    return {
        **_FUNCTIONS,
        "query": Function(("string",), lambda text: _query(context, text)),
        "now": Function((), lambda: context.time),
        "externalURL": Function((), lambda: context.external_url),
        "pathPrefix": Function((), lambda: urlsplit(context.external_url).path),
    }


def _query(context: TemplateContext, text: str) -> Samples:
    if context.query is None:
        raise CallFailed("there is nothing to query here")
    try:
        samples = context.query(text)
    except Exception as error:  # whatever is wrong with a query must not stop the rule
        raise CallFailed(str(error)) from error
    return Samples(_sample(sample.labels, sample.value) for sample in samples)


def _sample(labels: object, value: float) -> Pointer:
    entries = {str(name): str(text) for name, text in dict(labels).items()}  # type: ignore[call-overload]
    fields = {"Labels": GoMap(entries, "string"), "Value": float(value)}
    return Pointer(Struct("template.sample", fields, frozenset(["Value"])))


def _first(samples: Samples | None) -> Pointer:
    if not samples:
        raise CallFailed("first() called on vector with no elements")
    return samples[0]


def _field(sample: Pointer | None, name: str) -> object:
    if sample is None or not isinstance(sample.target, Struct):
        raise CallFailed("runtime error: invalid memory address or nil pointer dereference")
    return sample.target.fields[name]


def _label(name: str, sample: Pointer | None) -> str:
    labels = _field(sample, "Labels")
    return str(labels.get(name, "")) if isinstance(labels, GoMap) else ""


def _sort_by_label(name: str, samples: Samples | None) -> Samples:
    if samples is None:
        return Samples()
    # In place, as in Prometheus: a variable that holds them sees the order too.
    samples.sort(key=lambda sample: _label(name, sample))
    return samples


def _link(tab: int) -> Callable[[str], str]:
    return lambda expression: f"/graph?g0.expr={query_escape(expression)}&g0.tab={tab}"


def _on_text(call: Callable[[str], object]) -> Function:
    return Function(("string",), call)


def _on_any(call: Callable[[object], object]) -> Function:
    return Function((ANY,), call)


_FUNCTIONS: dict[str, Function] = {
    "first": Function((SAMPLES,), _first),
    "label": Function(("string", SAMPLE), _label),
    "value": Function((SAMPLE,), lambda sample: _field(sample, "Value")),
    "strvalue": Function((SAMPLE,), lambda sample: _label("__value__", sample)),
    "sortByLabel": Function(("string", SAMPLES), _sort_by_label),
    "args": Function(
        (ANY,), lambda *values: GoMap({f"arg{i}": v for i, v in enumerate(values)}, ANY), variadic=True
    ),
    "reReplaceAll": Function(("string", "string", "string"), replace_all),
    "match": Function(("string", "string"), matches),
    "safeHtml": _on_text(Html),
    "title": _on_text(title),
    "toUpper": _on_text(to_upper),
    "toLower": _on_text(to_lower),
    "graphLink": _on_text(_link(0)),
    "tableLink": _on_text(_link(1)),
    "stripPort": _on_text(strip_port),
    "stripDomain": _on_text(strip_domain),
    "parseDuration": _on_text(parse_duration),
    "urlQueryEscape": _on_text(query_escape),
    "humanize": _on_any(humanize),
    "humanize1024": _on_any(humanize_1024),
    "humanizeDuration": _on_any(humanize_duration),
    "humanizePercentage": _on_any(humanize_percentage),
    "humanizeTimestamp": _on_any(humanize_timestamp),
    "toTime": _on_any(to_time),
    "toDuration": _on_any(to_duration),
}

PROMETHEUS_NAMES = frozenset(_FUNCTIONS) | {"query", "now", "externalURL", "pathPrefix"}
"""All functions of Prometheus 3; `tmpl` is only for consoles and therefore unknown here, as it is there."""
