"""What an Engine refuses, by name and with what to give instead."""

from __future__ import annotations

import re
from typing import Any

import pytest

import tintype


def test_engine_options_are_checked_and_named() -> None:
    for options, text in [
        ({"extent_bytes": 1000}, "extent_bytes"),
        ({"queue_depth": 0}, "queue_depth"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"encode_threads": 0}, "encode_threads=0 must be at least 1, or None"),
        ({"byte_rate_limit": 0}, "byte_rate_limit=0 must be at least 1, or None"),
        ({"staging_bytes": 100}, "staging_bytes"),
        ({"when_busy": "panic"}, "when_busy='panic' is none of 'wait', 'skip', 'raise'"),
        ({"direct_io": "maybe"}, "direct_io='maybe' is none of 'preferred', 'required', 'off'"),
        ({"backend": "aio"}, "backend='aio' is none of 'automatic', 'io_uring', 'pwrite'"),
    ]:
        with pytest.raises(ValueError, match=text):
            tintype.Engine(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["when_busy", "direct_io", "backend"])
@pytest.mark.parametrize("value", [None, True, 1, ["wait"], b"off"], ids=repr)
def test_engine_choice_that_is_no_text_is_a_type_error_with_the_choices(
    option: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=rf"^{option}={re.escape(repr(value))} is none of '\w+', "):
        tintype.Engine(**{option: value})
