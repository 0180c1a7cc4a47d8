"""How good an output is, by labels of people."""

from jobs.judge.judging import JudgeReport, judge
from jobs.judge.proportions import share

__all__ = ["JudgeReport", "judge", "share"]
