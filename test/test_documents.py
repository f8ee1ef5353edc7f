import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from panoptic_ros.documents import MOST_YAML_BYTES, make, parse_yaml, read_json, read_yaml


@dataclass(frozen=True)
class Part:
    rate: float = 1.0

    def __post_init__(self):
        if self.rate <= 0:
            raise ValueError(f"rate is {self.rate}; it must be > 0")


@dataclass(frozen=True)
class Whole:
    name: str
    count: int = 1
    is_on: bool = True
    part: Part = field(default_factory=Part)
    crop: tuple[int, int] = (1, 2)
    names: tuple[str | None, ...] = ()
    limits: Mapping[int, int] = field(default_factory=dict)
    more: Mapping[str, Any] | None = None


def whole(values):
    return make(Whole, {"name": "a"} | values, "net.yaml")


def test_values_come_in_the_types_of_the_class():
    found = whole(
        {
            "part": {"rate": "1e-3"},
            "crop": [3, 4],
            "names": ["x", None],
            "limits": {24: 3},
            "more": {"a": [1]},
        }
    )
    assert found.part == Part(0.001)
    assert found.crop == (3, 4)
    assert found.names == ("x", None)
    assert found.limits == {24: 3}
    assert found.more == {"a": [1]}
    assert whole({"name": False}).name == "no"
    assert whole({"part": None}).part == Part()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"colour": 1}, "unknown key 'colour'; known: name, count"),
        ({3: 1}, "unknown key 3"),
        ({"name": None}, "name is None; it must be text"),
        ({"name": 3}, "name is 3; it must be text"),
        ({"name": ["a"]}, r"name is \['a'\]; it must be text"),
        ({"name": "a", "count": 1.5}, "count is 1.5; it must be a whole number"),
        ({"count": True}, "count is True; it must be a whole number"),
        ({"count": 10**30}, r"count is 1000.*; it must be a whole number"),
        ({"count": 16**20_000}, "count is an int too long to show; it must be a whole number"),
        ({"is_on": 1}, "is_on is 1; it must be true or false"),
        ({"is_on": "false"}, "is_on is 'false'; it must be true or false"),
        ({"part": 0}, "part must be a mapping of keys to values, not 0"),
        ({"part": {"rate": "fast"}}, "part: rate is 'fast'; it must be a number"),
        ({"part": {"rate": float("nan")}}, "part: rate is nan; it must be a number"),
        ({"part": {"rate": "inf"}}, "part: rate is 'inf'; it must be a number"),
        ({"part": {"rate": 10**400}}, r"part: rate is 1000.*; it must be a number"),
        ({"part": {"rate": -1}}, "part: rate is -1.0; it must be > 0"),
        ({"part": {"speed": 1}}, "part: unknown key 'speed'; known: rate"),
        ({"crop": [1]}, r"crop is \[1\]; it must be a list of 2 values, each a whole number"),
        ({"crop": 5}, "crop is 5; it must be a list of 2 values"),
        ({"crop": "ab"}, "crop is 'ab'; it must be a list of 2 values"),
        ({"names": "road"}, "names is 'road'; it must be a list, each text or null"),
        ({"names": [["road"]]}, r"names is \['road'\]; it must be text or null"),
        ({"limits": [24]}, r"limits is \[24\]; it must be a mapping"),
        ({"limits": {"car": 1}}, "limits: key is 'car'; it must be a whole number"),
        ({"limits": {24: "many"}}, "limits: 24 is 'many'; it must be a whole number"),
        ({"more": 3}, "more is 3; it must be a mapping"),
    ],
)
def test_what_does_not_fit_is_told_with_file_and_key(values, words):
    with pytest.raises(ValueError, match=rf"^net.yaml: {words}"):
        whole(values)


@pytest.mark.parametrize("content", [None, 3, "text", [1], [["name", "a"]]])
def test_what_is_no_mapping_is_told(content):
    with pytest.raises(ValueError, match=r"^net.yaml must be a mapping of keys to values, not "):
        make(Whole, content, "net.yaml")


def test_what_is_missing_is_told_with_what_to_write():
    with pytest.raises(ValueError, match=r"^net.yaml: name is missing; write name: text"):
        make(Whole, {}, "net.yaml")


def aliases(levels):
    """Return YAML of a few lines that stands for 10 ** levels values."""
    lines = [f"a0: &a0 [{', '.join(['{k: v}'] * 10)}]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    return "\n".join(lines)


HOSTILE_YAML = {
    "an open bracket": ("steps: [1", "expected ',' or ']'"),
    "no text": (b"a: [\xff", ""),
    "no character": (b"\xff", "invalid start byte"),
    "a zero byte": (b"a: \x00", ""),
    "aliases that multiply": (aliases(9), "aliases stand for more than"),
    "merges that multiply": (aliases(9).replace("[", "{<<: [").replace("]", "]}"), "aliases stand"),
    "an alias of itself": ("a: &a [*a]", "nested deeper than"),
    "a mapping that merges itself": ("a: &a\n  b: 1\n  <<: *a", "nested deeper than|recursive"),
    "aliases of aliases": (
        "\n".join(["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000)]),
        "nested deeper than",
    ),
    "brackets": ("[" * 100_000, "nested too deeply"),
    "closed brackets": ("[" * 40 + "]" * 40, "nested deeper than"),
    "braces": ("{a: " * 50_000, "nested too deeply"),
    "dashes": ("- " * 100_000, "nested too deeply"),
    "an unknown alias": ("a: *b", "undefined alias"),
    "two documents": ("a: 1\n---\na: 2", "but found another document"),
    "a key twice": ("semantic: 1\nsemantic: 2", "'semantic' is there twice"),
    "a list as a key": ("? [a]\n: b", "unhashable"),
    "an object": ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "no truth value": ("!!bool maybe", ""),
    "no time": ("!!timestamp soon", ""),
    "no number": ("!!int ''", ""),
    "no float": ("!!float ''", ""),
    "a number without end": ("a: " + "9" * 10_000, ""),
    "larger than any": ("a: " + "b" * MOST_YAML_BYTES, "is larger than .* it was not read"),
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml_is_refused_with_its_name(tmp_path, name):
    content, words = HOSTILE_YAML[name]
    file = tmp_path / "net.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=rf"^{file} .*({words}).*\Z"):
        read_yaml(file)


def test_aliases_that_spare_a_line_are_read():
    text = "size: &size {width: 4}\na: {<<: *size}\nb: *size"
    assert parse_yaml(text, "")["a"] == {"width": 4}
    assert parse_yaml("", "") is None


@pytest.mark.parametrize("text", ["0100", "-010", "1:30", "12:30:15", "2024-01-01", "2020-99-99"])
def test_what_yaml_would_make_another_number_of_stays_text(text):
    assert parse_yaml(f"a: {text}", "") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-0.5", -0.5), ("0x10", 16), ("1_000", 1000)]
)
def test_numbers_that_people_mean_stay_numbers(text, value):
    assert parse_yaml(f"a: {text}", "") == {"a": value}


HOSTILE_JSON = {
    "nothing": b"",
    "cut": b'{"a": [1',
    "no text": b'{"a": "\xff"}',
    "brackets": b"[" * 200_000,
    "braces": b'{"a":' * 200_000,
    "not a number": b'{"a": NaN}',
    "a key twice": b'{"a": 1, "a": 2}',
    "a number without end": b'{"a": ' + b"9" * 10_000 + b"}",
    "larger than any": b'"' + b"a" * 10_000 + b'"',
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_is_refused_with_its_name(tmp_path, name):
    file = tmp_path / "net.json"
    file.write_bytes(HOSTILE_JSON[name])
    most = 5000 if name == "larger than any" else 1 << 24
    with pytest.raises(ValueError, match=rf"^{file} (cannot be read as JSON|is larger than 5000)"):
        read_json(file, most)


def test_json_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": "ä"}, ensure_ascii=False).encode())
    assert read_json(file) == {"a": "ä"}


@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_what_is_no_file_is_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"no file .*none"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match="is not a file"):
        read(tmp_path)
