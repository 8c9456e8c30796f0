import os

import pytest

from geolangbind.data.block_cache import BlockCache
from geolangbind.errors import SettingsError


def _files(cache):
    return sorted(int(path.name) for path in cache.folder.rglob("0*") if path.is_file())


def test_blocks_come_back_and_half_ones_are_misses(tmp_path):
    cache = BlockCache(tmp_path, 1000)
    cache.write("aa11", 3, b"0123456789")
    assert cache.has("aa11", 3, 10)
    assert not cache.has("aa11", 3, 11)
    assert cache.read("aa11", 3, 2, 4) == b"2345"
    assert cache.read("aa11", 3, 8, 4) is None
    assert cache.read("aa11", 4, 0, 1) is None
    cache.drop("aa11", 3)
    cache.drop("aa11", 3)
    assert not cache.has("aa11", 3, 10)


def test_the_least_recently_used_go_first(tmp_path):
    cache = BlockCache(tmp_path, 1000)
    for number in range(10):
        cache.write("aa11", number, bytes(100))
        os.utime(tmp_path / "aa" / "aa11" / f"{number:08d}", (number, number))
    cache.read("aa11", 0, 0, 1)  # used just now
    cache.write("bb22", 10, bytes(100))
    assert _files(cache) == [0, 3, 4, 5, 6, 7, 8, 9, 10]  # 1100 bytes down to 900
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_cache_that_cannot_be_written_warns_and_misses(tmp_path):
    (tmp_path / "file").write_text("")
    cache = BlockCache(tmp_path / "file", 1000)
    with pytest.warns(UserWarning, match="cannot keep remote data in .*GEOLANGBIND_CACHE"):
        cache.write("aa11", 0, b"1")
    assert cache.read("aa11", 0, 0, 1) is None


def test_settings_from_the_environment(tmp_path):
    assert BlockCache.from_environment({"GEOLANGBIND_CACHE": "/x", "GEOLANGBIND_CACHE_GB": "0.5"}) == BlockCache(
        type(tmp_path)("/x"), 500_000_000
    )
    assert BlockCache.from_environment({"XDG_CACHE_HOME": str(tmp_path)}) == BlockCache(tmp_path / "geolangbind", 50_000_000_000)
    assert BlockCache.from_environment({"GEOLANGBIND_CACHE_GB": "0"}) is None
    for wrong in ("many", "-1", "nan", "inf"):
        with pytest.raises(SettingsError, match="GEOLANGBIND_CACHE_GB is"):
            BlockCache.from_environment({"GEOLANGBIND_CACHE_GB": wrong})
