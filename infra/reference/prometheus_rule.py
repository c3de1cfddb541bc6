"""Writes the rules of Prometheus as its operator takes them: `python -m infra.reference.prometheus_rule`."""

from pathlib import Path
from typing import Final

_INFRA: Final = Path(__file__).parents[1]
RULES: Final = _INFRA / "prometheus" / "rules"
MANIFEST: Final = _INFRA / "kubernetes" / "components" / "monitoring" / "prometheus-rule.yaml"

_HEAD: Final = """# The rules of infra/prometheus/rules, made of them by `python -m infra.reference.prometheus_rule`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: embed-search
spec:
  groups:
"""
_GROUPS: Final = "groups:\n"


def prometheus_rule() -> str:
    """The manifest; a rule file is comments, and then its groups."""
    groups = [path.read_text().split(_GROUPS, 1)[1] for path in sorted(RULES.glob("*.yml"))]
    lines = "".join(groups).splitlines()
    return _HEAD + "".join(f"  {line}\n" if line else "\n" for line in lines)


if __name__ == "__main__":
    MANIFEST.write_text(prometheus_rule())
