"""The routes of the server."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from batch_ser import __version__
from jobs.batcher import Batcher
from jobs.serve.children import Children
from jobs.serve.docs_page import docs_page
from jobs.serve.guard import STORED_NOWHERE
from jobs.serve.metrics import Metrics
from jobs.serve.refusals import Refused, of_status
from jobs.serve.scoring import Scoring
from models import Checkpoint
from models.listing import listing

FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


CHANNELS = Query(
    description="split: each channel by itself; mix: all as one; or numbers such as 0 or 0,1."
)


def make_app(
    checkpoint: Checkpoint,
    batcher: Batcher,
    children: Children,
    scoring: Scoring,
    metrics: Metrics,
    channels: str,
) -> FastAPI:
    """The application, without its guard and without the page; `channels` where none are named."""
    app = FastAPI(
        title="batch-ser",
        version=__version__,
        description="Speech emotion recognition: recordings to probabilities of emotions.",
        docs_url=None,  # that of FastAPI loads its scripts from elsewhere
        redoc_url=None,
    )
    _answer_refusals(app)
    _add_predict(app, scoring, channels)
    _add_information(app, checkpoint, metrics, lambda: batcher.is_alive and children.is_alive)
    return app


def _add_predict(app: FastAPI, scoring: Scoring, default: str) -> None:
    @app.post("/predict", openapi_extra=FORM)
    async def predict(
        request: Request,
        segments: Annotated[bool, Query(description="Also every segment.")] = False,
        channels: Annotated[str, CHANNELS] = default,
    ) -> JSONResponse:
        """Score one recording: what `batch-ser predict` prints of it."""
        found = await scoring.of_request(request, channels)
        if not segments:
            del found["segments"]
        return JSONResponse(found, headers=STORED_NOWHERE)


def _add_information(
    app: FastAPI, checkpoint: Checkpoint, metrics: Metrics, is_well: Callable[[], bool]
) -> None:
    models = {"served": _served(checkpoint)} | listing()

    @app.get("/health")
    async def health() -> JSONResponse:
        """Whether the server scores recordings: status 200, else 503."""
        well = is_well()
        content = {"status": "ok" if well else "restarting", "model": checkpoint.info.name}
        return JSONResponse(content, 200 if well else 503, headers=STORED_NOWHERE)

    @app.get("/models")
    async def models_known() -> dict[str, Any]:
        """The checkpoint that is served, and what `batch-ser models --json` prints."""
        return models

    @app.get("/metrics")
    async def metrics_text() -> Response:
        """Counts for Prometheus."""
        return Response(metrics.as_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))


def _served(checkpoint: Checkpoint) -> dict[str, Any]:
    info = checkpoint.info
    return {
        "name": info.name,
        "architecture": info.architecture,
        "labels": list(info.labels),
        "licence": info.licence,
        "sha256": checkpoint.digest,
    }


def _answer_refusals(app: FastAPI) -> None:
    """Every error in one form, without a trace."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body, error.status, headers=error.headers | STORED_NOWHERE)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        body = Refused(422, "bad_request", f"{place}: {first['msg']}").body
        return JSONResponse(body, 422)

    @app.exception_handler(HTTPException)
    async def by_status(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(of_status(error.status_code).body, error.status_code)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
        body = Refused(500, "internal_error", "an error of the program, which its log has").body
        return JSONResponse(body, 500)
