"""The licences of the locked packages, by their own metadata: `python -m tests.delivery.licences` lists them."""

import tomllib
from importlib import metadata
from importlib.metadata import PackageMetadata

from tests.delivery.manifests import ROOT

PROJECT = "embed-search"

_CLASSIFIER = "License :: OSI Approved :: "
_NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "Apache2.0": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
"""SPDX identifiers of what packages call otherwise; BSD does not say which one, and each of them is permissive."""


def locked_packages() -> list[str]:
    """Names of all packages in the lock file but ourselves, those of development included."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return sorted({package["name"] for package in packages} - {PROJECT})


def licence(package: str) -> str | None:
    """The licence of a package as an SPDX expression, as far as it says; None where it is not installed."""
    try:
        return _told(metadata.metadata(package))
    except metadata.PackageNotFoundError:
        return None


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether one of the choices that an expression leaves is made of allowed licences alone."""
    return any(all(part.strip() in allowed for part in choice.split(" AND ")) for choice in expression.split(" OR "))


def _told(fields: PackageMetadata) -> str:
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [text.removeprefix(_CLASSIFIER) for text in fields.get_all("Classifier") or ()]
    named = [_NAMES.get(text, text) for text in classifiers if text in _NAMES]
    if named:
        return " AND ".join(dict.fromkeys(named))
    text = fields["License"].strip().partition("\n")[0] if "License" in fields else "no licence"
    return _NAMES.get(text, text)


if __name__ == "__main__":
    for name in locked_packages():
        print(f"{name}: {licence(name) or 'not installed here'}")  # noqa: T201 - this is its output
