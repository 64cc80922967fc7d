"""Evaluates pipelines: variables, fields and functions, with Go's rules and errors, within limits."""

from __future__ import annotations

from collections.abc import Mapping

from rules.template.errors import CallFailed, OverLimit
from rules.template.nodes import (
    Chain,
    Command,
    Dot,
    Field,
    Identifier,
    Literal,
    Node,
    Operand,
    Pipeline,
    Variable,
)
from rules.template.reading import read_field
from rules.template.signature import VALUE, Function, accept, accept_constant, accept_nil, constant
from rules.template.values import NO_VALUE, is_true

MOST_STEPS = 50_000
"""How many nodes a template may evaluate, and runs of loops' bodies, in one expansion."""

MOST_CHARACTERS = 8 << 20
"""How many characters, entries of maps and variables one expansion may go through in all."""

DEEPEST = 100
"""How deep templates, control structures and parentheses may be in each other while they run."""


class RunError(Exception):
    """What went wrong, at which node, in which of the templates."""

    def __init__(self, message: str, node: Node, template: str) -> None:
        super().__init__(message)
        self.message = message
        self.node = node
        self.template = template


class Evaluator:
    """The state of one expansion: variables, the node in work, and what was used up."""

    def __init__(self, name: str, functions: Mapping[str, Function], data: object) -> None:
        self.template = name
        self.variables: list[tuple[str, object]] = [("$", data)]
        self.depth = 0
        self._functions = functions
        self._node: Node = Dot(0)
        self._steps = 0
        self._characters = 0

    def pipeline(self, pipeline: Pipeline, dot: object) -> object:
        """Evaluate a pipeline, and give its variables their value."""
        self.at(pipeline)
        value: object = _NO_FINAL
        for command in pipeline.commands:
            value = self._command(command, dot, value)
            if value is None:
                value = NO_VALUE
        for variable in pipeline.variables:
            if pipeline.assigns:
                self.assign(str(variable), value)
            else:
                self.variables.append((str(variable), value))
        return value

    def assign(self, name: str, value: object) -> None:
        """Give a variable that is there a new value."""
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self.variables[place] = (name, value)
                return
        raise self.error(f"undefined variable: {name}")

    def _command(self, command: Command, dot: object, final: object) -> object:
        first, *rest = command.words
        if isinstance(first, Identifier):
            return self._function(first, command, dot, (rest, final))
        if isinstance(first, Field | Variable | Chain):
            return self._reading(first, dot, (rest, final))
        if isinstance(first, Pipeline):
            self._no_arguments(first, rest, final)
            return self._nested(first, dot)
        self.at(first)
        self._no_arguments(first, rest, final)
        if isinstance(first, Dot):
            return dot
        if isinstance(first, Literal) and first.value is None:
            raise self.error("nil is not a command")
        return constant(first)

    def _no_arguments(self, first: Operand, rest: list[Operand], final: object) -> None:
        if rest or final is not _NO_FINAL:
            raise self.error(f"can't give argument to non-function {first}")

    def _nested(self, pipeline: Pipeline, dot: object) -> object:
        self.deeper()
        value = self.pipeline(pipeline, dot)
        self.depth -= 1
        return value

    def _reading(self, node: Operand, dot: object, given: tuple[list[Operand], object]) -> object:
        """Evaluate `.A.B`, `$x.A.B` or `(pipeline).A.B`; the last name may be a method with arguments."""
        self.at(node)
        names: list[str] = []
        receiver = dot
        if isinstance(node, Field):
            names = node.names
        elif isinstance(node, Variable):
            receiver, names = self._value_of(node.names[0]), node.names[1:]
            if not names:
                self._no_arguments(node, *given)
                return receiver
        elif isinstance(node, Chain):
            receiver, names = self._argument(node.start, VALUE, dot), node.names
        declared = ""
        for place, name in enumerate(names):
            last = place == len(names) - 1
            rest, final = given if last else ([], _NO_FINAL)
            found = read_field(receiver, name, bool(rest) or final is not _NO_FINAL, declared)
            if isinstance(found, Function):
                receiver, declared = self._call(found, name, node, dot, (rest, final)), ""
            else:
                receiver, declared = found
        return receiver

    def _value_of(self, name: str) -> object:
        self.spend(len(self.variables))
        for known, value in reversed(self.variables):
            if known == name:
                return value
        raise self.error(f"undefined variable: {name}")

    def _function(
        self, node: Identifier, whole: Node, dot: object, given: tuple[list[Operand], object]
    ) -> object:
        self.at(node)
        function = self._functions[node.name]
        if node.name in ("and", "or"):
            function.check_count(node.name, len(given[0]) + (given[1] is not _NO_FINAL), len(given[0]))
            return self._logic(node.name, dot, given)
        return self._call(function, node.name, whole, dot, given)

    def _logic(self, name: str, dot: object, given: tuple[list[Operand], object]) -> object:
        """Evaluate `and` and `or`, which stop at the first argument that decides."""
        words, final = given
        value: object = NO_VALUE
        for word in words:
            value = self._argument(word, VALUE, dot)
            if is_true(value) == (name == "or"):
                return value
        return value if final is _NO_FINAL else accept(final, VALUE)

    def _call(
        self, function: Function, name: str, node: Node, dot: object, given: tuple[list[Operand], object]
    ) -> object:
        words, final = given
        count = len(words) + (final is not _NO_FINAL)
        function.check_count(name, count, len(words))
        values = [self._argument(word, function.parameter(place), dot) for place, word in enumerate(words)]
        if final is not _NO_FINAL:
            values.append(accept(final, function.parameter(count - 1)))
        try:
            result = function.call(*values)
        except CallFailed as error:
            self.at(node)
            raise CallFailed(f"error calling {name}: {error}") from None
        self.spend(sum(len(value) for value in (*values, result) if isinstance(value, str)))
        return result

    def _argument(self, node: Operand, wanted: str, dot: object) -> object:
        self.at(node)
        if isinstance(node, Dot):
            return accept(dot, wanted)
        if isinstance(node, Literal) and node.value is None:
            return accept_nil(wanted)
        if isinstance(node, Field | Variable | Chain):
            return accept(self._reading(node, dot, ([], _NO_FINAL)), wanted)
        if isinstance(node, Pipeline):
            return accept(self._nested(node, dot), wanted)
        if isinstance(node, Identifier):
            return accept(self._function(node, node, dot, ([], _NO_FINAL)), wanted)
        return accept_constant(node, wanted)

    def at(self, node: Node) -> None:
        """Note which node is evaluated, for errors."""
        self._node = node
        self.step()

    def step(self) -> None:
        """Count one step."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise OverLimit(f"the template takes more than {MOST_STEPS} steps")

    def deeper(self) -> None:
        """Note that something opens within something."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise OverLimit(f"exceeded maximum template depth ({DEEPEST})")

    def spend(self, size: int) -> None:
        """Count what is gone through."""
        self._characters += size
        if self._characters > MOST_CHARACTERS:
            raise OverLimit(f"the template goes through more than {MOST_CHARACTERS} characters")

    def error(self, message: str) -> RunError:
        """Return an error at the node that is evaluated."""
        return RunError(message, self._node, self.template)


_NO_FINAL = object()
"""Stands for: nothing comes from the pipeline."""
