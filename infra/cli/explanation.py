"""How a score comes about, as a tree on a terminal."""

from typing import Any

from rich.text import Text
from rich.tree import Tree


def explanation_tree(title: str, explanation: dict[str, Any]) -> Tree:
    """The explanation of a hit.

    Args:
        title: of the hit.
        explanation: as the API has it.
    """
    tree = Tree(Text(title, style="bold"), guide_style="dim")
    _add(tree, explanation["fusion"])
    for method, each in explanation["methods"].items():
        _add(tree, each, method=method)
    for method, reason in explanation["errors"].items():
        tree.add(Text(f"{method}: {reason}", style="yellow"))
    return tree


def _add(tree: Tree, part: dict[str, Any], *, method: str = "") -> None:
    line = Text()
    if part.get("value") is not None:
        line.append(f"{part['value']:.6g}  ", style="cyan")
    if method:
        line.append(f"{method}: ", style="bold")
    line.append(part["description"])
    branch = tree.add(line)
    for detail in part.get("details", ()):
        _add(branch, detail)
