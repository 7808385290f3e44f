from __future__ import annotations

from meshroom_tasks.jobs.addresses import Address, address_block


def key(chunk_count: int, block_size: int) -> str:
    return Address("e", "p", "DepthMap", "u", 0, "l", address_block(chunk_count, block_size)).key


def test_an_address_names_the_block_only_where_there_are_several() -> None:
    assert key(1, 12) == key(1, 40) == key(1, 0)
    assert len({key(2, 12), key(2, 13), key(1, 40)}) == 3
