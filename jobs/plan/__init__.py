"""`batch-ser plan`: what a run will take, from a sample of its inputs."""

from jobs.plan.planning import Plan, PlanConfig, plan

__all__ = ["Plan", "PlanConfig", "plan"]
