"""Rendering of pages by Jinja, with everything that a page needs inside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt_dbtcloud.redaction import Redact, redact
from dlt_dbtcloud.report.page import Overview, RunPage, outcome_of
from dlt_dbtcloud.report.rendering.content import Content, duration_text, time_text
from dlt_dbtcloud.report.rendering.drawing import Drawing
from dlt_dbtcloud.report.rendering.embedding import data_json, details_text, digest
from dlt_dbtcloud.report.rendering.texts import Texts
from dlt_dbtcloud.report.rendering.trends import trend_values
from dlt_dbtcloud.report.rendering.view import View
from dlt_dbtcloud.report.trend import Trend

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "MissingJinjaError",
    "check_jinja",
    "render",
    "render_overview",
    "render_run",
    "render_trend",
]


_ASSETS = Path(__file__).parent / "assets"
_RUN_SCRIPTS = (
    "dom.js",
    "details.js",
    "timeline.js",
    "lineage.js",
    "table.js",
    "run.js",
    "live.js",
)
# bytes of a page, at most: of its nodes if they are many; and of its compressed details
_SIZE, _SIZE_PER_NODE, _DETAILS = 2_000_000, 1_000, 1_000_000
_PLACE = '<script type="text/plain" id="details">'


class MissingJinjaError(ImportError):
    """Jinja is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "The page of a run needs Jinja. Install it with "
            '`pip install "dlt-dbtcloud[report]"` or `pip install jinja2`.'
        )


def render_run(page: RunPage, redact: Redact = redact) -> str:
    """Return the page of a run: one HTML document that loads nothing else.

    Args:
        page: The data of the page.
        redact: Removes secrets and control characters from a text.

    Raises:
        MissingJinjaError: Jinja is not installed.
    """
    content = Content(page, Texts(redact))
    drawing = Drawing(content)
    document = render(
        "run.html.j2",
        _RUN_SCRIPTS,
        View(content).shown(),
        data=data_json(drawing.data()),
        may_fetch=page.refresh is not None,
    )
    # no text of the page contains the tag, as all are escaped
    before, place, after = document.rpartition(_PLACE)
    most = max(_SIZE, _SIZE_PER_NODE * len(content.ids))
    room = max(0, min(_DETAILS, most - len(document.encode())))
    return before + place + details_text(drawing.details, room) + after


def render_overview(overview: Overview, redact: Redact = redact) -> str:
    """Return the page of the jobs of an account and their runs.

    Args:
        overview: The jobs.
        redact: Removes secrets and control characters from a text.

    Raises:
        MissingJinjaError: Jinja is not installed.
    """
    texts = Texts(redact)
    line = texts.line
    jobs = [
        {
            "id": job.id,
            "name": line(job.name) or f"Job {job.id}",
            "commands": [line(command, 300) for command in job.commands],
            "more": job.more,
            "runs": [
                {
                    "id": run.id,
                    "status": line(run.status, 40),
                    "outcome": outcome_of(run.status),
                    "url": texts.url(run.url),
                    "created": time_text(run.created_at),
                    "seconds": duration_text(run.seconds),
                    "cause": line(run.cause, 255),
                }
                for run in job.runs
            ],
        }
        for job in overview.jobs
    ]
    is_live = overview.refresh is not None
    shown = {
        "title": line(overview.name),
        "account_id": overview.account_id,
        "jobs": jobs,
        "is_live": is_live,
    }
    data = data_json({"refresh": overview.refresh})
    scripts = ("dom.js", "overview.js", "live.js")
    return render("overview.html.j2", scripts, shown, data=data, may_fetch=is_live)


def render_trend(trend: Trend, redact: Redact = redact) -> str:
    """Return the page of a job's runs over time, which has no scripts.

    Args:
        trend: The data of the page.
        redact: Removes secrets and control characters from a text.

    Raises:
        MissingJinjaError: Jinja is not installed.
    """
    return render("trend.html.j2", (), trend_values(trend, Texts(redact)))


def render(
    template: str,
    scripts: tuple[str, ...],
    shown: Mapping[str, Any],
    *,
    data: str = "null",
    may_fetch: bool = False,
) -> str:
    """Return a document.

    Args:
        template: The file of the template.
        scripts: The files of its scripts.
        shown: What the template shows.
        data: The data of its scripts, as `data_json` returns them.
        may_fetch: Whether its scripts may read from the server that it is from.
    """
    style, script = _asset("page.css"), "\n".join(map(_asset, scripts))
    policy = [
        "default-src 'none'",
        f"style-src {digest(style)}",
        f"script-src {digest(script)}" if scripts else "script-src 'none'",
        *(["connect-src 'self'"] if may_fetch else []),
        "base-uri 'none'",
        "form-action 'none'",
    ]
    from_jinja = _environment().get_template(template)
    return from_jinja.render(
        **shown,
        policy="; ".join(policy),
        style=_trusted(style),
        script=_trusted(script),
        data=_trusted(data),
    )


def check_jinja() -> None:
    """Check that Jinja is installed, before anything else is done.

    Raises:
        MissingJinjaError: It is not.
    """
    _environment()


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingJinjaError from error
    return Environment(
        loader=FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _trusted(text: str) -> Any:
    """Return a text that the template does not escape: this package's own, or escaped JSON."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704, it is escaped already


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
