from __future__ import annotations

import pytest

from web.slots import Slots, TooManyAtOnce


def test_of_one_and_in_all() -> None:
    slots = Slots(3, 2)
    first, second = slots.take("a"), slots.take("a")
    assert first is not None
    assert second is not None
    assert slots.take("a") is None
    assert slots.take("b") is not None
    assert slots.take("c") is None
    first()
    first()
    assert slots.take("c") is not None
    assert slots.take("a") is None, "a slot is given back once"


def test_an_error_gives_it_back() -> None:
    slots = Slots(1, 1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), slots.slot("a"):
            with pytest.raises(TooManyAtOnce), slots.slot("b"):
                pass
            raise ZeroDivisionError
