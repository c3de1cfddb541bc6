"""Every package that is locked is under a licence that asks for no more than its text to be kept, or is named here."""

import pytest

from tests.delivery.licences import is_allowed, licence, locked_packages

ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0"}
    | {"ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"}
)

EXCEPTIONS = {
    "certifi": "MPL-2.0",  # a list of certificates, used as it is; what is changed in it would have to be shown
    "hypothesis": "MPL-2.0",  # for tests
    "pathspec": "MPL-2.0",  # of the tools that check types and make the site
    "tqdm": "MPL-2.0 AND MIT",  # of the tool that writes the model, and of a peer in benchmarks
}

NOT_FOR_LINUX = {"colorama": "BSD-3-Clause", "pywin32": "PSF-2.0"}
"""Locked because of other systems, and not installed on this one: as PyPI tells it."""


@pytest.mark.parametrize("package", locked_packages())
def test_a_package_is_under_a_licence_of_the_list(package: str) -> None:
    """Or under just the one that its exception names."""
    found = licence(package) or NOT_FOR_LINUX.get(package)
    assert found is not None, "is neither installed nor named"
    assert is_allowed(found, ALLOWED) or EXCEPTIONS.get(package) == found


def test_every_exception_is_needed() -> None:
    """One that is not would let something in unseen."""
    assert [name for name in EXCEPTIONS if is_allowed(licence(name) or "", ALLOWED)] == []
    assert EXCEPTIONS.keys() | NOT_FOR_LINUX.keys() <= set(locked_packages())


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("no licence", False),
    ],
)
def test_what_an_expression_allows(expression: str, allowed: bool) -> None:  # noqa: FBT001 - a table of cases
    """A choice is ours, what is joined holds together."""
    assert is_allowed(expression, ALLOWED) is allowed
