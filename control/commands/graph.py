"""`reflexarc graph`: a flow, or its training graph, as a drawing."""

from pathlib import Path
from typing import Literal

import typer

from reflexarc.control.drawing import draw_mermaid, draw_svg, draw_text
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow_file import load_flow

__all__ = ["run_graph"]

_DRAW = {"text": draw_text, "mermaid": draw_mermaid, "svg": draw_svg}


def run_graph(flow: str, form: Literal["text", "mermaid", "svg"], training: bool, out: Path | None) -> None:
    """Draw it to the terminal or to a file.

    Raises:
        ReflexarcError: The flow is not right, or the file cannot be written.
    """
    drawing = _DRAW[form](load_flow(flow), training=training)
    if out is None:
        typer.echo(drawing)
        return
    try:
        out.write_text(drawing + "\n", encoding="utf-8")
    except OSError as error:
        raise ReflexarcError(f"{out}: the drawing cannot be written ({error.strerror}).") from None
