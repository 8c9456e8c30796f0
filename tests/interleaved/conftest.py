import pytest

from geolangbind.interleaved.vocabulary import tiny_vocabulary


@pytest.fixture(scope="session")
def vocabulary():
    return tiny_vocabulary()
