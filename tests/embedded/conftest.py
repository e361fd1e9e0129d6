"""What tests of the embedded campus share."""

import pytest

from tests import postgres


@pytest.fixture
def empty_database() -> str:
    """A database of its own: the other tests keep theirs."""
    return postgres.url("empty")
