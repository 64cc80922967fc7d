"""A template from its text to what it says: parsing, expanding, and where an error is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.template.context import TemplateContext
from rules.template.cursor import ParseError
from rules.template.errors import TemplateError
from rules.template.evaluator import RunError
from rules.template.go_functions import GO_FUNCTIONS
from rules.template.interpreter import run
from rules.template.nodes import Statement
from rules.template.parser import parse_tree
from rules.template.prometheus_functions import PROMETHEUS_NAMES, prometheus_functions
from rules.template.quoting import printable, quote
from rules.template.values import GoMap, Struct

LONGEST_TEMPLATE = 64 << 10
"""How long the text of a template may be, in bytes."""


@dataclass(frozen=True)
class Template:
    """A parsed template; it has no state and may be expanded any number of times."""

    text: str
    name: str
    definitions: Mapping[str, list[Statement]] = field(repr=False, compare=False)

    def expand(self, context: TemplateContext) -> str:
        """Return the text for these labels and this value. Raises TemplateError."""
        functions = {**GO_FUNCTIONS, **prometheus_functions(context)}
        try:
            return printable(run(self.name, self.definitions, functions, _data(context)))
        except RunError as error:
            raise self._explained(error) from None
        except RecursionError:
            raise TemplateError("the template is nested too deeply", 1, 1) from None

    def _explained(self, error: RunError) -> TemplateError:
        whole = _PRELUDE + self.text
        before = whole[: error.node.position]
        line = before.count("\n") + 1
        column = len(before.rpartition("\n")[2].encode())
        report = (
            f"template: {self.name}:{line}:{column}: executing {quote(error.template)} "
            f"at <{error.node}>: {error.message}"
        )
        return TemplateError(error.message, *_place(self.text, error.node.position), report)


def parse(text: str, name: str = "") -> Template:
    """Read the text of an annotation or a label of the alert called `name`.

    The variables $labels, $externalLabels, $externalURL and $value are there, as in Prometheus. Raises
    TemplateError for what does not parse, names an unknown function or variable, or is too long.
    """
    full_name = f"__alert_{name}"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise TemplateError(
            "the text is not valid UTF-8", *_place(text, error.start + len(_PRELUDE))
        ) from None
    if size > LONGEST_TEMPLATE:
        raise TemplateError(f"the template is longer than {LONGEST_TEMPLATE} bytes", 1, 1)
    try:
        definitions = parse_tree(full_name, _PRELUDE + text, _NAMES)
    except ParseError as error:
        message = error.message.replace("{name}", full_name)
        report = f"template: {full_name}:{error.line}: {message}"
        raise TemplateError(message, *_place(text, error.position), report) from None
    except RecursionError:
        raise TemplateError("the template is nested too deeply", 1, 1) from None
    return Template(text, full_name, definitions)


def expand_or_say(template: Template, context: TemplateContext) -> str:
    """Return the text, or what Prometheus writes in its place when the template fails."""
    try:
        return template.expand(context)
    except TemplateError as error:
        said = f"error executing template {template.name}: {error.report}"
        return f"<error expanding template: {printable(said)}>"


_PRELUDE = (
    "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}"
    "{{$externalURL := .ExternalURL}}{{$value := .Value}}"
)
_NAMES = frozenset(GO_FUNCTIONS) | PROMETHEUS_NAMES
_DATA_TYPE = (
    "struct { Labels map[string]string; ExternalLabels map[string]string; "
    "ExternalURL string; Value interface {} }"
)


def _data(context: TemplateContext) -> Struct:
    fields = {
        "Labels": GoMap(context.labels, "string"),
        "ExternalLabels": GoMap(context.external_labels, "string"),
        "ExternalURL": context.external_url,
        "Value": float(context.value),
    }
    return Struct(_DATA_TYPE, fields, frozenset(["Value"]))


def _place(text: str, position: int) -> tuple[int, int]:
    """Return line and column, from 1, of a place in the prelude and the text together."""
    before = text[: max(0, position - len(_PRELUDE))]
    return before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
