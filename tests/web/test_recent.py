from __future__ import annotations

from web.recent import Recent


def test_it_is_found_again_for_a_while_unless_its_stamp_changed() -> None:
    now, found = 0.0, 0

    def find() -> int:
        nonlocal found
        found += 1
        return found

    recent = Recent(clock=lambda: now)
    assert [recent.get("a", 1, 0.5, find), recent.get("a", 1, 0.5, find)] == [1, 1]
    assert recent.get("b", 1, 0.5, find) == 2
    assert recent.get("a", 2, 0.5, find) == 3
    now = 0.5
    assert recent.get("a", 2, 0.5, find) == 4
