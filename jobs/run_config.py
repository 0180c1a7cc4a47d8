"""The configuration of a job, checked as far as it can be before anything is looked up."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from batch_ser.addresses import refuse_secrets
from batch_ser.audio import MIX, SPLIT, RawSettings, Reading, normal_choice
from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import Selection, parse_roles
from batch_ser.results import NONE, NamePattern
from jobs.report import budget

ENGINES = ("ray", "inline")
DEVICES = ("auto", "cpu", "cuda")
WORKING_FOLDER = "working_folder"  # among the options in `run.json`: where relative paths start


@dataclass(frozen=True)
class RunConfig:
    """One job: the options of `batch-ser run`.

    Raises:
        UsageError: an option out of its range, or two that contradict each other.
    """

    inputs: tuple[str, ...]
    out: str
    model: str = "accurate"
    device: str = "auto"
    segment: Mapping[str, float | str | None] = field(default_factory=dict)
    channels: str = SPLIT
    roles: str | None = None  # such as 0=agent,1=customer
    score: str | None = None  # the one role that is scored; None: all channels
    reading: Reading = field(default_factory=Reading)
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    engine: str = "ray"
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    scorers: int = 0  # processes that score what workers decode; 0: workers score by themselves
    address: str | None = None
    batch_s: float = 64.0
    file_timeout_s: float = 3600.0
    max_failed: str = "0"
    allow_empty: bool = False  # inputs without a single recording are no error
    embeddings: bool = False
    adapt: str | None = None  # none, archive, recording, a column; None: archive, if possible
    expect: str | None = None  # natural, balanced or LABEL=SHARE,...; None: natural, if possible
    adapt_from: str | None = None  # an output whose offset is taken over
    name_pattern: str | None = None  # of columns from the names of files
    restart: bool = False

    def __post_init__(self) -> None:
        refuse_secrets(_texts(asdict(self)))  # before any of them is in a message
        if not self.inputs:
            raise UsageError("--input: expected at least one folder, file, glob or manifest")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: expected ray or inline")
        if self.device not in DEVICES:
            raise UsageError(f"--device {self.device}: expected auto, cpu or cuda")
        normal_choice(self.channels)
        _check_roles(self.channels, self.roles, self.score)
        for name in ("limit", "workers", "cpus_per_worker", "batch_s", "file_timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                option = name.removesuffix("_s").replace("_", "-")
                raise UsageError(f"--{option} {value:g}: expected more than 0")
        _check_resources(self.cpus_per_worker, self.gpus_per_worker)
        _check_scorers(self.scorers, self.engine)
        _check_address(self.address)
        if self.adapt_from is not None and self.adapt == NONE:
            raise UsageError(
                f"--adapt-from {self.adapt_from}: found --adapt none; expected archive, recording "
                "or a column"
            )
        budget(self.max_failed, files=0)
        NamePattern.of(self.name_pattern)

    @classmethod
    def from_json(cls, options: Mapping[str, Any], place: str) -> "RunConfig":
        """The configuration whose options a `run.json` states; `place` names it in messages.

        Options that are absent, as of an earlier version, have their defaults.

        Raises:
            MismatchError: they are no options of a run.
        """
        try:
            known = {each.name: options[each.name] for each in fields(cls) if each.name in options}
            known |= {"inputs": _names(options["inputs"]), "restart": False}
            known["segment"] = dict(options.get("segment", {}))
            reading = dict(options.get("reading", {}))
            raw = RawSettings(**reading.pop("raw", {}))
            known["reading"] = Reading(raw, **reading)
            selection: dict[str, Any] = {
                name: _names(value) if isinstance(value, list) else value
                for name, value in options.get("selection", {}).items()
            }
            known["selection"] = Selection(**selection)
            return cls(**known)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise MismatchError(
                f"{place}: its configuration is not that of a run of this version ({error!r}); "
                "give its run again"
            ) from error

    @property
    def on_cluster(self) -> bool:
        """Whether workers run on a Ray that is there already."""
        return self.engine == "ray" and self.address is not None

    @property
    def worker_count(self) -> int:
        """Worker processes: `workers`, or one per core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def fixed_worker_count(self) -> int | None:
        """The same; None on a cluster without `workers`: as many as fit, also when it grows."""
        return self.workers if self.on_cluster else self.worker_count


def _check_resources(cpus: float, gpus: float | None) -> None:
    """Check `--cpus-per-worker` and `--gpus-per-worker` as Ray does, which counts in 1e-4.

    Raises:
        UsageError: Ray has no such share.
    """
    if cpus != round(cpus, 4):
        raise UsageError(f"--cpus-per-worker {cpus:g}: expected at most four decimal places")
    if gpus is None:
        return
    if not 0 <= gpus < math.inf or gpus != round(gpus, 4) or (gpus > 1 and not gpus.is_integer()):
        raise UsageError(
            f"--gpus-per-worker {gpus:g}: expected 0, a share of a GPU with at most four decimal "
            "places, such as 0.25, or a whole number of GPUs"
        )


def _check_scorers(scorers: int, engine: str) -> None:
    if scorers < 0:
        raise UsageError(f"--scorers {scorers}: expected 0 or more")
    if scorers and engine != "ray":
        raise UsageError(f"--scorers {scorers}: found --engine {engine}, expected ray")


def _check_address(address: str | None) -> None:
    """Check that `--address` does not name what takes a driver on another machine.

    Raises:
        UsageError: it does.
    """
    name, found = f"--address {address}", address
    if address == "auto" and (found := os.environ.get("RAY_ADDRESS")):
        name = f"--address auto: RAY_ADDRESS={found}"
    if found is not None and (not found or "://" in found or found == "local"):
        raise UsageError(
            f"{name}: expected auto or HOST:PORT of a cluster's head, on a machine that is a node "
            "of it; from elsewhere, ray job submit gives the command there; without --address "
            "there is a Ray on this machine"
        )


def _check_roles(channels: str, roles: str | None, score: str | None) -> None:
    """Check `--roles` and `--score` against each other and `--channels`.

    Raises:
        UsageError: they are no roles, or contradict each other.
    """
    try:
        found = parse_roles(roles or "")
    except UsageError as error:
        raise UsageError(f"--roles: {error}") from error
    if roles is not None and not found:
        raise UsageError("--roles: found nothing; expected roles such as 0=agent,1=customer")
    if found and channels == MIX:
        raise UsageError(
            "--roles: found --channels mix, which mixes the voices of all roles; expected split"
        )
    if score is None:
        return
    if channels != SPLIT:
        raise UsageError(
            f"--score {score}: found --channels {channels}; expected split: the role determines "
            "what is scored, and speech is detected on all channels"
        )
    if found and score not in found.values():
        known = ", ".join(dict.fromkeys(found.values()))
        raise UsageError(f"--score {score}: expected one of the roles of --roles ({known})")


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
        raise TypeError(f"found {values!r}, expected a list of texts")
    return tuple(values)


def _texts(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """All texts among the options, each with its option's name."""
    for name, value in values.items():
        option = "--input" if name == "inputs" else f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            yield from _texts(value)
        else:
            texts = value if isinstance(value, tuple) else (value,)
            yield from ((option, text) for text in texts if isinstance(text, str))
