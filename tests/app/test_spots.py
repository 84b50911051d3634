"""A click on a face says who it becomes."""

from __future__ import annotations

import pytest

from faceswap.errors import ConfigError
from faceswap_app.spots import Spot, clicked, mapping_of, turned

LEFT = Spot(box=(10, 10, 50, 60), looks_like="a", becomes="b")
RIGHT = Spot(box=(100, 10, 150, 60), looks_like="b", becomes=None)
STRANGER = Spot(box=(20, 20, 30, 30), looks_like=None, becomes="b")


def test_the_face_under_the_click_is_meant() -> None:
    assert clicked([LEFT, RIGHT], "12.5 59 1700000000000") == LEFT
    assert clicked([LEFT, RIGHT], "149 11 1") == RIGHT
    for nowhere in ("70 30 1", "", None, "x y", "nan nan", "1"):
        assert clicked([LEFT, RIGHT], nowhere) is None
    with pytest.raises(ConfigError, match="nobody whom the model knows"):
        clicked([LEFT, STRANGER], "25 25 1")


def test_what_is_shown_is_what_a_click_begins_with() -> None:
    assert mapping_of([LEFT, RIGHT], ["a", "b", "c"]) == {"a": "b", "b": "", "c": ""}
    again = Spot(box=RIGHT.box, looks_like="a", becomes="c")
    assert mapping_of([LEFT, again, STRANGER], ["a", "b"]) == {"a": "b", "b": ""}


def test_each_click_gives_the_next_face_and_leaves_others_as_they_are() -> None:
    mapping, seen = {"a": "b", "b": "", "c": "a"}, []
    for _ in range(4):
        mapping = turned(mapping, "a")
        assert (mapping["b"], mapping["c"]) == ("", "a")
        seen.append(mapping["a"])
    assert seen == ["c", "", "b", "c"]
    assert turned({"a": "b", "b": ""}, "b") == {"a": "b", "b": "a"}
    assert turned({"a": "gone", "b": ""}, "a") == {"a": "b", "b": ""}
