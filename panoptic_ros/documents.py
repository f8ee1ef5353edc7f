"""YAML and JSON files: read within limits, and checked against a dataclass.

Model files, training settings, descriptions and side files come from people and from the
network. Each mistake becomes a ValueError that names the file, the key and what to write;
nothing in a file can take more time or memory than the file's own size explains.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")
# The longest model file here has 2 kB; PyYAML reads about 100 kB a second.
MOST_YAML_BYTES = 1 << 18
MOST_JSON_BYTES = 1 << 24
MOST_NESTING = 32
# Nodes after every alias (*name) is written out: a few lines can stand for billions.
MOST_NODES = 100_000
# How much of a value an error repeats.
SHOWN = 80
# What PyYAML's and json's own parsers raise for a value that its tag or notation promises
# otherwise, besides their own errors (`!!bool 7` is a KeyError).
_UNREADABLE = (
    *(yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError, TypeError),
    *(OverflowError, RecursionError),
)
# What YAML 1.1 makes another number of than people mean: 0100 is 64, 1:30 is 90; and dates, which
# are names here. All are text, as in YAML 1.2 or nearly so.
_OTHER_THAN_MEANT = re.compile(r"[-+]?0[0-9_]|.*:|[0-9]{4}-")
_MEANT = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def read_yaml(file: Path) -> Any:
    """Return what a YAML file holds; an empty one is None.

    Raise FileNotFoundError; ValueError that names the file where it is not YAML, larger than
    MOST_YAML_BYTES, nested deeper than MOST_NESTING, has a key twice, or has aliases that
    stand for more than MOST_NODES.
    """
    return parse_yaml(_content(file, MOST_YAML_BYTES), str(file))


def parse_yaml(content: bytes | str, where: str) -> Any:
    """Return what YAML text holds; where: its origin, for the error. Raise as `read_yaml`."""

    def parse() -> Any:
        loader = _Loader(content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _extent(node, {}, 1)
            return loader.construct_document(node)
        finally:
            loader.dispose()

    return _parsed(parse, where, "YAML")


def read_json(file: Path, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return what a JSON file holds; a byte-order mark is passed over.

    Raise FileNotFoundError; ValueError that names the file where it is not JSON (NaN is none),
    larger than most_bytes, nested too deeply, or has a key twice.
    """
    content = _content(file, most_bytes)

    def parse() -> Any:
        # bytes: json finds the encoding and the mark itself.
        return json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)

    return _parsed(parse, str(file), "JSON")


def make(kind: Callable[..., T], content: Any, where: str) -> T:
    """Return a dataclass made from a mapping, names and types checked by its annotations.

    Known annotations: str, int, float, bool, Any, dataclasses, `X | None`, tuples, lists and
    mappings of them. where: file and keys, for the error.
    Raise ValueError for a key that is unknown, missing or of another type, and with `where`
    what the class itself raises.
    """
    entries = mapping(content, where)
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind) if f.init}  # type: ignore[arg-type]
    for key in entries:
        if key not in known:
            raise ValueError(f"{where}: unknown key {_shown(key)}; known: {', '.join(known)}")
    for name, f in known.items():
        if f.default is f.default_factory is MISSING and name not in entries:
            raise ValueError(f"{where}: {name} is missing; write {name}: {_words(hints[name])}")
    values = {key: _checked(hints[key], value, where, key) for key, value in entries.items()}
    return named(where, lambda: kind(**values))


def mapping(content: Any, where: str) -> Mapping[str, Any]:
    """Return a mapping of keys to values; raise ValueError for anything else."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, not {_shown(content)}")
    return content


def named(where: str, work: Callable[[], T]) -> T:
    """Return what `work` returns, its errors told with the place they come from."""
    try:
        return work()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


class _Loader(yaml.SafeLoader):
    """Read plain values as people mean them."""

    def resolve(self, kind: type, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        if tag in _MEANT and _OTHER_THAN_MEANT.match(value):
            return _TEXT
        return tag


def _content(file: Path, most_bytes: int) -> bytes:
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}")
    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    with file.open("rb") as opened:
        content = opened.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{file} is larger than {most_bytes} bytes; it was not read")
    return content


def _parsed(parse: Callable[[], T], where: str, language: str) -> T:
    try:
        return parse()
    except _UNREADABLE as error:
        words = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, RecursionError):
            words = "it is nested too deeply"
        elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            mark = error.problem_mark
            words = f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"
        raise ValueError(f"{where} cannot be read as {language}: {words[:400]}") from error


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Return number and levels of the nodes from a node on, aliases written out.

    known: what was found before, by the id of a node. Raise ValueError beyond the limits.
    """
    if id(node) not in known and depth <= MOST_NESTING:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
            _unique([(key.value, None) for key, _ in node.value if key.value != "<<"])
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        below = [_extent(child, known, depth + 1) for child in children]
        size = 1 + sum(size for size, _ in below)
        known[id(node)] = (size, 1 + max((levels for _, levels in below), default=0))
    # Without an end where a node holds itself.
    size, levels = known.get(id(node), (0, MOST_NESTING))
    if depth + levels > MOST_NESTING + 1:
        line = node.start_mark.line + 1
        raise ValueError(f"it is nested deeper than {MOST_NESTING} levels (line {line})")
    if size > MOST_NODES:
        raise ValueError(f"its aliases stand for more than {MOST_NODES} values")
    return size, levels


def _unique(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a mapping of pairs; raise ValueError for a key that is there twice."""
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if isinstance(key, str):
            if key in found:
                raise ValueError(f"key {_shown(key)} is there twice")
            found[key] = value
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _checked(hint: Any, value: Any, where: str, key: str) -> Any:
    """Return a value in the type of an annotation; raise ValueError that says what to write."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and NoneType in inner:
            return None
        (option,) = (option for option in inner if option is not NoneType)
        if option not in _PLAIN:
            return _checked(option, value, where, key)
        origin = option
    if is_dataclass(hint):
        # A group without keys is null to YAML.
        content = {} if value is None else value
        return make(hint, content, f"{where}: {key}")  # type: ignore[arg-type]
    if origin in _PLAIN:
        converted = _plain(origin, value)
        if converted is not None:
            return converted
    elif origin in (tuple, list) and isinstance(value, Sequence) and not isinstance(value, str):
        kinds = inner
        if origin is list or Ellipsis in inner:
            kinds = inner[:1] * len(value)
        if len(kinds) == len(value):
            found = [_checked(k, v, where, key) for k, v in zip(kinds, value, strict=True)]
            return origin(found)
    elif isinstance(value, Mapping) and issubclass(origin, Mapping):
        keys, values = inner
        return {
            _checked(keys, k, where, f"{key}: key"): _checked(values, v, where, f"{key}: {k}")
            for k, v in value.items()
        }
    raise ValueError(f"{where}: {key} is {_shown(value)}; it must be {_words(hint)}")


def _plain(kind: type, value: Any) -> Any:
    """Return text, a number or a truth value of a kind; None where the value is none."""
    if kind is str and value is False:
        # YAML 1.1 reads a bare `no` as false, which is a precision to accelerate.
        return "no"
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-3 as text.
        try:
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is int and isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        return None
    return value if isinstance(value, kind) else None


def _words(hint: Any) -> str:
    """Return an annotation in words, for an error."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join("null" if kind is NoneType else _words(kind) for kind in inner)
    if origin in _PLAIN:
        return _PLAIN[origin]
    if origin is list or (origin is tuple and Ellipsis in inner):
        return f"a list, each {_words(inner[0])}"
    if origin is tuple:
        each = {_words(kind) for kind in inner}
        return f"a list of {len(inner)} values" + (f", each {each.pop()}" if len(each) == 1 else "")
    return "a mapping of keys to values"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return f"an {type(value).__name__} too long to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
