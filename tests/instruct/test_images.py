"""What is known of the images that rows name."""

import datetime as dt

import pytest

from geolangbind.data.write import write_index, write_shard
from geolangbind.errors import DataError
from geolangbind.instruct.images import Images
from geolangbind.instruct.rows import Row, StoredImage, write_pairs
from geolangbind.interleaved.segments import Image


def test_the_day_of_a_sample_is_read_or_the_sample_named(chip, tmp_path):
    samples = [chip("rgb-1", date="2020-05-01T10:20:00Z"), chip("rgb-2", date="01/05/2020"), chip("rgb-3")]
    write_index(tmp_path / "chips", [write_shard(tmp_path / "chips" / "s-000000.tar", samples)])
    one, other, none = (Image(StoredImage("chips", sample.key)) for sample in samples)
    images = Images(write_pairs(tmp_path / "pairs", {"chips": tmp_path / "chips"}, {"all": ([Row("r", "", (one,), (one,))], {})}), None)
    assert (images.facts(one).date, images.facts(none).date) == (dt.date(2020, 5, 1), None)
    with pytest.raises(DataError, match="sample rgb-2 of shards 'chips': its datetime begins with '01/05/2020', not with a day"):
        images.facts(other)
