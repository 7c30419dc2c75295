"""Readers for the columns of ringwatch's tables that do not add up by SUM: histograms and sketches.

Works on plain Python values, as Polars, pandas, PyArrow or DuckDB hand them out; needs `datasketches`
for `distinct` alone. Rows may be any: windows, rings, partitions, revisions.
"""

from collections import Counter
from pathlib import Path

LG_K = 12


def files(data, dataset):
    """The Parquet files of a dataset as strings; none of them is ever half written."""
    return sorted(map(str, Path(data, "tables", dataset).glob("*/*.parquet")))


def merged(le_lists, n_lists):
    """The histogram of several rows: upper bound of each bucket -> count, ascending."""
    total = Counter()
    for le, n in zip(le_lists, n_lists, strict=True):
        if le is not None:
            for bound, count in zip(le, n, strict=True):
                total[int(bound)] += int(count)
    return dict(sorted(total.items()))


def quantile(histogram, q):
    """The q-quantile as the upper bound of its bucket, at most 1/16 above it; None of no value."""
    needed, reached = q * sum(histogram.values()), 0
    for bound, count in histogram.items():
        reached += count
        if reached >= needed:
            return bound
    return None


def quantile_of(le_lists, n_lists, q):
    """As the macro of that name in macros.sql."""
    return quantile(merged(le_lists, n_lists), q)


def bucket(value):
    """The upper bound of the bucket that holds a value: exact to 32, then 16 a power of two."""
    width = 1 << max((value | 1).bit_length() - 1 - 4, 0)
    return value | (width - 1)


def distinct_of(sketches):
    """Devices in the sketches of several rows together: exact to 384, then within 5 %."""
    import datasketches

    union = datasketches.hll_union(LG_K)
    for sketch in sketches:
        if sketch is not None:
            union.update(datasketches.hll_sketch.deserialize(bytes(sketch)))
    return round(union.get_estimate())
