"""Hostile checkpoints: metadata changed at random, from a seed, in checkpoints of 7 kinds."""

from collections import Counter
from pathlib import Path

import pytest
from conftest import LABELS
from hostile_checkpoints import BASES, attempts, write_changed
from networks import small_checkpoint

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
EACH = 40  # of each kind


def test_hostile_checkpoints_are_refused(tmp_path: Path, calls: Path) -> None:
    """Status 2 without a traceback, at most 1 GB and 5 s of a core, or harmless and scored."""
    made: dict[str, str] = {}
    for seed, name in enumerate(BASES):
        base = small_checkpoint(tmp_path / f"base-{seed}.safetensors", name, LABELS)
        (tmp_path / "hostile").mkdir(exist_ok=True)
        made |= write_changed(base, tmp_path / "hostile", EACH, seed)
    found = attempts(tmp_path / "hostile", calls / "support-ulaw.wav")
    assert len(found) == len(made)
    wrong = {made[each.name]: each for each in found if not each.orderly}
    statuses = Counter(each.status for each in found)
    slowest = max(found, key=lambda each: each.cpu_s)
    print(
        f"{len(found)} checkpoints: {statuses[2]} refused, {statuses[0]} scored; at most "
        f"{max(each.grown_bytes for each in found) / 1e6:.0f} MB and "
        f"{slowest.cpu_s:.1f} s of a core ({made[slowest.name]})"
    )
    print("\n".join(sorted(made[each.name] for each in found if each.status == 0)))
    assert not wrong
    assert statuses[2] >= 100
