"""The parts of a dashboard, and the JSON that Grafana wants of them."""

from typing import Any, Final

import msgspec

_WIDTH: Final = 24  # columns of Grafana's grid
_HEIGHT: Final = 8
_SCHEMA: Final = 41  # of Grafana 12
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]


class Series(msgspec.Struct, frozen=True):
    """Lines of a graph.

    Attributes:
        expression: in PromQL.
        legend: with labels as `{{label}}`.
    """

    expression: str
    legend: str


class Panel(msgspec.Struct, frozen=True):
    """One graph.

    Attributes:
        title: what it shows.
        unit: as Grafana names it.
        series: in it.
        limit: drawn as a line, where alerts begin; None for none.
        explanation: shown on demand.
    """

    title: str
    unit: str
    series: tuple[Series, ...]
    limit: float | None = None
    explanation: str = ""


class Dashboard(msgspec.Struct, frozen=True):
    """One page of graphs.

    Attributes:
        uid: stays the same, so that links go on working.
        title: of the page.
        rows: of panels, which share the width.
    """

    uid: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]


def grafana_json(dashboard: Dashboard) -> bytes:
    """What Grafana reads."""
    panels, number = [], 0
    for height, row in enumerate(dashboard.rows):
        width = _WIDTH // len(row)
        for column, panel in enumerate(row):
            number += 1
            place = {"x": column * width, "y": height * _HEIGHT, "w": width, "h": _HEIGHT}
            panels.append(_panel(panel, number, place))
    page = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["embed-search"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_datasource(), _instance()]},
        "panels": panels,
    }
    return msgspec.json.format(msgspec.json.encode(page)) + b"\n"


def _panel(panel: Panel, number: int, place: Json) -> Json:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "expr": each.expression,
            "legendFormat": each.legend,
            "datasource": _DATASOURCE,
        }
        for index, each in enumerate(panel.series)
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.explanation,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **_limit(panel.limit)}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }


def _limit(limit: float | None) -> Json:
    if limit is None:
        return {}
    steps = [{"color": "green", "value": None}, {"color": "red", "value": limit}]
    return {"thresholds": {"mode": "absolute", "steps": steps}, "custom": {"thresholdsStyle": {"mode": "line"}}}


def _datasource() -> Json:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _instance() -> Json:
    return {
        "name": "instance",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": 'label_values(up{job="embed-search"}, instance)', "refId": "instance"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
