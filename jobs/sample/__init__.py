"""`batch-ser sample`: segments of a complete output, drawn for annotators and cut into clips."""

from jobs.sample.design import Shares
from jobs.sample.making import SampleOptions, SampleReport, make_sample

__all__ = ["SampleOptions", "SampleReport", "Shares", "make_sample"]
