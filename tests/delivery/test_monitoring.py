"""Rules, dashboards and runbooks speak of metrics that there are, and of each other."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.grafana.pages import DASHBOARDS, DIRECTORY
from infra.grafana.panels import grafana_json
from infra.reference.prometheus_rule import MANIFEST, RULES, prometheus_rule
from streams.metrics import Metric
from streams.metrics.names import MetricDefinition
from streams.settings import PREFIX
from tests.delivery.manifests import ROOT, documents
from tests.delivery.names import SETTINGS, api_paths, understands
from tests.delivery.promql import grouped, selectors

PROMETHEUS = ROOT / "infra" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULE_TESTS = PROMETHEUS / "tests" / "alerts.test.yml"
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
BY_SCRAPING = {"instance", "job"}
_PARTS = ("_bucket", "_count", "_sum")
_VALUES = re.compile(r"`([^`]+)`")


def _rules(path: Path) -> list[dict[str, Any]]:
    return [rule for group in documents(path)[0]["groups"] for rule in group["rules"]]


ALERTS = _rules(RULES / "alerts.yml")
RECORDED = {rule["record"]: rule["expr"] for rule in _rules(RULES / "recording.yml")}


def _expressions() -> Iterator[tuple[str, str]]:
    """Every expression, and where it is."""
    yield from RECORDED.items()
    yield from ((rule["alert"], rule["expr"]) for rule in ALERTS)
    for dashboard in DASHBOARDS:
        page = json.loads((DIRECTORY / f"{dashboard.uid}.json").read_text())
        for panel in page["panels"]:
            yield from ((f"{page['title']}: {panel['title']}", target["expr"]) for target in panel["targets"])


def _defined(name: str) -> MetricDefinition | None:
    """The metric of a series, whose name has a suffix where it is part of a histogram."""
    definitions = {metric.value.name: metric.value for metric in Metric}
    whole = next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)
    found = definitions.get(whole)
    return found if found and (whole == name) == (found.kind != "histogram") else None


def _labels(name: str) -> set[str]:
    """The labels of a series, those that scraping adds included; of what is recorded, those that it keeps."""
    if name in OF_PROMETHEUS:
        return OF_PROMETHEUS[name]
    if name in RECORDED:
        return grouped(RECORDED[name]) - {"le"}
    definition = _defined(name)
    assert definition, f"there is no metric {name}"
    return {*definition.label_names, *BY_SCRAPING, *({"le"} if name.endswith("_bucket") else ())}


@pytest.mark.parametrize(("place", "expression"), list(_expressions()))
def test_what_is_asked_for_is_measured(place: str, expression: str) -> None:
    """Every metric exists, every label is one of its own, and every value of a label is one that it can have."""
    asked = list(selectors(expression))
    assert asked, place
    known: set[str] = set()
    for selector in asked:
        known |= _labels(selector.name)
        definition = _defined(selector.name)
        for label, operator, value in selector.matchers:
            assert label in _labels(selector.name), (place, label)
            if operator in ("=", "!=") and definition and label in definition.label_names:
                described = next(each.values for each in definition.labels if each.name == label)
                assert value in {*_VALUES.findall(described), *(api_paths() if label == "route" else ())}, (
                    place,
                    value,
                )
            if label == "le" and definition:
                assert float(value) in definition.buckets
    assert grouped(expression) <= known, place


def test_every_metric_is_shown() -> None:
    """A metric that no dashboard and no rule uses is one that nobody sees; these are for looking at by hand."""
    by_hand = {"embed_search_breaker_changes_total", "embed_search_requests_total"}
    used = {_defined(each.name) for _, expression in _expressions() for each in selectors(expression)}
    names = {definition.name for definition in used if definition}
    assert {metric.value.name for metric in Metric} - names == by_hand


def test_the_operator_gets_the_same_rules() -> None:
    """The manifest is made of the rules; after a change it must be made anew."""
    assert MANIFEST.read_text() == prometheus_rule()
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in documents(path)[0]["groups"]]
    assert documents(MANIFEST)[0]["spec"]["groups"] == groups


def test_dashboards_are_what_the_code_says() -> None:
    """The files are generated; after a change they must be generated anew."""
    assert {path.name for path in DIRECTORY.glob("*")} == {f"{dashboard.uid}.json" for dashboard in DASHBOARDS}
    for dashboard in DASHBOARDS:
        assert (DIRECTORY / f"{dashboard.uid}.json").read_bytes() == grafana_json(dashboard)


def test_every_alert_has_its_runbook() -> None:
    """And every runbook its alert; the list has them all."""
    pages = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in ALERTS}
    assert {Path(page).name for page in pages.values()} == {path.name for path in RUNBOOKS.glob("*.md")} - {"README.md"}
    listed = (RUNBOOKS / "README.md").read_text()
    for alert, page in pages.items():
        text = (ROOT / page).read_text()
        assert text.startswith(f"# {alert}\n")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["What it means", "What to look at", "What to do"]
        assert f"[{alert}]({Path(page).name})" in listed
    assert {rule["labels"]["severity"] for rule in ALERTS} == {"page", "ticket"}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_name_what_there_is(page: Path) -> None:
    """Metrics, settings, commands, paths of the API, and other pages."""
    text = page.read_text()
    for selector in selectors(text):
        assert {label for label, _, _ in selector.matchers} <= _labels(selector.name)
    assert set(re.findall(rf"\b{PREFIX}\w+", text)) <= SETTINGS
    for command in re.findall(r"`embed-search ([a-z]+[a-z -]*?)(?: [A-Z]+)?`", text):
        assert understands(command.split()), command
    asked = {path.replace("METHOD", "{method:str}") for path in re.findall(r"localhost:8080(/[\w/-]+)", text)}
    assert asked <= api_paths()
    assert [link for link in re.findall(r"\]\(([\w.-]+\.md)\)", text) if not (RUNBOOKS / link).exists()] == []


def test_every_alert_is_tested() -> None:
    """By name, in the file of promtool."""
    tested = RULE_TESTS.read_text()
    assert {rule["alert"] for rule in ALERTS if rule["alert"] not in tested} == set()


def test_alerts_fire_when_they_should() -> None:
    """As promtool plays it, which Debian has in the package prometheus."""
    check, play = "check config --lint-fatal", "test rules"
    for what, file in ((check, PROMETHEUS / "prometheus.yml"), (play, RULE_TESTS)):
        argv = ["promtool", *what.split(), str(file)]
        played = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        assert played.returncode == 0, played.stdout + played.stderr
