"""The command `models`: architectures and shipped checkpoints."""

from typing import Any

from models.architectures import ARCHITECTURES, parameter_count
from models.checkpoint import read_info
from models.expectation import NATURAL_SHARES
from models.loading import SHIPPED, shipped_checkpoints


def listing() -> dict[str, Any]:
    """Architectures with parameter counts, and the metadata of each shipped checkpoint."""
    checkpoints = []
    for name in shipped_checkpoints():
        path = SHIPPED / f"{name}.safetensors"
        info = read_info(path)
        checkpoints.append(
            {
                "name": name,
                "architecture": info.architecture,
                "labels": list(info.labels),
                "size_bytes": path.stat().st_size,
                "licence": info.licence,
                "natural": NATURAL_SHARES | info.natural,  # shares of neutral: `--expect natural`
                "metrics": info.summary(),
            }
        )
    counts = {name: parameter_count(name) for name in ARCHITECTURES}
    return {"architectures": counts, "checkpoints": checkpoints}


def as_text(found: dict[str, Any]) -> str:
    """The listing for a terminal."""
    lines = ["architectures"]
    lines += [
        f"  {name:<12} {'those of its directory' if count is None else f'{count:,} parameters'}"
        for name, count in found["architectures"].items()
    ]
    lines.append("checkpoints")
    for each in found["checkpoints"]:
        lines.append(
            f"  {each['name']:<12} {each['architecture']}, {each['size_bytes'] / 1e6:.1f} MB: "
            + ", ".join(each["labels"])
        )
        lines += [f"    {line}" for line in _figures(each["metrics"])]
        lines.append(f"    {each['licence']}")
    return "\n".join(lines)


def _figures(metrics: dict[str, Any]) -> list[str]:
    return [
        f"{where}: " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in figures.items())
        for where, figures in metrics.items()
    ]
