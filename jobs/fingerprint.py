"""The fingerprint of a job: the settings on which its rows depend, which one output cannot mix."""

import os
from collections.abc import Sequence
from typing import Any

from batch_ser import SCORES_VERSION
from batch_ser.addresses import scheme_of
from batch_ser.audio import normal_choice
from batch_ser.errors import MismatchError
from batch_ser.inputs import Walk, normal_roles, parse_roles
from batch_ser.results import NAME_PATTERN, Output
from batch_ser.segments import SegmentSettings, as_metadata
from jobs.run_config import RunConfig
from jobs.second_pass import Adaptation
from models import Checkpoint

# that `batch-ser adapt` changes
ADAPTATION_SETTINGS = ("adapt", "expect", "adapt_from")


def fingerprint_of(
    config: RunConfig,
    walk: Walk,
    checkpoint: Checkpoint,
    device: str,
    segment: SegmentSettings,
    adaptation: Adaptation | None,
) -> dict[str, Any]:
    """The settings of a job on which its rows depend, as `run.json` stores them."""
    root = config.selection.root
    fingerprint: dict[str, Any] = {
        "input": [_place(each) for each in config.inputs],
        "root": root and _place(root),
        "checkpoint": checkpoint.digest,
        "segment": as_metadata(segment),
        "channels": normal_choice(config.channels),
        "resampler": "soxr HQ",
        "runtime": f"{checkpoint.runtime} {device}",
        "manifest_columns": list(walk.manifest_columns),
        "scores_version": SCORES_VERSION,
    }
    if config.roles is not None:  # absent otherwise, as what follows
        fingerprint["roles"] = normal_roles(parse_roles(config.roles))
    if walk.has_roles:
        fingerprint["roles_column"] = True
    if config.score is not None:
        fingerprint["score"] = config.score
    if config.embeddings:
        fingerprint["embeddings"] = True
    if config.name_pattern is not None:
        fingerprint[NAME_PATTERN] = config.name_pattern
    fingerprint |= config.reading.raw.fingerprint()
    return fingerprint | (adaptation.settings() if adaptation else {})


def _place(path: str) -> str:
    """A path without the current folder in it; an address is one already."""
    return path if scheme_of(path) else os.path.abspath(path)


def check_fingerprint(output: Output, fingerprint: dict[str, Any], tables: Sequence[str]) -> None:
    """Refuse to mix results of different settings, or to overwrite `tables` of others.

    Raises:
        MismatchError: the output was made with others; the differences are listed.
    """
    output.check_ours(tables)
    earlier = output.earlier_fingerprint()
    if earlier is None:
        return
    old, new = _flat(earlier), _flat(fingerprint)
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if not changed:
        return
    differences = "; ".join(
        f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}" for name in changed
    )
    can_adapt = (
        set(changed) <= {*ADAPTATION_SETTINGS, NAME_PATTERN}
        and output.complete_record() is not None
    )
    adapt_first = ", `batch-ser adapt` first, which needs no audio" if can_adapt else ""
    raise MismatchError(
        f"--out {output.out} holds results of other settings: {differences}. "
        f"Give the same settings, another --out{adapt_first}, or --restart to begin again"
    )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    segment = {f"segment.{name}": value for name, value in settings.get("segment", {}).items()}
    return {name: value for name, value in settings.items() if name != "segment"} | segment
