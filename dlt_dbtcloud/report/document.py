"""An HTML document that notebooks display."""

from __future__ import annotations

from html import escape

__all__ = ["HtmlDocument"]


# of the frame in a notebook, in pixels
_HEIGHT = 720


class HtmlDocument(str):
    """The text of an HTML document, which a notebook displays in a frame."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return a short text; a notebook keeps it beside the document."""
        return f"<HtmlDocument of {len(self):,} characters>"

    def _repr_html_(self) -> str:
        """Return a frame of its own origin, so that neither styles nor scripts leave it."""
        return (
            '<iframe sandbox="allow-scripts allow-popups allow-popups-to-escape-sandbox" '
            f'width="100%" height="{_HEIGHT}" frameborder="0" srcdoc="{escape(self)}"></iframe>'
        )
