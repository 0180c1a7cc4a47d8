"""An evaluation as text: `report.txt`, and what `evaluate` prints."""

from typing import Any

HEADLINES = {
    "accuracy": "accuracy (WA)",
    "uar": "UAR",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error (ECE)",
}


def as_text(found: dict[str, Any]) -> str:
    """Headline figures with intervals, then by label, sex, speaker and fold."""
    about = ("checkpoint", "data", "split", "adapted")
    lines = [f"{name}: {found[name]}" for name in about if found.get(name, "none") != "none"]
    speakers = found["speakers"]
    of = "speakers unknown" if speakers is None else f"{speakers} speakers"
    lines.append(f"{found['recordings']} recordings, {of}; labels: {', '.join(found['labels'])}")
    lines += _left_out(found["left_out"])
    lines += [found["note"]] if found.get("note") else []
    lines += (found.get("comparison") or {}).get("text", [])
    lines += ["", f"in percent, {found['interval']}"]
    lines += [_headline(title, found["headline"][name]) for name, title in HEADLINES.items()]
    if found["by_adaptation"]:
        lines += ["", "without and with adaptation", *_each(found["by_adaptation"])]
    for corpus, headline in found["by_corpus"].items():
        lines += ["", f"{corpus}, among the labels that it has"]
        lines += [_headline(title, headline[name]) for name, title in HEADLINES.items()]
    lines += ["", f"{'':<12}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}"]
    for label, each in found["by_label"].items():
        figures = "".join(f"{100 * each[name]:>10.1f}" for name in ("precision", "recall", "f1"))
        lines.append(f"{label:<12}{figures}{each['support']:>10.0f}")
    lines += _groups("macro F1 by sex", found["macro_f1_by_sex"])
    lines += _groups("UAR by speaker", found["uar_by_speaker"])
    if over := found["uar_over_speakers"]:
        figures = ", ".join(f"{name} {100 * value:.1f}" for name, value in over.items())
        lines.append(f"  over speakers: {figures}")
    if found["by_fold"]:
        lines += ["", "by fold", *_each(found["by_fold"])]
    return "\n".join(lines)


def _each(groups: dict[str, dict[str, float]]) -> list[str]:
    """The figures of each group on a line."""
    width = max(12, *(len(group) + 2 for group in groups))
    return [
        f"  {group:<{width}}" + "  ".join(f"{name} {100 * v:.1f}" for name, v in figures.items())
        for group, figures in groups.items()
    ]


def _headline(title: str, each: dict[str, Any]) -> str:
    between = ""
    if each["low"] is not None:
        between = f"  [{100 * each['low']:.1f}, {100 * each['high']:.1f}]"
    return f"  {title:<24}{100 * each['value']:>6.1f}{between}"


def _left_out(left_out: dict[str, Any]) -> list[str]:
    """What was not judged, if anything."""
    lines = []
    if left_out["recordings"]:
        labels = ", ".join(left_out["labels_of_the_data"])
        lines.append(
            f"left out: {left_out['recordings']} recordings with labels that the checkpoint does "
            f"not know ({labels})"
        )
    if left_out["labels_of_the_checkpoint"]:
        labels = ", ".join(left_out["labels_of_the_checkpoint"])
        lines.append(f"left out: labels that the data do not have ({labels})")
    return lines


def _groups(title: str, figures: dict[str, float]) -> list[str]:
    if not figures:
        return []
    return ["", title] + [f"  {name:<20}{100 * value:>6.1f}" for name, value in figures.items()]
