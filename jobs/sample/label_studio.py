"""Tasks of Label Studio with pre-annotations, and the labelling interface.

Sources: https://labelstud.io/guide/predictions, https://labelstud.io/guide/storage (local storage),
https://labelstud.io/tags/choices.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from jobs.sample.task import CANNOT_TELL, Task

TASKS, TASKS_SECOND, CONFIG = "tasks.json", "tasks-second.json", "config.xml"
LOCAL_FILES = "/data/local-files/?d="  # relative to the document root, which DEST is in
CHOICES, AUDIO = "emotion", "audio"  # names of tags
DATA = ("file", "channel", "segment", "start_s", "end_s", "weight")


def write_label_studio(
    folder: Path, tasks: Sequence[Task], labels: Sequence[str], model: str
) -> list[str]:
    """All tasks, those of the second annotator, and the configuration of a project."""
    name = folder.absolute().name
    twice = [task for task in tasks if task.second]
    for file, chosen in ((TASKS, tasks), (TASKS_SECOND, twice)):
        content = [_task(name, task, model) for task in chosen]
        (folder / file).write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")
    (folder / CONFIG).write_bytes(_config(labels))
    return [TASKS, TASKS_SECOND, CONFIG]


def _task(folder: str, task: Task, model: str) -> dict[str, Any]:
    address = LOCAL_FILES + quote(f"{folder}/{task.clip}")
    result = {
        "id": f"{Path(task.clip).stem}",
        "type": "choices",
        "from_name": CHOICES,
        "to_name": AUDIO,
        "value": {"choices": [task.label]},
    }
    prediction = {"model_version": model, "score": task.confidence, "result": [result]}
    data = {AUDIO: address} | {name: getattr(task, name) for name in DATA}
    return {"data": data, "predictions": [prediction]}


def _config(labels: Sequence[str]) -> bytes:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Audio", name=AUDIO, value=f"${AUDIO}")
    of_task = {"name": CHOICES, "toName": AUDIO, "choice": "single", "required": "true"}
    choices = ElementTree.SubElement(view, "Choices", of_task)
    for label in (*labels, CANNOT_TELL):
        ElementTree.SubElement(choices, "Choice", value=label)
    ElementTree.indent(view)
    text: bytes = ElementTree.tostring(view, encoding="utf-8")
    return text + b"\n"
