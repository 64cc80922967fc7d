"""Reads pipelines, commands and operands, by the grammar of Go's text/template."""

from __future__ import annotations

from collections.abc import Container

from rules.template import literals
from rules.template.cursor import Cursor
from rules.template.nodes import (
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Literal,
    Number,
    Operand,
    Pipeline,
    Variable,
)
from rules.template.quoting import quote
from rules.template.tokens import Token

DEEPEST = 60
"""How deep parentheses and control structures may nest."""

_OPERANDS = frozenset(
    ["bool", "character", "complex", "dot", "field", "identifier", "number", "nil", "string", "variable", "("]
)
_CONSTANT = "non executable command in pipeline stage"


class PipelineParser(Cursor):
    """Reads pipelines; knows the variables and the functions that there are."""

    def __init__(self, text: str, functions: Container[str]) -> None:
        super().__init__(text)
        self.functions = functions
        self.known = ["$"]
        self.depth = 0

    def pipeline(self, context: str, end: str) -> Pipeline:
        """Read a pipeline up to the token that ends it."""
        pipeline = Pipeline(self.peek_word().position)
        self._declarations(pipeline, context)
        while True:
            token = self.take_word()
            if token.kind == end:
                self._check(pipeline, context)
                return pipeline
            if token.kind not in _OPERANDS:
                self.unexpected(token, context)
            self.place -= 1
            pipeline.commands.append(self._command())

    def _declarations(self, pipeline: Pipeline, context: str) -> None:
        while self.peek_word().kind == "variable":
            start = self.place
            token = self.take()
            after = self.peek_word()
            if after.kind in ("declare", "assign"):
                pipeline.assigns = after.kind == "assign"
                self.place += 1
                self._declare(pipeline, token)
                return
            if after.kind != "char" or after.text != ",":
                self.place = start
                return
            self.place += 1
            self._declare(pipeline, token)
            if context != "range" or len(pipeline.variables) > 1:
                self.fail(f"too many declarations in {context}")
            if self.peek_word().kind not in ("variable", "}}", ")"):
                self.fail("range can only initialize variables")

    def _declare(self, pipeline: Pipeline, token: Token) -> None:
        pipeline.variables.append(Variable(token.position, [token.text]))
        self.known.append(token.text)

    def _check(self, pipeline: Pipeline, context: str) -> None:
        if not pipeline.commands:
            self.fail(f"missing value for {context}")
        for stage, command in enumerate(pipeline.commands[1:], 2):
            if isinstance(command.words[0], Literal | Number | Dot):
                self.fail(f"{_CONSTANT} {stage}")

    def _command(self) -> Command:
        command = Command(self.peek_word().position)
        while True:
            self.peek_word()
            operand = self._operand()
            if operand is not None:
                command.words.append(operand)
            token = self.take()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self.place -= 1
            elif token.kind != "pipe":
                self.unexpected(token, "operand")
            if not command.words:
                self.fail("empty command")
            return command

    def _operand(self) -> Operand | None:
        operand = self._term()
        first = self.peek()
        if operand is None or first.kind != "field":
            return operand
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(self.take().text[1:])
        if isinstance(operand, Field):
            return Field(first.position, operand.names + names)
        if isinstance(operand, Variable):
            return Variable(first.position, operand.names + names)
        if not isinstance(operand, Identifier | Pipeline):
            self.fail(f"unexpected . after term {quote(str(operand))}")
        return Chain(first.position, operand, names)

    def _term(self) -> Operand | None:
        token = self.take_word()
        kind, position, text = token.kind, token.position, token.text
        if kind == "identifier":
            return self._identifier(token)
        if kind == "variable":
            return self._variable(token)
        if kind in ("character", "complex", "number", "string"):
            return self._constant(token)
        if kind == "(":
            self.deeper()
            pipeline = self.pipeline("parenthesized pipeline", ")")
            self.depth -= 1
            return pipeline
        simple: dict[str, Operand] = {
            "dot": Dot(position),
            "field": Field(position, [text[1:]]),
            "nil": Literal(position, None, "nil"),
            "bool": Literal(position, text == "true", text),
        }
        if kind not in simple:
            self.place -= 1
        return simple.get(kind)

    def _identifier(self, token: Token) -> Identifier:
        if token.text not in self.functions:
            self.fail(f"function {quote(token.text)} not defined", token)
        return Identifier(token.position, token.text)

    def _variable(self, token: Token) -> Variable:
        if token.text not in self.known:
            self.fail(f"undefined variable {quote(token.text)}", token)
        return Variable(token.position, [token.text])

    def _constant(self, token: Token) -> Operand:
        try:
            if token.kind == "string":
                return Literal(token.position, literals.unquote(token.text), token.text)
            return literals.number(token.position, token.text, token.kind)
        except literals.BadLiteral as error:
            self.fail(str(error), token)

    def unquoted(self, token: Token) -> str:
        """Return the text of a string's token."""
        literal = self._constant(token)
        return str(literal.value) if isinstance(literal, Literal) else ""

    def deeper(self) -> None:
        """Note that parentheses or a control structure open."""
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"nested deeper than {DEEPEST} levels")
