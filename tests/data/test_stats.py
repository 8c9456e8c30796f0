import io

import numpy as np
import pytest
from rich.console import Console

from geolangbind.data.shards import ShardSet
from geolangbind.data.stats import render_bands, render_stats, stats, stream_stats
from geolangbind.data.write import ShardWriter


def test_figures_equal_those_of_all_pixels_at_once(folder, make_sample):
    rows = {row.modality: row for row in stats(folder)}
    for kind, count, factor in (("rgb", 10, 1 / 255), ("sar", 7, 1.0), ("msi", 23, 1e-4)):
        pixels = np.stack([make_sample(number, kind).image for number in range(count)]).astype(np.float64) * factor
        for name, expected in (("mean", pixels.mean((0, 2, 3))), ("std", pixels.std((0, 2, 3)))):
            np.testing.assert_allclose(getattr(rows[kind], name), expected, rtol=1e-5)
        np.testing.assert_allclose(rows[kind].low, pixels.min((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(rows[kind].high, pixels.max((0, 2, 3)), rtol=1e-6)
        assert (rows[kind].samples, rows[kind].captions, rows[kind].valid_fraction) == (count, count, 1.0)
    assert rows["msi"].teachers == ("vit",)
    assert rows["msi"].n_bytes == sum(path.stat().st_size for path in folder.glob("msi-00000?.tar"))


def test_no_data_does_not_count(tmp_path, make_sample):
    stored = np.full((4, 6, 8), 5000, np.uint16)
    stored[:, :3] = 0
    with ShardWriter(tmp_path, "x") as writer:
        writer.write(make_sample(0, image=stored, nodata=0.0))
    (row,) = stats(tmp_path)
    assert row.valid_fraction == 0.5
    np.testing.assert_allclose(row.mean, 0.5, rtol=1e-6)
    np.testing.assert_allclose(row.std, 0, atol=1e-7)
    np.testing.assert_allclose(row.low, 0.5, rtol=1e-6)


def test_small_spread_on_a_large_mean_is_kept(tmp_path, make_sample):
    """290 K with 0.01 K of spread: a plain float32 sum of squares would lose it."""
    values = (290 + 0.01 * np.random.default_rng(0).standard_normal((70, 4, 6, 8))).astype(np.float32)
    with ShardWriter(tmp_path, "x") as writer:
        for number, image in enumerate(values):
            writer.write(make_sample(number, image=image, scale=1.0))
    row = stream_stats(ShardSet.open(tmp_path).streams[0])
    assert row.std == pytest.approx(values.astype(np.float64).std((0, 2, 3)), rel=1e-4)


def test_tables_show_each_stream_and_each_band(folder):
    rows = stats(folder, progress=iter)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_stats(rows))
    text = console.export_text()
    assert all(word in text for word in ("sentinel-2-l2a", "aerial-rgb", "sigma0_db", "4x6x8", "vit", "100.0%"))
    console.print(render_bands(rows[-1]))
    assert all(band in console.export_text(clear=False) for band in rows[-1].bands)
