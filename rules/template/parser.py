"""Reads a template's tokens into statements, by the grammar of Go's text/template."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from rules.template.nodes import Action, Branch, Invocation, Jump, Statement, Text
from rules.template.pipelines import PipelineParser
from rules.template.quoting import quote
from rules.template.tokens import Token


def parse_tree(name: str, text: str, functions: Container[str]) -> dict[str, list[Statement]]:
    """Return the statements of each template that the text defines; the text itself is the one called `name`.

    Raises ParseError.
    """
    return _Parser(text, functions).whole(name)


@dataclass
class _Ending:
    """What ended a list of statements: `end`, `else`, or an `else` with another `if` or `with` behind."""

    word: str
    follows: str = ""

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"


class _Parser(PipelineParser):
    def __init__(self, text: str, functions: Container[str]) -> None:
        super().__init__(text, functions)
        self._definitions: dict[str, list[Statement]] = {}
        self._ranges = 0

    def whole(self, name: str) -> dict[str, list[Statement]]:
        statements: list[Statement] = []
        while self.peek().kind != "EOF":
            if self._at_definition():
                self._definition()
                continue
            statement = self._statement()
            if isinstance(statement, _Ending):
                self.fail(f"unexpected {statement}")
            statements.append(statement)
        self._define(name, statements)
        return self._definitions

    def _define(self, name: str, body: list[Statement]) -> None:
        known = self._definitions.get(name)
        if known is None or _is_empty(known):
            self._definitions[name] = body
        elif not _is_empty(body):
            self.fail(f"template: multiple definition of template {quote(name)}")

    def _at_definition(self) -> bool:
        start = self.place
        found = self.take().kind == "{{" and self.take_word().kind == "define"
        if not found:
            self.place = start
        return found

    def _definition(self) -> None:
        context = "define clause"
        token = self.take_word()
        if token.kind != "string":
            self.unexpected(token, context)
        name = self.unquoted(token)
        self.expect("}}", context)
        self._body_of(name, context)

    def _list(self) -> tuple[list[Statement], _Ending]:
        statements: list[Statement] = []
        while True:
            if self.peek_word().kind == "EOF":
                self.fail("unexpected EOF")
            statement = self._statement()
            if isinstance(statement, _Ending):
                return statements, statement
            statements.append(statement)

    def _statement(self) -> Statement | _Ending:
        token = self.take_word()
        if token.kind == "text":
            return Text(token.position, token.text)
        if token.kind != "{{":
            self.unexpected(token, "input")
        self.action_line = token.line
        try:
            return self._action()
        finally:
            self.action_line = 0

    def _action(self) -> Statement | _Ending:
        token = self.take_word()
        kind = token.kind
        if kind in ("if", "with", "range"):
            return self._branch(kind)
        if kind in ("break", "continue"):
            return self._jump(token)
        if kind in ("template", "block"):
            return self._invocation(kind)
        if kind in ("else", "end"):
            return self._ending(kind)
        self.place -= 1
        return Action(token.position, self.pipeline("command", "}}"))

    def _branch(self, word: str) -> Branch:
        self.deeper()
        known = len(self.known)
        pipeline = self.pipeline(word, "}}")
        self._ranges += word == "range"
        body, ending = self._list()
        self._ranges -= word == "range"
        otherwise: list[Statement] | None = None
        if ending.word == "else":
            otherwise = self._otherwise(word, ending)
        del self.known[known:]
        self.depth -= 1
        return Branch(pipeline.position, word, pipeline, body, otherwise)

    def _otherwise(self, word: str, ending: _Ending) -> list[Statement]:
        if ending.follows and ending.follows == word:
            self.take_word()
            return [self._branch(word)]
        otherwise, last = self._list()
        if last.word != "end":
            self.fail(f"expected end; found {last}")
        return otherwise

    def _ending(self, word: str) -> _Ending:
        token = self.peek_word()
        if word == "else" and token.kind in ("if", "with"):
            return _Ending("else", token.kind)
        self.expect("}}", word)
        return _Ending(word)

    def _jump(self, token: Token) -> Jump:
        word = f"{{{{{token.kind}}}}}"
        self.expect("}}", word)
        if not self._ranges:
            self.fail(f"{word} outside {{{{range}}}}")
        return Jump(token.position, token.kind)

    def _invocation(self, word: str) -> Invocation:
        context = f"{word} clause"
        token = self.take_word()
        if token.kind != "string":
            self.unexpected(token, context)
        name = self.unquoted(token)
        pipeline = None
        if word == "block" or self.peek_word().kind != "}}":
            pipeline = self.pipeline(context, "}}")
        else:
            self.take_word()
        if word == "block":
            self._body_of(name, context)
        return Invocation(token.position, name, quote(name), pipeline)

    def _body_of(self, name: str, context: str) -> None:
        """Read what a template consists of; it sees no variables of the text around it."""
        self.deeper()
        outer = self.known, self._ranges
        self.known, self._ranges = ["$"], 0
        body, ending = self._list()
        self.known, self._ranges = outer
        if ending.word != "end":
            self.fail(f"unexpected {ending} in {context}")
        self._define(name, body)
        self.depth -= 1


def _is_empty(body: list[Statement]) -> bool:
    return all(isinstance(statement, Text) and not statement.text.strip() for statement in body)
