"""Ordinary command lines, read without typer: flags that exist, each with a value that fits, and the arguments.

Whatever is not that (a mistake, --help, bundled flags, kinds of parameter that are not told here) is left to typer,
which has the words for it. Both read the same declarations; a test compares what they make of command lines.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from vidsearch.cli.late import Declared, declared
from vidsearch.cli.overview import NotPlain

_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_FACTS = {"min", "max", "envvar", "metavar", "help", "callback", "parser", "autocompletion"}


class _Parameter:
    """One parameter of a command: its flags, and what makes a value of a text."""

    def __init__(self, name: str, kind: Any, declaration: Declared | None, default: Any) -> None:
        if declaration is None or not declaration.facts.keys() <= _FACTS:
            raise NotPlain
        self.name, self.default, self.facts = name, default, declaration.facts
        self.is_argument = declaration.kind == "Argument"
        self.flags = declaration.flags
        if any("/" in flag or not flag.startswith("-") for flag in self.flags) or not (self.is_argument or self.flags):
            raise NotPlain
        kinds = [one for one in get_args(kind) if one is not NoneType] if _is_union(kind) else [kind]
        self.is_list = get_origin(kinds[0]) is list
        self.kind = get_args(kinds[0])[0] if self.is_list else kinds[0]
        known = self.kind in (bool, str, int, float, Path) or get_origin(self.kind) is Literal
        if len(kinds) != 1 or not (known or (self.kind is Any and "parser" in self.facts)):
            raise NotPlain
        if self.is_argument and (self.kind is not str or declaration.facts.keys() & {"min", "envvar"}):
            raise NotPlain

    def value(self, text: str) -> Any:
        """What a text stands for; NotPlain if it does not fit."""
        value = self._read(text)
        if isinstance(value, int | float):
            least, most = self.facts.get("min"), self.facts.get("max")
            if (least is not None and value < least) or (most is not None and value > most):
                raise NotPlain
        return value

    def _read(self, text: str) -> Any:
        if "parser" in self.facts:
            return self.facts["parser"](text)
        if self.kind in (str, Path):
            return self.kind(text)
        if get_origin(self.kind) is Literal and text in get_args(self.kind):
            return text
        if self.kind is int and _INTEGER.fullmatch(text):
            return int(text)
        if self.kind is float and _NUMBER.fullmatch(text):
            return float(text)
        raise NotPlain

    def of_environment(self) -> Any:
        """The value where the command line gives none."""
        name = self.facts.get("envvar")
        given = os.environ.get(name) if isinstance(name, str) else None
        if given:
            if self.is_list or self.kind is bool:
                raise NotPlain
            return self.value(given)
        if self.default is inspect.Parameter.empty:
            raise NotPlain
        return self._read(self.default) if "parser" in self.facts and isinstance(self.default, str) else self.default

    def finished(self, value: Any) -> Any:
        callback = self.facts.get("callback")
        if callback is None:
            return value
        if len(inspect.signature(callback).parameters) != 1:
            raise NotPlain
        return callback(value)


def read(function: Callable[..., Any], arguments: Sequence[str]) -> dict[str, Any]:
    """The values of a command's parameters, by name. Raises NotPlain, or what a parser or a callback raises."""
    parameters = [_Parameter(name, *told) for name, told in declared(function).items()]
    by_flag = {flag: parameter for parameter in parameters for flag in parameter.flags}
    texts: dict[str, list[Any]] = {}
    left = list(reversed(arguments))
    positional: list[str] = []
    while left:
        word = left.pop()
        if word == "--":
            positional += reversed(left)
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        flag, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
        if flag not in by_flag:
            raise NotPlain
        parameter = by_flag[flag]
        if parameter.kind is bool:
            if equals:
                raise NotPlain
            texts[parameter.name] = [True]
            continue
        if not equals:
            if not left or left[-1].startswith("-"):
                raise NotPlain
            text = left.pop()
        texts.setdefault(parameter.name, []).append(parameter.value(text))
    places = [parameter for parameter in parameters if parameter.is_argument]
    for place in places:
        if place.is_list and place is places[-1]:
            if positional:
                texts[place.name] = [place.value(text) for text in positional]
            positional = []
        elif place.is_list or not positional:
            raise NotPlain
        else:
            texts[place.name] = [place.value(positional.pop(0))]
    if positional:
        raise NotPlain
    return {
        parameter.name: parameter.finished(_value(parameter, texts.get(parameter.name))) for parameter in parameters
    }


def _value(parameter: _Parameter, given: list[Any] | None) -> Any:
    if given is None:
        return parameter.of_environment()
    return given if parameter.is_list else given[-1]


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType)
