"""What all tests share: where recordings that are not part of the project lie."""

import os
from collections.abc import Iterator
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


@pytest.fixture(scope="session", autouse=True)
def _prepared_arrays_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what tests prepare, and what the commands they run do, out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOLOSENSE_CACHE", str(tmp_path_factory.mktemp("prepared")))
        yield
