"""What all tests share: where recordings that are not part of the project lie."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of public recordings: SOLOSENSE_DATA, else ../shared/data."""
    folder = Path(os.environ.get("SOLOSENSE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} is not a folder; set SOLOSENSE_DATA to one")
    return folder
