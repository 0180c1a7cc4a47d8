"""What a job is given: folders, globs and manifests, to a stream of input files."""

from batch_ser.inputs.given_lines import TIMES, Asked, seconds, time_faults, unpack
from batch_ser.inputs.manifest import printable
from batch_ser.inputs.walk import AUDIO_SUFFIXES, InputFile, Selection, Walk

__all__ = [
    "AUDIO_SUFFIXES",
    "TIMES",
    "Asked",
    "InputFile",
    "Selection",
    "Walk",
    "printable",
    "seconds",
    "time_faults",
    "unpack",
]
