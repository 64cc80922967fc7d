"""The parsed template, as the parser makes it; each node prints itself as Go prints it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Node:
    """`position` is the index of the character in the whole text, prelude included."""

    position: int


@dataclass
class Literal(Node):
    """A string, a truth value or nil, with the text it was written as."""

    value: str | bool | None
    source: str

    def __str__(self) -> str:
        return self.source


@dataclass
class Number(Node):
    """A constant, under each of Go's types that can hold it."""

    source: str
    integer: int | None
    unsigned: int | None
    real: float

    def __str__(self) -> str:
        return self.source


@dataclass
class Dot(Node):
    """The current value."""

    def __str__(self) -> str:
        return "."


@dataclass
class Field(Node):
    """`.A.B`."""

    names: list[str]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass
class Variable(Node):
    """`$name.A.B`; the dollar sign is part of the name."""

    names: list[str]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass
class Identifier(Node):
    """A function's name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass
class Chain(Node):
    """`(pipeline).A.B` or `function.A.B`."""

    start: Operand
    names: list[str]

    def __str__(self) -> str:
        start = f"({self.start})" if isinstance(self.start, Pipeline) else str(self.start)
        return ".".join([start, *self.names])


@dataclass
class Command(Node):
    """An operand, or a function with its arguments."""

    words: list[Operand] = field(default_factory=list)

    def __str__(self) -> str:
        return " ".join(f"({word})" if isinstance(word, Pipeline) else str(word) for word in self.words)


@dataclass
class Pipeline(Node):
    """Commands, each one's result the last argument of the next, and the variables that take the last."""

    variables: list[Variable] = field(default_factory=list)
    assigns: bool = False
    commands: list[Command] = field(default_factory=list)

    def __str__(self) -> str:
        names = ", ".join(map(str, self.variables))
        # Go prints an assignment with := too.
        return (f"{names} := " if names else "") + " | ".join(map(str, self.commands))


Operand = Literal | Number | Dot | Field | Variable | Identifier | Chain | Pipeline


@dataclass
class Text(Node):
    """Text between actions."""

    text: str


@dataclass
class Action(Node):
    """`{{ pipeline }}`."""

    pipeline: Pipeline

    def __str__(self) -> str:
        return f"{{{{{self.pipeline}}}}}"


@dataclass
class Branch(Node):
    """`if`, `with` and `range`, by `word`."""

    word: str
    pipeline: Pipeline
    body: list[Statement]
    otherwise: list[Statement] | None

    def __str__(self) -> str:
        return f"{{{{{self.word} {self.pipeline}}}}}"


@dataclass
class Jump(Node):
    """`break` and `continue`, by `word`."""

    word: str

    def __str__(self) -> str:
        return f"{{{{{self.word}}}}}"


@dataclass
class Invocation(Node):
    """`{{ template "name" pipeline }}`."""

    name: str
    quoted: str
    pipeline: Pipeline | None

    def __str__(self) -> str:
        return f"{{{{template {self.quoted}{f' {self.pipeline}' if self.pipeline else ''}}}}}"


Statement = Text | Action | Branch | Jump | Invocation
