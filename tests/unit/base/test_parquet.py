"""What a Parquet file claims is read without Polars, and believed only where it fits the bytes."""

import io

import numpy as np
import polars as pl
import pytest

from sterling.base.parquet import weigh

FRAME = pl.DataFrame(
    {"a": np.arange(500) / 7, "b": [1, None] * 250, "c": ["left", "right"] * 250, "d": [[1, 2], [3]] * 250}
)


def written(frame=FRAME, **options):
    stream = io.BytesIO()
    frame.write_parquet(stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "uncompressed"},
        {"compression": "snappy"},
        {"row_group_size": 64},
        {"data_page_size": 99},
    ],
    ids=str,
)
def test_whole_files_weigh_at_least_what_they_hold(options):
    data = written(**options)
    assert FRAME.estimated_size() <= weigh(data) < 100 * len(data)
    assert pl.read_parquet(io.BytesIO(data)).equals(FRAME)


def test_one_value_in_many_rows_weighs_as_many():
    frame = pl.DataFrame({"a": ["x" * 1000] * 100_000})
    assert len(written(frame)) < 10_000
    assert weigh(written(frame)) > 1_600_000


@pytest.mark.parametrize("cut", [0, 3, 11, 40, -9, -4])
def test_a_file_that_is_cut_is_refused(cut):
    with pytest.raises(ValueError, match=r"description|does not end"):
        weigh(written()[:cut])


def test_any_altered_byte_is_refused_or_harmless():
    """Nothing but ValueError is raised."""
    data = written(FRAME.head(20), statistics=False)
    rng, refused = np.random.default_rng(5), 0
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] = rng.integers(256)
        try:
            assert weigh(bytes(altered)) > 0
        except ValueError:
            refused += 1
    assert refused > len(data) // 10
