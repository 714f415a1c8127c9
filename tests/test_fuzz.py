"""The fuzz targets over their seeds, and over seeded changes of these: what runs where no fuzzer can be had."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from targets import TARGETS

FUZZ = Path(__file__).parents[1] / "fuzz"
SEEDS = [
    pytest.param(target, seed, id=f"{target}-{seed.name}")
    for target in TARGETS
    for seed in sorted((FUZZ / "seeds" / target).iterdir())
]
CHANGES = 25


def changed(content: bytes, chance: random.Random) -> bytes:
    """A seed with a piece of it cut, doubled, turned around or overwritten."""
    start = chance.randrange(1, max(2, len(content)))
    piece = content[start : start + chance.choice((1, 4, 40, 400))]
    new = chance.choice((b"", piece * 3, piece[::-1], b"9" * 20, b"\xff", b"[" * 200, b"null", b'{"', b"-1", b"1e999"))
    return content[:start] + new + content[start + len(piece) :]


@pytest.mark.parametrize(("target", "seed"), SEEDS)
def test_whatever_is_in_a_file_its_reader_ends_with_a_result_or_an_error_of_ours(target: str, seed: Path) -> None:
    content = seed.read_bytes()
    chance = random.Random(seed.name)

    TARGETS[target](content)
    for _ in range(CHANGES):
        TARGETS[target](changed(content, chance))
