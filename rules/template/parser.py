"""Reads a template's tokens into nodes, by the grammar of Go's text/template."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from rules.template import literals
from rules.template.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Invocation,
    Jump,
    Literal,
    Operand,
    Pipeline,
    Statement,
    Text,
    Variable,
)
from rules.template.quoting import quote
from rules.template.tokens import Token, tokens_of

DEEPEST = 60
"""How deep parentheses and control structures may nest."""


class ParseError(Exception):
    """What does not parse, at which character of the whole text, on which line by Go's count."""

    def __init__(self, message: str, position: int, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.line = line


def parse_tree(name: str, text: str, functions: Container[str]) -> dict[str, list[Statement]]:
    """Return the statements of each template that the text defines; the text itself is the one called `name`.

    Raises ParseError.
    """
    parser = _Parser(text, functions)
    definitions: dict[str, list[Statement]] = {}
    body = parser.whole(definitions)
    parser.define(definitions, name, body)
    return definitions


_OPERANDS = frozenset(
    ["bool", "character", "complex", "dot", "field", "identifier", "number", "nil", "string", "variable", "("]
)
_CONSTANT = "non executable command in pipeline stage"


@dataclass
class _Ending:
    """What ended a list of statements: `end`, `else`, or an `else` with another `if` or `with` behind."""

    word: str
    follows: str = ""

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"


class _Parser:
    def __init__(self, text: str, functions: Container[str]) -> None:
        self._tokens = tokens_of(text)
        self._functions = functions
        self._next = 0
        self._seen = 0
        self._variables = ["$"]
        self._ranges = 0
        self._depth = 0
        self._action_line = 0

    def whole(self, definitions: dict[str, list[Statement]]) -> list[Statement]:
        self._definitions = definitions
        statements: list[Statement] = []
        while self._peek().kind != "EOF":
            if self._at_definition():
                self._definition()
                continue
            statement = self._statement()
            if isinstance(statement, _Ending):
                self._fail(f"unexpected {statement}")
            statements.append(statement)
        return statements

    def define(self, definitions: dict[str, list[Statement]], name: str, body: list[Statement]) -> None:
        known = definitions.get(name)
        if known is None or _is_empty(known):
            definitions[name] = body
        elif not _is_empty(body):
            self._fail(f"template: multiple definition of template {quote(name)}")

    # Tokens.

    def _take(self) -> Token:
        token = self._tokens[min(self._next, len(self._tokens) - 1)]
        self._seen = max(self._seen, min(self._next, len(self._tokens) - 1))
        self._next += 1
        return token

    def _peek(self) -> Token:
        token = self._take()
        self._next -= 1
        return token

    def _take_word(self) -> Token:
        while True:
            token = self._take()
            if token.kind != "space":
                return token

    def _peek_word(self) -> Token:
        token = self._take_word()
        self._next -= 1
        return token

    def _expect(self, kind: str, context: str) -> Token:
        token = self._take_word()
        if token.kind != kind:
            self._unexpected(token, context)
        return token

    def _unexpected(self, token: Token, context: str) -> None:
        if token.kind != "error":
            self._fail(f"unexpected {token} in {context}", token)
        extra = ""
        if self._action_line not in (0, token.line):
            place = " started" if token.text.endswith(" action") else " in action started"
            extra = f"{place} at {{name}}:{self._action_line}"
        self._fail(token.text + extra, token)

    def _fail(self, message: str, token: Token | None = None) -> None:
        newest = self._tokens[self._seen]
        raise ParseError(message, (token or newest).position, newest.line)

    # Statements.

    def _at_definition(self) -> bool:
        start = self._next
        found = self._take().kind == "{{" and self._take_word().kind == "define"
        if not found:
            self._next = start
        return found

    def _definition(self) -> None:
        context = "define clause"
        token = self._take_word()
        if token.kind != "string":
            self._unexpected(token, context)
        name = self._unquoted(token)
        self._expect("}}", context)
        outer, self._variables, ranges, self._ranges = self._variables, ["$"], self._ranges, 0
        body, ending = self._list()
        self._variables, self._ranges = outer, ranges
        if ending.word != "end":
            self._fail(f"unexpected {ending} in {context}")
        self.define(self._definitions, name, body)

    def _list(self) -> tuple[list[Statement], _Ending]:
        statements: list[Statement] = []
        while self._peek_word().kind != "EOF":
            statement = self._statement()
            if isinstance(statement, _Ending):
                return statements, statement
            statements.append(statement)
        self._fail("unexpected EOF")
        raise AssertionError

    def _statement(self) -> Statement | _Ending:
        token = self._take_word()
        if token.kind == "text":
            return Text(token.position, token.text)
        if token.kind != "{{":
            self._unexpected(token, "input")
        self._action_line = token.line
        try:
            return self._action()
        finally:
            self._action_line = 0

    def _action(self) -> Statement | _Ending:
        token = self._take_word()
        if token.kind in ("if", "with", "range"):
            return self._branch(token.kind)
        if token.kind in ("break", "continue"):
            return self._jump(token)
        if token.kind == "else":
            return self._else()
        if token.kind == "end":
            self._expect("}}", "end")
            return _Ending("end")
        if token.kind == "template":
            return self._invocation()
        if token.kind == "block":
            return self._block()
        self._next -= 1
        return Action(token.position, self._pipeline("command", "}}"))

    def _branch(self, word: str) -> Branch:
        self._deeper()
        known = len(self._variables)
        pipeline = self._pipeline(word, "}}")
        self._ranges += word == "range"
        body, ending = self._list()
        self._ranges -= word == "range"
        otherwise: list[Statement] | None = None
        if ending.word == "else":
            otherwise = self._otherwise(word, ending)
        del self._variables[known:]
        self._depth -= 1
        return Branch(pipeline.position, word, pipeline, body, otherwise)

    def _otherwise(self, word: str, ending: _Ending) -> list[Statement]:
        if ending.follows and ending.follows == word:
            self._take_word()
            return [self._branch(word)]
        otherwise, last = self._list()
        if last.word != "end":
            self._fail(f"expected end; found {last}")
        return otherwise

    def _else(self) -> _Ending:
        token = self._peek_word()
        if token.kind in ("if", "with"):
            return _Ending("else", token.kind)
        self._expect("}}", "else")
        return _Ending("else")

    def _jump(self, token: Token) -> Jump:
        word = f"{{{{{token.kind}}}}}"
        self._expect("}}", word)
        if not self._ranges:
            self._fail(f"{word} outside {{{{range}}}}")
        return Jump(token.position, token.kind)

    def _invocation(self) -> Invocation:
        token, name = self._template_name("template clause")
        pipeline = None
        if self._take_word().kind != "}}":
            self._next -= 1
            pipeline = self._pipeline("template clause", "}}")
        return Invocation(token.position, name, quote(name), pipeline)

    def _block(self) -> Invocation:
        self._deeper()
        token, name = self._template_name("block clause")
        pipeline = self._pipeline("block clause", "}}")
        outer, self._variables, ranges, self._ranges = self._variables, ["$"], self._ranges, 0
        body, ending = self._list()
        self._variables, self._ranges = outer, ranges
        if ending.word != "end":
            self._fail(f"unexpected {ending} in block clause")
        self.define(self._definitions, name, body)
        self._depth -= 1
        return Invocation(token.position, name, quote(name), pipeline)

    def _template_name(self, context: str) -> tuple[Token, str]:
        token = self._take_word()
        if token.kind != "string":
            self._unexpected(token, context)
        return token, self._unquoted(token)

    # Pipelines.

    def _pipeline(self, context: str, end: str) -> Pipeline:
        pipeline = Pipeline(self._peek_word().position)
        self._declarations(pipeline, context)
        while True:
            token = self._take_word()
            if token.kind == end:
                self._check(pipeline, context)
                return pipeline
            if token.kind not in _OPERANDS:
                self._unexpected(token, context)
            self._next -= 1
            pipeline.commands.append(self._command())

    def _declarations(self, pipeline: Pipeline, context: str) -> None:
        while self._peek_word().kind == "variable":
            start = self._next
            token = self._take()
            after = self._peek_word()
            if after.kind in ("declare", "assign"):
                pipeline.assigns = after.kind == "assign"
                self._next += 1
                self._declare(pipeline, token)
                return
            if after.kind != "char" or after.text != ",":
                self._next = start
                return
            self._next += 1
            self._declare(pipeline, token)
            if context != "range" or len(pipeline.variables) > 1:
                self._fail(f"too many declarations in {context}")
            if self._peek_word().kind not in ("variable", "}}", ")"):
                self._fail("range can only initialize variables")

    def _declare(self, pipeline: Pipeline, token: Token) -> None:
        pipeline.variables.append(Variable(token.position, [token.text]))
        self._variables.append(token.text)

    def _check(self, pipeline: Pipeline, context: str) -> None:
        if not pipeline.commands:
            self._fail(f"missing value for {context}")
        for stage, command in enumerate(pipeline.commands[1:], 2):
            if type(command.words[0]).__name__ in ("Literal", "Number", "Dot"):
                self._fail(f"{_CONSTANT} {stage}")

    def _command(self) -> Command:
        command = Command(self._peek_word().position)
        while True:
            self._peek_word()
            operand = self._operand()
            if operand is not None:
                command.words.append(operand)
            token = self._take()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self._next -= 1
            elif token.kind != "pipe":
                self._unexpected(token, "operand")
            if not command.words:
                self._fail("empty command")
            return command

    def _operand(self) -> Operand | None:
        operand = self._term()
        first = self._peek()
        if operand is None or first.kind != "field":
            return operand
        names: list[str] = []
        while self._peek().kind == "field":
            names.append(self._take().text[1:])
        if isinstance(operand, Field):
            return Field(first.position, operand.names + names)
        if isinstance(operand, Variable):
            return Variable(first.position, operand.names + names)
        if isinstance(operand, Identifier | Pipeline):
            return Chain(first.position, operand, names)
        self._fail(f"unexpected . after term {quote(str(operand))}")
        raise AssertionError

    def _term(self) -> Operand | None:
        token = self._take_word()
        kind, position, text = token.kind, token.position, token.text
        if kind == "identifier":
            return self._identifier(token)
        if kind == "variable":
            return self._variable(token)
        if kind in ("character", "complex", "number", "string"):
            return self._constant(token)
        if kind == "(":
            self._deeper()
            pipeline = self._pipeline("parenthesized pipeline", ")")
            self._depth -= 1
            return pipeline
        simple: dict[str, Operand] = {
            "dot": Dot(position),
            "field": Field(position, [text[1:]]),
            "nil": Literal(position, None, "nil"),
            "bool": Literal(position, text == "true", text),
        }
        if kind not in simple:
            self._next -= 1
        return simple.get(kind)

    def _identifier(self, token: Token) -> Identifier:
        if token.text not in self._functions:
            self._fail(f"function {quote(token.text)} not defined", token)
        return Identifier(token.position, token.text)

    def _variable(self, token: Token) -> Variable:
        if token.text not in self._variables:
            self._fail(f"undefined variable {quote(token.text)}", token)
        return Variable(token.position, [token.text])

    def _constant(self, token: Token) -> Operand:
        try:
            if token.kind == "string":
                return Literal(token.position, literals.unquote(token.text), token.text)
            return literals.number(token.position, token.text, token.kind)
        except literals.BadLiteral as error:
            self._fail(str(error), token)
            raise AssertionError from error

    def _unquoted(self, token: Token) -> str:
        literal = self._constant(token)
        return str(literal.value) if isinstance(literal, Literal) else ""

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"nested deeper than {DEEPEST} levels")


def _is_empty(body: list[Statement]) -> bool:
    return all(isinstance(statement, Text) and not statement.text.strip() for statement in body)
