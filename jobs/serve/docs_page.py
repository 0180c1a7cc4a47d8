"""The page at `/docs`: the routes, from their OpenAPI description, without a script."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} API</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
       color-scheme: light dark }}
code, pre {{ font-size: 14px }}
pre {{ padding: .75rem; border: 1px solid #8888; overflow-x: auto }}
h2 {{ margin-top: 2rem }}
</style>
<h1>{title} {version}</h1>
<p>{description} The same as <a href="openapi.json">OpenAPI</a>.</p>
{routes}
<h2>Example</h2>
<pre>curl -F file=@call.wav 'http://127.0.0.1:8000/predict?segments=true'</pre>
<p>Where the server has a token, every request carries it: <code>-H "Authorization: Bearer
$TOKEN"</code>. A request that gets no prediction is answered with
<code>{{"error": {{"reason": ..., "message": ...}}}}</code>.</p>
</html>
"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """The page, of an OpenAPI description."""
    info = schema["info"]
    routes = "\n".join(
        part
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
        for part in _route(method, path, route)
    )
    return PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        description=escape(info["description"]),
        routes=routes,
    )


def _route(method: str, path: str, route: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
    yield f"<p>{escape(route.get('description', ''))}</p>"
    parameters = [
        f"<li><code>{escape(each['name'])}</code>: {escape(each.get('description', ''))}</li>"
        for each in route.get("parameters", ())
    ]
    if "requestBody" in route:
        parameters.append("<li><code>file</code>: the recording, as multipart/form-data</li>")
    if parameters:
        yield f"<ul>{''.join(parameters)}</ul>"
