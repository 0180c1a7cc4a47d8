"""The page at `/`, made with Gradio: upload, microphone, several files; nothing from elsewhere."""

import os
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from batch_ser.audio import MIX, SPLIT
from jobs.serve.page_parts import PLAYING, STYLE, article, refused_article
from jobs.serve.page_routes import separate_uploads, take_uploads_only
from jobs.serve.refusals import Refused
from jobs.serve.scoring import Scoring
from jobs.serve.serve_config import ServeConfig

FOLDER = "page"
MOST_FILES = 20  # of one click
CLEAN_S = 60  # what was uploaded and never scored goes after this time, looked for as often
COLUMN_PX = 300  # on a narrower page the microphone is below the files
CHANNELS = {MIX: "all as one", SPLIT: "each by itself"}
UPLOAD = "Recordings (WAV, MP3, FLAC, Ogg, M4A, AMR ...)"


def add_page(app: FastAPI, scoring: Scoring, config: ServeConfig, folder: Path, worth: str) -> None:
    """Mount the page; `worth` is what the scores are worth, and what not, in words."""
    private = folder / FOLDER
    private.mkdir(mode=0o700)
    _keep_to_this_machine(private)
    import gradio

    separate_uploads()

    async def score(
        files: Sequence[str] | None, spoken: str | None, channels: str
    ) -> tuple[str, None, None]:
        given = [Path(each) for each in (*(files or ()), *([spoken] if spoken else ()))]
        paths = [each for each in given if private in each.resolve().parents]
        return await _results(paths, channels, scoring), None, None

    with gradio.Blocks(
        title="batch-ser", analytics_enabled=False, delete_cache=(CLEAN_S, CLEAN_S)
    ) as page:
        gradio.Markdown(f"# Emotions in speech\n\nThe checkpoint: {escape(config.model)}. {worth}")
        with gradio.Row():
            inputs = _inputs(private)
        channels = _channels(config.channels)
        button = gradio.Button("Score", variant="primary", elem_id="score")
        results = gradio.HTML(css_template=STYLE, js_on_load=PLAYING, elem_id="results")
        button.click(score, [*inputs, channels], [results, *inputs], api_visibility="private")
    page.queue(default_concurrency_limit=config.processes, max_size=config.max_requests)
    _mount(app, page, config)


def _mount(app: FastAPI, page: Any, config: ServeConfig) -> None:
    """Put the page at `/`, without what Gradio would add to it."""
    import gradio

    theme = gradio.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    gradio.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=config.max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
    )


def _inputs(private: Path) -> list[Any]:
    """The components for recordings and for the microphone."""
    import gradio

    files = gradio.File(label=UPLOAD, file_count="multiple", type="filepath", min_width=COLUMN_PX)
    spoken = gradio.Audio(
        label="Microphone", sources=["microphone"], type="filepath", min_width=COLUMN_PX
    )
    for component in (files, spoken):
        take_uploads_only(component, private)
    return [files, spoken]


def _channels(default: str) -> Any:
    """The component for the choice of channels; Gradio refuses others than it offers."""
    import gradio

    offered = dict.fromkeys([*CHANNELS, default])
    choices = [(CHANNELS.get(each, f"only {each}"), each) for each in offered]
    return gradio.Radio(choices, value=default, label="Channels of a recording")


def _keep_to_this_machine(private: Path) -> None:
    """Set what Gradio reads when it is imported."""
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(private),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
    }


async def _results(paths: Sequence[Path], channels: str, scoring: Scoring) -> str:
    """The results of files, one after the other; the files go then."""
    found = [] if paths else ["<p>Choose a recording, or record one.</p>"]
    try:
        for path in paths[:MOST_FILES]:
            try:
                prediction, preview = await scoring.of_file(path, path.name, channels)
                found.append(article(prediction, preview))
            except Refused as refused:
                found.append(refused_article(refused, path.name))
        if len(paths) > MOST_FILES:
            found.append(f"<p>{MOST_FILES} files at a time: the others were left out.</p>")
    finally:
        for path in paths:
            shutil.rmtree(path.parent, ignore_errors=True)
    return "\n".join(found)
