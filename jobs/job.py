"""One job: its configuration, everything that it names looked up, and its fingerprint."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from batch_ser import SCORES_VERSION, __version__
from batch_ser.audio import MIX, MIXED, SPLIT, Reading, normal_choice, parse_channels
from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import Selection, Walk
from batch_ser.results import (
    ARCHIVE,
    EMBEDDINGS,
    NONE,
    TABLES,
    Output,
    TableSchemas,
    check_grouping,
)
from batch_ser.segments import GIVEN, SegmentSettings, as_metadata
from jobs.adapter import Adaptation, Adapter, adapter_of, expect_metadata, taken_over
from jobs.report import budget
from jobs.worker import ShardSettings
from models import Checkpoint, load_checkpoint
from models.device import usable_device

ENGINES = ("ray", "inline")
ADAPTING = ("adapt ", "expect ", "adapt_from ")  # settings that `batch-ser adapt` changes


@dataclass(frozen=True)
class RunConfig:
    """One job, as the command line gives it."""

    inputs: tuple[str, ...]
    out: str
    model: str = "accurate"
    device: str = "auto"
    segment: Mapping[str, float | str | None] = field(default_factory=dict)
    channels: str = SPLIT
    reading: Reading = field(default_factory=Reading)
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    engine: str = "ray"
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    address: str | None = None
    batch_s: float = 64.0
    file_timeout_s: float = 3600.0
    max_failed: str = "0"
    embeddings: bool = False
    adapt: str | None = None  # none, archive, recording, a column; None: archive, if it can be
    expect: str | None = None  # natural, balanced or LABEL=SHARE,...; None: natural, if it can be
    adapt_from: str | None = None  # an output whose offset is taken over
    restart: bool = False

    def __post_init__(self) -> None:
        if not self.inputs:
            raise UsageError("--input: expected at least one folder, file, glob or manifest")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: expected ray or inline")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device}: expected auto, cpu or cuda")
        normal_choice(self.channels)
        for name in ("limit", "workers", "cpus_per_worker", "batch_s", "file_timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                option = name.removesuffix("_s").replace("_", "-")
                raise UsageError(f"--{option} {value:g}: expected more than 0")
        if self.adapt_from is not None and self.adapt == NONE:
            raise UsageError(
                f"--adapt-from {self.adapt_from}: found --adapt none; expected archive, recording "
                "or a column"
            )
        budget(self.max_failed, 0)

    @property
    def crew_size(self) -> int:
        """Workers: as asked for, or one per core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Job:
    """A configuration with everything that it names looked up."""

    config: RunConfig
    output: Output
    walk: Walk
    checkpoint: Checkpoint
    settings: ShardSettings
    device: str
    fingerprint: dict[str, Any]
    adaptation: Adaptation | None  # of a checkpoint with an offset head

    def adapter(self) -> Adapter | None:
        """What `--adapt` does with everything that was scored."""
        if self.adaptation is None or self.adaptation.by == NONE:
            return None
        place = str(self.config.adapt_from)
        return adapter_of(self.checkpoint, self.settings.schemas, self.adaptation, place)


def prepare(config: RunConfig) -> Job:
    output = Output(Path(config.out))
    walk = _listed(config, output)
    device = usable_device(config.device)
    checkpoint = load_checkpoint(config.model, device)
    defaults = dict(checkpoint.info.segment) | {"piece_s": checkpoint.info.max_input_s}
    chosen = dict(config.segment) | ({"method": GIVEN} if walk.has_given_segments else {})
    segment = SegmentSettings.resolve(chosen, defaults)
    fingerprint = {
        "input": [os.path.abspath(each) for each in config.inputs],
        "root": config.selection.root and os.path.abspath(config.selection.root),
        "checkpoint": checkpoint.digest,
        "segment": as_metadata(segment),
        "channels": normal_choice(config.channels),
        "resampler": "soxr HQ",
        "runtime": f"torch float32 {device}",
        "manifest_columns": list(walk.manifest_columns),
        "scores_version": SCORES_VERSION,
    }
    if config.embeddings:  # absent otherwise, as in outputs from before there were any
        fingerprint["embeddings"] = True
    adaptation = _adaptation(config, checkpoint)
    by = adaptation.by if adaptation else NONE
    config = replace(config, adapt=by, expect=adaptation.expect if adaptation else None)
    fingerprint |= config.reading.raw.fingerprint() | (adaptation.settings() if adaptation else {})
    kept = output.as_scored == EMBEDDINGS and not config.restart  # and stay, for `adapt`
    apart = by != NONE or kept
    width = checkpoint.embedding_width if config.embeddings or apart else 0
    schemas = TableSchemas(
        checkpoint.info.labels, walk.manifest_columns,
        _metadata(checkpoint, fingerprint, adaptation), width, apart, config.embeddings,
        given=walk.has_given_segments,
    )  # fmt: skip
    check_grouping(by, schemas)
    settings = ShardSettings(
        segment, schemas, config.channels, config.batch_s, config.reading, config.expect
    )
    job = Job(config, output, walk, checkpoint, settings, device, fingerprint, adaptation)
    job.adapter()  # refuses an offset that cannot be taken over
    return job


def _adaptation(config: RunConfig, checkpoint: Checkpoint) -> Adaptation | None:
    """How a job adapts: as asked, by default to the archive; None where the head has no offset.

    Raises:
        CheckpointError: more is asked of a head without an offset.
        UsageError: a label that the checkpoint does not have, or no offset to take over.
    """
    asked = config.adapt not in (None, NONE) or config.expect or config.adapt_from
    if not checkpoint.has_offset and not asked:
        return None
    checkpoint.check_offset()
    expect = checkpoint.expectation(config.expect).text
    return Adaptation(config.adapt or ARCHIVE, expect, taken_over(config.adapt_from))


def _metadata(
    checkpoint: Checkpoint, fingerprint: dict[str, Any], adaptation: Adaptation | None
) -> dict[str, str]:
    """What the tables say of how they were made."""
    expect = {"expect": expect_metadata(checkpoint, adaptation.expect)} if adaptation else {}
    return expect | {
        "labels": json.dumps(checkpoint.info.labels),
        "checkpoint": checkpoint.info.name,
        "checkpoint_sha256": checkpoint.digest,
        "licence": checkpoint.info.licence,
        "settings": json.dumps(fingerprint),
        "program": f"batch-ser {__version__}",
    }


def _listed(config: RunConfig, output: Output) -> Walk:
    """The inputs, none of them the job's own output, and the segments that they give."""
    selection = Selection(**(asdict(config.selection) | {"never": output.own_paths}))
    method = config.segment.get("method")
    walk = Walk(config.inputs, selection, allow_given_segments=method in (None, GIVEN))
    check_given(walk, method, config.channels)
    return walk


def check_given(walk: Walk, method: object, channels: str) -> None:
    """Refuse given segments that nobody gives, or of channels that are not scored.

    Raises:
        UsageError: no manifest with segments, or `--channels` leaves a channel out that one names.
    """
    if method == GIVEN and not walk.has_given_segments:
        raise UsageError(
            "--segment given: the inputs give no segments; expected a manifest with the columns "
            "file, start_s and end_s"
        )
    if channels == SPLIT:
        left_out = walk.given_channels & {MIXED}
    else:
        left_out = walk.given_channels - set(
            {MIXED} if channels == MIX else parse_channels(channels)
        )
    if left_out:
        number = min(left_out)
        told = f"{number}, the mixture" if number == MIXED else str(number)
        does = "; --channels mix takes it" if number == MIXED else ""
        raise UsageError(
            f"--channels {channels}: the manifest gives segments of channel {told}, which this "
            f"leaves out{does}"
        )


def check_fingerprint(output: Output, fingerprint: dict[str, Any]) -> None:
    """Refuse to mix results of different settings.

    Raises:
        MismatchError: the output was made with others; the differences are named.
    """
    output.check_ours(TABLES if "adapt" in fingerprint else TABLES[:2])
    earlier = output.earlier_settings()
    if earlier is None:
        return
    old, new = _flat(earlier), _flat(fingerprint)
    changed = [
        f"{name} was {old.get(name, 'absent')}, is {new.get(name, 'absent')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if changed:
        alone = all(each.startswith(ADAPTING) for each in changed) and output.run_json.exists()
        told = ", `batch-ser adapt` first, which needs no audio" if alone else ""
        raise MismatchError(
            f"--out {output.out} holds results of other settings: {'; '.join(changed)}. "
            f"Give the same settings, another --out{told}, or --restart to begin again"
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    segment = {f"segment.{name}": value for name, value in settings.get("segment", {}).items()}
    return {name: value for name, value in settings.items() if name != "segment"} | segment
