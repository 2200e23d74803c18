"""What the page on security says is shown, is shown."""

import ast
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "edge" / "SECURITY.md"


def links() -> list[tuple[str, Path]]:
    text = " ".join(PAGE.read_text().split())
    found = re.findall(r"\[([^\]]+)\]\((\.\./tests/[^)]+\.py)\)", text)
    return [(words, (PAGE.parent / path).resolve()) for words, path in found]


def test_every_test_that_the_page_on_security_names_exists():
    assert len(links()) > 15
    for words, path in links():
        tests = {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef)
        }
        assert f"test_{words.replace(' ', '_')}" in tests, (words, path)


def test_the_readme_leads_to_the_page_on_security():
    root = PAGE.parents[1]
    assert "(edge/SECURITY.md)" in (root / "README.md").read_text()
    assert "(SECURITY.md)" in (root / "edge" / "README.md").read_text()
