"""Real data sets and golden values, which skip with the reason where they are absent; processes to fork."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked import POLYTASK, Forked

ROOT = Path(__file__).resolve().parent.parent


def _folder(variable: str, default: Path, what: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"{what} are absent: {folder} is no folder; set {variable}")
    return folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    return _folder("POLYTASK_DATA", ROOT.parent / "shared" / "data", "the real data sets")


@pytest.fixture(scope="session")
def goldens_folder() -> Path:
    return _folder("POLYTASK_GOLDENS", ROOT.parent / "shared" / "goldens", "the golden values")


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Forks of a process that has imported all of polytask."""
    started = Forked(tmp_path_factory.mktemp("forked"), *POLYTASK)
    yield started
    started.close()


@pytest.fixture(scope="session")
def forked_torch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Forks of a process that has imported torch and Arrow, and nothing of polytask."""
    started = Forked(tmp_path_factory.mktemp("forked"), "torch", "pyarrow.dataset")
    yield started
    started.close()
