"""`batch-ser plan`: what a run will take, from a sample of its inputs."""

from jobs.plan.planning import Plan, PlanConfig, plan
from jobs.plan.text import as_lines

__all__ = ["Plan", "PlanConfig", "as_lines", "plan"]
