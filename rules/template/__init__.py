"""The templates in annotations and labels of rules, expanded as Prometheus 3 expands them.

A template is parsed once, when its rule is loaded, and expanded for each alert:

    template = parse("{{ $labels.target }} is at {{ $value | humanizePercentage }}", "DiskFull")
    text = expand_or_say(template, TemplateContext(labels={"target": "db1"}, value=0.93))

The language is Go's text/template with Prometheus' functions. There is no clock and no input or output: the
time, the labels and a function that queries come with the context. What one expansion may take is bounded.
"""

from __future__ import annotations

from rules.template.context import QuerySample, TemplateContext
from rules.template.errors import TemplateError
from rules.template.text import LONGEST_TEMPLATE, Template, expand_or_say, parse

__all__ = [
    "LONGEST_TEMPLATE",
    "QuerySample",
    "Template",
    "TemplateContext",
    "TemplateError",
    "expand_or_say",
    "parse",
]
