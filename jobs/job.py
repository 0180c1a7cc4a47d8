"""One job: a configuration, and everything that it names looked up."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from batch_ser import __version__
from batch_ser.audio import MIX, MIXED, SPLIT, parse_channels
from batch_ser.errors import UsageError
from batch_ser.inputs import Selection, Walk, parse_roles
from batch_ser.results import (
    ARCHIVE,
    EMBEDDINGS,
    NONE,
    NamePattern,
    Output,
    TableSchemas,
    check_grouping,
)
from batch_ser.segments import GIVEN, SPEECH, SegmentSettings
from jobs.earlier_output import earlier_output
from jobs.failed_again import FailedAgain
from jobs.fingerprint import fingerprint_of
from jobs.run_config import WORKING_FOLDER, RunConfig
from jobs.second_pass import Adaptation, SecondPass, expect_metadata
from jobs.worker import PARTIAL_S, ShardSettings
from models import Checkpoint, load_checkpoint
from models.device import usable_device


@dataclass(frozen=True)
class Job:
    """A configuration with everything that it names looked up."""

    config: RunConfig
    output: Output
    walk: Walk
    checkpoint: Checkpoint
    settings: ShardSettings
    schemas: TableSchemas  # of the final tables
    device: str
    fingerprint: dict[str, Any]
    adaptation: Adaptation | None  # of a checkpoint with an offset head
    second_pass: SecondPass | None  # None: no embeddings, scores stay as workers compute them
    again: FailedAgain | None = None  # `batch-ser retry`: which failed files are all that is done

    def configuration(self) -> dict[str, Any]:
        """The options of the run for `run.json`, with the adaptation that they result in.

        Relative paths among them start at `working_folder`.
        """
        by, expect = NONE, None
        if self.adaptation:
            by, expect = self.adaptation.by, self.adaptation.expect
        options = asdict(self.config) | {"adapt": by, "expect": expect}
        options[WORKING_FOLDER] = os.getcwd()
        return options | (dict(self.again.kept_options) if self.again else {})


def prepare(config: RunConfig) -> Job:
    """Look up everything that a configuration names; nothing is written.

    Raises:
        UsageError: inputs, checkpoint and options do not exist or do not go together.
    """
    output = Output(config.out)
    walk = _walk(config, output)
    device = usable_device(config.device, config.model, elsewhere=config.on_cluster)
    # on a cluster, GPUs are for workers, and this machine may have none
    checkpoint = load_checkpoint(config.model, "cpu" if config.on_cluster else device)
    segment = _segment_settings(config, walk, checkpoint)
    adaptation = _adaptation(config, checkpoint)
    fingerprint = fingerprint_of(config, walk, checkpoint, device, segment, adaptation)
    schemas = _schemas(config, output, walk, checkpoint, fingerprint, adaptation)
    final_schemas = schemas.with_name_pattern(NamePattern.of(config.name_pattern))
    second_pass = None
    if adaptation and schemas.embedding_width:
        check_grouping(adaptation.by, final_schemas)
        second_pass = SecondPass.of(checkpoint, schemas, adaptation, str(config.adapt_from))
    settings = ShardSettings(
        segment=segment,
        schemas=schemas,
        channels=config.channels,
        roles=parse_roles(config.roles or ""),
        score=config.score,
        batch_s=config.batch_s,
        reading=config.reading,
        expect=adaptation.expect if adaptation else None,
        partial_s=PARTIAL_S,
    )
    return Job(
        config,
        output,
        walk,
        checkpoint,
        settings,
        final_schemas,
        device,
        fingerprint,
        adaptation,
        second_pass,
    )


def _walk(config: RunConfig, output: Output) -> Walk:
    """The inputs, none of them the job's own output, with their given segments."""
    selection = Selection(**(asdict(config.selection) | {"never": output.own_paths}))
    method = config.segment.get("method")
    walk = Walk(config.inputs, selection, allow_given_segments=method in (None, GIVEN))
    _check_given(walk, method, config.channels)
    _check_roles(walk, config)
    return walk


def _check_roles(walk: Walk, config: RunConfig) -> None:
    """Check a manifest's roles, or that there are none, against `--channels` and `--score`.

    Raises:
        UsageError: they contradict each other.
    """
    if walk.has_roles and config.channels == MIX:
        raise UsageError(
            "--channels mix: the manifest gives roles (column roles), and a mixture has the voices "
            "of all; expected split"
        )
    if config.score is not None and config.roles is None and not walk.has_roles:
        raise UsageError(
            f"--score {config.score}: expected --roles, such as 0=agent,1={config.score}, or a "
            "manifest with the column roles"
        )


def _check_given(walk: Walk, method: object, channels: str) -> None:
    """Check the given segments against `--segment` and `--channels`.

    Raises:
        UsageError: no manifest has given segments, or one is of a channel that is not scored.
    """
    if method == GIVEN and not walk.has_given_segments:
        raise UsageError(
            "--segment given: the inputs give no segments; expected a manifest with the columns "
            "file, start_s and end_s"
        )
    if channels == SPLIT:
        left_out = walk.given_channels & {MIXED}
    elif channels == MIX:
        left_out = walk.given_channels - {MIXED}
    else:
        left_out = walk.given_channels - set(parse_channels(channels))
    if left_out:
        number = min(left_out)
        channel = f"{number}, the mixture" if number == MIXED else str(number)
        way_out = "; --channels mix takes it" if number == MIXED else ""
        raise UsageError(
            f"--channels {channels}: the manifest gives segments of channel {channel}, which this "
            f"leaves out{way_out}"
        )


def _segment_settings(config: RunConfig, walk: Walk, checkpoint: Checkpoint) -> SegmentSettings:
    defaults = dict(checkpoint.info.segment) | {"piece_s": checkpoint.info.max_input_s}
    chosen = dict(config.segment) | ({"method": GIVEN} if walk.has_given_segments else {})
    return SegmentSettings.resolve(chosen, defaults)


def _adaptation(config: RunConfig, checkpoint: Checkpoint) -> Adaptation | None:
    """How a job adapts, by default to the archive; None where the head has no offset.

    Raises:
        CheckpointError: an option needs an offset, and the head has none.
        UsageError: a label that the checkpoint does not have, or no offset to take over.
    """
    requested = config.adapt is not None and config.adapt != NONE
    requested |= config.expect is not None or config.adapt_from is not None
    if not checkpoint.has_offset and not requested:
        return None
    checkpoint.check_offset(instead="--adapt none without --expect")
    earlier = earlier_output(config.adapt_from)
    expect = earlier.expect if earlier and config.expect is None else config.expect
    return Adaptation(
        by=ARCHIVE if config.adapt is None else config.adapt,
        expect=checkpoint.expectation(expect).text,
        earlier=earlier.offset if earlier else None,
    )


def _schemas(
    config: RunConfig,
    output: Output,
    walk: Walk,
    checkpoint: Checkpoint,
    fingerprint: dict[str, Any],
    adaptation: Adaptation | None,
) -> TableSchemas:
    has_roles = config.roles is not None or walk.has_roles
    adapts = adaptation is not None and adaptation.by != NONE
    # an output that was adapted before keeps its table of embeddings, for `batch-ser adapt`
    apart = adapts or (not config.restart and output.as_scored == EMBEDDINGS)
    return TableSchemas(
        labels=checkpoint.info.labels,
        manifest_columns=walk.manifest_columns,
        metadata=_metadata(checkpoint, fingerprint, adaptation),
        embedding_width=checkpoint.embedding_width if config.embeddings or apart else 0,
        apart=apart,
        shown=config.embeddings,
        given=walk.has_given_segments or walk.has_roles,
        detects=fingerprint["segment"]["method"] == SPEECH or has_roles,
    )


def _metadata(
    checkpoint: Checkpoint, fingerprint: dict[str, Any], adaptation: Adaptation | None
) -> dict[str, str]:
    """The metadata of the tables: how they were made."""
    expect = {"expect": expect_metadata(checkpoint, adaptation.expect)} if adaptation else {}
    return expect | {
        "labels": json.dumps(checkpoint.info.labels),
        "checkpoint": checkpoint.info.name,
        "checkpoint_sha256": checkpoint.digest,
        "licence": checkpoint.info.licence,
        "settings": json.dumps(fingerprint),
        "program": f"batch-ser {__version__}",
    }
