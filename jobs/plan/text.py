"""`batch-ser plan` as text."""

from collections.abc import Callable, Mapping

from jobs.figures import duration
from jobs.plan.estimates import Estimate
from jobs.plan.planning import Plan
from jobs.plan.start_up import RAY_S

WAITING = 1.1  # seconds by the clock for a core-second, from which on it is worth a line
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def as_lines(plan: Plan) -> list[str]:
    """What there is to know, name and text in two columns."""
    lines = [*_inputs(plan), *_work(plan), *_storage(plan)]
    width = max(len(name) for name, _ in lines)
    return [f"{name:<{width}}  {text}".rstrip() for name, text in lines]


def _inputs(plan: Plan) -> list[tuple[str, str]]:
    lines = [("recordings", f"{plan.files:,}")]
    if plan.listing_failed:
        lines.append(("  cannot be read", _reasons(plan.listing_failed)))
    scored = f"{plan.sample_audio_s / 60:.1f} min of audio scored"
    lines.append(("sample", f"{plan.sampled:,} recordings decoded, {scored}"))
    failed = sum(plan.sample_failed.values())
    if failed:
        which = "all" if failed == plan.sampled else f"{failed:,} of {plan.sampled:,}"
        text = f"{which} sampled recordings failed: {_reasons(plan.sample_failed)}"
        lines += [("  failed", text), ("failed files", _range(plan.failed, lambda n: f"{n:,.0f}"))]
    if failed == plan.sampled:  # perhaps there was nothing that could be sampled
        lines.append(("", "nothing could be scored: the figures below are of start-up alone"))
    return lines


def _work(plan: Plan) -> list[tuple[str, str]]:
    cores = f"{plan.cores} {'core' if plan.cores == 1 else 'cores'}"
    lines = [
        ("hours of audio", _range(plan.audio_s, _hours)),
        ("  in segments", _range(plan.scored_s, _hours)),
        ("segments", _range(plan.segments, lambda n: f"{n:,.0f}")),
        ("core-hours", _range(plan.core_s, _hours)),
        ("  start-up", _hours(plan.start_core_s)),
        ("  making tables", _range(plan.tables_core_s, _hours)),
        ("GPU-hours", _gpu(plan)),
        ("wall time", f"{_range(plan.wall_s, duration)} on {cores}"),
        ("  start-up", f"{duration(plan.start_s)}, of which Ray {RAY_S:.0f} s"),
    ]
    if plan.longest_s > plan.core_s.value / plan.cores:
        lines.append(("  longest recording", f"{duration(plan.longest_s)}, by one worker"))
    if plan.waiting >= WAITING:
        longer = duration(plan.wall_s.value * plan.waiting)
        why = "other programs, or storage"
        lines.append(("  as slow as here", f"{longer}: the sample waited for {why}"))
    if plan.money is not None:
        paid = f"{cores} for the wall time, {plan.price_per_core_hour:g} each core-hour"
        lines.append(("money", f"{_range(plan.money, lambda n: f'{n:,.2f}')}: {paid}"))
    return lines


def _gpu(plan: Plan) -> str:
    if plan.gpu_s is None:
        return "not measured: no GPU is used here"
    return f"{_range(plan.gpu_s, _hours)} in the network, of one GPU like that here"


def _storage(plan: Plan) -> list[tuple[str, str]]:
    return [
        ("bytes read", _bytes(plan.bytes_read)),
        ("bytes written", _range(plan.bytes_written, _bytes)),
        ("size of results", _range(plan.results_bytes, _bytes)),
    ]


def _range(estimate: Estimate, text: Callable[[float], str]) -> str:
    low, value, high = map(text, (estimate.low, estimate.value, estimate.high))
    return value if low == high else f"{value} ({low} to {high})"


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.1f}" if hours >= 10 else f"{hours:.3f}"


def _bytes(count: float) -> str:
    """A number of bytes with three digits."""
    unit = 0
    while count >= 999.5 and unit < len(UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.3g} {UNITS[unit]}"


def _reasons(reasons: Mapping[str, int]) -> str:
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered)
