"""What is wrong with a template, or went wrong while it was expanded, and where."""

from __future__ import annotations


class TemplateError(Exception):
    """A template does not parse, or cannot be expanded.

    `message` is in Go's words, without a place. `line` counts from 1 and `column` from 1, in characters of
    the text that was given to `parse`. `report` is the whole sentence as Go's text/template says it, with the
    place as Go counts it: in bytes, after the prelude that Prometheus puts before each text.
    """

    def __init__(self, message: str, line: int, column: int, report: str = "") -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.report = report or message


class CallFailed(Exception):
    """A function of the template refused its arguments; the message is Go's."""


class OverLimit(Exception):
    """The template asks for more than a text in an alert may take."""
