"""Faults of the field, and the tests that inject them; this module prints tests/FAULTS.md."""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
HEAD = """# Faults, and the tests that inject them

Made from `faults.toml` and from the tests' marks by `python -m tests.faults`; a test compares.

| | what goes wrong | what must come of it | shown by |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in the field."""

    what: str
    then: str
    not_here: str = ""
    """Why it has no test, where it has none."""


def faults() -> dict[str, Fault]:
    """Return all faults by name."""
    whole = tomllib.loads((HERE / "faults.toml").read_text(encoding="utf-8"))
    return {name: Fault(**body) for name, body in whole.items()}


def marks() -> dict[str, list[tuple[str, str]]]:
    """Return file and name of the tests that are marked with each fault."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(HERE.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for name in _marked(node):
                    file = str(path.relative_to(HERE))
                    found.setdefault(name, []).append((file, node.name))
    return found


def _marked(node: ast.FunctionDef) -> list[str]:
    """Return the faults that a test is marked with."""
    return [
        argument.value
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault"
        for argument in decorator.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def table() -> str:
    """Return the page."""
    shown = marks()
    rows = []
    for name, fault in faults().items():
        tests = [
            f"[{one.removeprefix('test_').replace('_', ' ')}]({file})"
            for file, one in shown.get(name, [])
        ]
        by = "; ".join(tests) or (f"*{fault.not_here}*" if fault.not_here else "**nothing yet**")
        rows.append(f"| {name} | {fault.what} | {fault.then} | {by} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(table(), end="")
