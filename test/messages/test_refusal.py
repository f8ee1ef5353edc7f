import pytest

from panoptic_ros.messages.refusal import one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n\tof it", "two lines of it"),
        ("caf\udce9.png", "caf\\udce9.png"),
        ("\ud800", "\\ud800"),
        ("x" * 5000, "x" * 400),
    ],
)
def test_any_text_becomes_a_line_that_can_be_sent(text, line):
    assert one_line(text) == line
    line.encode()
