"""How long recordings are: decoded as in a job, and nothing else done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch_ser.archives import OpenArchives
from batch_ser.errors import FileError, Incomplete
from batch_ser.inputs import InputFile, unpack
from jobs.worker.channels import open_recording
from jobs.worker.fetching import Fetching
from jobs.worker.pool import as_file_error
from jobs.worker.shard import ShardSettings


@dataclass(frozen=True)
class Decoded:
    """A recording that has been decoded."""

    file: InputFile
    duration_s: float  # 0 of one that failed
    error: FileError | None = None


def decoded(
    files: Sequence[InputFile], settings: ShardSettings, archives: OpenArchives | None = None
) -> Iterator[Decoded]:
    """Decode files one after the other.

    Raises:
        Incomplete: there is no room for copies of remote ones.
    """
    fetching = Fetching(files, archives)
    for number, file in enumerate(files):
        try:
            with fetching.local(number) as local:
                found = Decoded(file, _duration_s(local, settings))
        except Incomplete:  # no file's fault
            raise
        except Exception as error:
            found = Decoded(file, 0.0, as_file_error(error))
        yield found


def _duration_s(file: InputFile, settings: ShardSettings) -> float:
    choice = settings.choice(file, unpack(file.given_segments))
    opened = open_recording(file.path, settings.reading, choice)
    if opened.error:
        raise opened.error
    for _ in opened.recording.blocks():
        pass
    return opened.recording.decoded_frames / opened.recording.rate_hz
