"""What of Gradio the page needs, and nothing else of it.

Where an upload is expected, a mounted Gradio (6.31) takes the name of any file of this machine, and
any address of another, and copies what it finds to the uploads. It also has routes that fetch
addresses, and others for its own development.
"""

import re
import secrets
from pathlib import Path
from typing import Any

API = "/gradio_api"
NEEDED = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json)|/(assets|static)/.*"
    rf"|{API}/(startup-events|theme\.css|upload|upload_progress|queue/(join|data)|reset|cancel)"
    rf"|{API}/heartbeat/\w+|{API}/file=/.*"
)


OWN = dict.fromkeys(("/health", "/docs", "/models", "/metrics", "/openapi.json"), "GET") | {
    "/predict": "POST"
}  # routes of the interface, each with its method


def is_known(path: str) -> bool:
    """Whether a route is the interface's own or one that the page needs."""
    return path in OWN or bool(NEEDED.fullmatch(path))


def take_uploads_only(component: Any, private: Path) -> None:
    """Let a component of Gradio refuse all names but those of files in the folder of uploads."""
    from gradio import Error

    def checked(name: str | Path | None) -> str | None:
        if name is not None and private not in Path(name).resolve().parents:
            raise Error("expected an upload", print_exception=False)
        return None if name is None else str(name)

    async def checked_async(name: str | Path | None) -> str | None:
        return checked(name)

    component.move_resource_to_block_cache = checked
    component.async_move_resource_to_block_cache = checked_async
    if hasattr(component, "_process_single_file"):  # it leaves an empty file beside each
        component._process_single_file = lambda file: file.path


def separate_uploads() -> None:
    """Give each upload a folder of its own, and remove what has come of one that breaks off.

    Gradio names a folder by the content, so that of two users' same recording one would go with the
    request of the other; and it keeps what has come until a client left.
    """
    from gradio import route_utils

    class SeparateUpload(route_utils.GradioUploadFile):  # type: ignore[misc]
        def __init__(self, *positional: Any, **named: Any) -> None:
            super().__init__(*positional, **named)
            self.sha.update(secrets.token_bytes())

    class WholeUploads(route_utils.GradioMultiPartParser):  # type: ignore[misc]
        async def parse(self) -> Any:
            try:
                return await super().parse()
            except BaseException:
                for file in self._files_to_close_on_error:
                    file.close()
                    Path(file.name).unlink(missing_ok=True)
                raise

    route_utils.GradioUploadFile = SeparateUpload
    route_utils.GradioMultiPartParser = WholeUploads
