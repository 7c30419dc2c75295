-- DuckDB macros for the two kinds of columns that SUM does not merge: histograms and sketches.
-- Read once per connection: .read analysts/macros.sql

-- The q-quantile of histograms of any rows, as the upper bound of its bucket: at most 1/16 above it.
-- quantile_of(list(boot_ms_le), list(boot_ms_n), 0.9)
CREATE OR REPLACE MACRO quantile_of(le_lists, n_lists, q) AS (
    SELECT min(le) FROM (
        SELECT le, sum(n) OVER (ORDER BY le) AS reached, sum(n) OVER () AS total
        FROM (
            SELECT le, sum(n) AS n
            FROM (SELECT unnest(flatten(le_lists)) AS le, unnest(flatten(n_lists)) AS n)
            GROUP BY le
        )
    ) WHERE reached >= q * total
);

-- Numbers in a sketch from a byte on, each of `width` bytes, the lowest first.
CREATE OR REPLACE MACRO sketch_numbers(digits, first, count, width) AS list_transform(
    range(count),
    lambda i: list_sum(list_transform(
        range(width),
        lambda j: ('0x' || digits[(2 * (first + i * width + j) + 1):(2 * (first + i * width + j) + 2)])
            ::UBIGINT * (1::UBIGINT << (8 * j)::UBIGINT)
    ))::UINTEGER
);

-- A sketch as coupons: 26 bits of address, 6 bits of value. One with slots (mode 2) has an address
-- of 12 bits for each slot that is not empty.
CREATE OR REPLACE MACRO sketch_coupons(digits) AS CASE substr(digits, 16, 1)::INTEGER & 3
    WHEN 0 THEN sketch_numbers(digits, 8, ('0x' || digits[13:14])::INTEGER, 4)
    WHEN 1 THEN sketch_numbers(digits, 12, (length(digits) - 24) // 8, 4)
    ELSE list_filter(
        list_transform(
            sketch_numbers(digits, 40, 4096, 1),
            lambda value, slot: ((value << 26::UINTEGER) | (slot - 1)::UINTEGER)::UINTEGER
        ),
        lambda coupon: coupon >> 26::UINTEGER > 0
    )
END;

-- Devices in sketches of any rows together: distinct_of(list(devices_hll)). Exact while none of them
-- has slots (up to 384 devices each); else within 5 %, three standard errors (O. Ertl, "New
-- cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6).
CREATE OR REPLACE MACRO distinct_of(sketches) AS (
    WITH digits AS (
        SELECT DISTINCT hex(sketch) AS digits
        FROM (SELECT unnest(sketches) AS sketch) WHERE sketch IS NOT NULL
    ), coupons AS (
        SELECT DISTINCT unnest(sketch_coupons(digits)) AS coupon FROM digits
    ), slots AS (
        SELECT coupon & 4095 AS slot, max(coupon >> 26::UINTEGER) AS value FROM coupons GROUP BY slot
    ), sums AS (
        SELECT 1 - count(*) / 4096 AS empty, sum(pow(2, -value::DOUBLE)) AS inverse FROM slots
    )
    SELECT CASE
        WHEN (SELECT coalesce(bool_and(substr(digits, 16, 1)::INTEGER & 3 < 2), true) FROM digits)
        THEN (SELECT count(*) FROM coupons)
        ELSE round(4096 * 4096 / (2 * ln(2)) / (inverse + 4096 * (empty + list_sum(list_transform(
            range(1, 20), lambda k: pow(empty, pow(2, k)) * pow(2, k - 1)
        )))))::BIGINT
    END FROM sums
);
