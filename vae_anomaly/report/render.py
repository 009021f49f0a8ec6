"""A report as one HTML page that needs nothing but itself.

Values of the table are data: the template escapes them, the script makes text nodes of them, and the page's content
security policy lets nothing run or load but its own script, style and pictures, which it knows by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from vae_anomaly.errors import MissingExtraError
from vae_anomaly.report._payload import payload
from vae_anomaly.report._visible import spelt
from vae_anomaly.report.facts import Report

if TYPE_CHECKING:
    from jinja2 import Environment

PRINTED = 200
"""Alerts that are printed at most."""


def check_jinja2() -> None:
    """Raise a `MissingExtraError` if there can be no page."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("jinja2", "report") from error


def render(report: Report, made: datetime | None = None) -> str:
    """Write a report as HTML.

    Parameters
    ----------
    report : Report
        What to show.
    made : datetime, optional
        When; now by default. The same report of the same time is the same page, to the last byte.

    Returns
    -------
    str
        The page.

    Raises
    ------
    MissingExtraError
        jinja2 is not installed.
    """
    check_jinja2()
    environment = _environment()
    style, script = (_source(environment, name) for name in ("report.css", "report.js"))
    moment = datetime.now().astimezone() if made is None else made
    return environment.get_template("report.html").render(
        report=report,
        scope=report.scope,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=_embedded(payload(report) | {"printed": PRINTED}),
        made=f"{moment:%Y-%m-%d %H:%M}",
        pictures=[(picture, _data_url(picture.svg)) for picture in report.pictures],
        unreached=sum(alert.nearest is not None and not alert.nearest.reached for alert in report.alerts),
        odd=[column for column in report.columns if column.remarks],
        printed=PRINTED,
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from vae_anomaly.decision.guarantee import percent

    loader = PackageLoader("vae_anomaly.report", "templates")
    environment = Environment(
        loader=loader,
        autoescape=True,
        finalize=spelt,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=_count, nats=_nats, percent=percent)
    return environment


def _source(environment: Environment, name: str) -> Any:
    """Our own style or script, which is not escaped."""
    from markupsafe import Markup

    assert environment.loader is not None  # noqa: S101
    return Markup(environment.loader.get_source(environment, name)[0])  # noqa: S704


def _embedded(data: dict[str, Any]) -> Any:
    """JSON that no parser of HTML takes for anything but text: in ASCII, with <, >, & and ' as escapes."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(data, dumps=json.dumps, allow_nan=False, separators=(",", ":"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_url(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _count(number: float) -> str:
    return f"{number:,}"


def _nats(score: float) -> str:
    return f"{score:,.2f}"
