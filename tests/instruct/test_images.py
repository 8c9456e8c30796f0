"""What is known of the images that rows name: from their samples, and from what a row says of a file."""

import datetime as dt

import numpy as np
import pytest

from geolangbind.data.write import write_index, write_shard
from geolangbind.errors import DataError
from geolangbind.instruct.images import Images
from geolangbind.instruct.rows import Row, StoredImage, write_pairs
from geolangbind.interleaved.segments import Image, Text


def test_the_day_of_a_sample_is_read_or_the_sample_named(chip, tmp_path):
    samples = [chip("rgb-1", date="2020-05-01T10:20:00Z"), chip("rgb-2", date="01/05/2020"), chip("rgb-3")]
    write_index(tmp_path / "chips", [write_shard(tmp_path / "chips" / "s-000000.tar", samples)])
    one, other, none = (Image(StoredImage("chips", sample.key)) for sample in samples)
    images = Images(write_pairs(tmp_path / "pairs", {"chips": tmp_path / "chips"}, {"all": ([Row("r", "", (one,), (one,))], {})}), None)
    assert (images.facts(one).date, images.facts(none).date) == (dt.date(2020, 5, 1), None)
    with pytest.raises(DataError, match="sample rgb-2 of shards 'chips': its datetime begins with '01/05/2020', not with a day"):
        images.facts(other)


def test_one_file_keeps_the_date_and_distance_of_each_row(settings_for, reader_for, tif, tmp_path):
    path = tif(tmp_path / "a.tif", np.full((3, 64, 64), 9, np.uint8))
    reader = reader_for(settings_for())
    said = [(dt.date(2020, 5, 1), None), (dt.date(2021, 6, 2), None), (dt.date(2022, 7, 3), 0.5), (None, 2.0)]
    images = [Image(path, "sentinel-2-tci", ("R", "G", "B"), gsd_m=gsd_m, date=day) for day, gsd_m in said]
    found = [reader.images.facts(image) for image in images]
    assert [facts.date for facts in found] == [day for day, _ in said]
    assert [facts.gsd_m for facts in found] == [10.0, 10.0, 0.5, 2.0]  # the file's own pixels are 10 m wide
    prompts = [reader.write((image, Text("a field")), "").prompt.text for image in images]
    assert [prompt.split(" <image")[0] for prompt in prompts] == [
        "sentinel-2-tci 10 m 2020-05-01", "sentinel-2-tci 10 m 2021-06-02", "sentinel-2-tci 0.5 m 2022-07-03", "sentinel-2-tci 2 m",
    ]  # fmt: skip
    assert len(reader.images.refs(images)) == 1  # whose pixels are read once all the same
    assert reader.images.facts(images[0]) is found[0]
