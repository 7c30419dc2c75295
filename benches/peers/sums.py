"""Checks that the tables of a data folder hold every message once: sums.py DATA MESSAGES.

The sums of `ring_health`'s records and duplicates and the rows of `rejected` must add up to the
number of messages that were produced.
"""

import sys

import duckdb


def one(query):
    return duckdb.sql(query).fetchall()[0][0]


def main():
    data, messages = sys.argv[1], int(sys.argv[2])
    health = f"read_parquet('{data}/tables/ring_health/**/*.parquet')"
    taken = one(f"select sum(records + duplicates)::BIGINT from {health} where change is null")
    rejected = one(f"select count(*) from read_parquet('{data}/tables/rejected/**/*.parquet')")
    print(f"{taken} in the tables, {rejected} rejected")
    if taken + rejected != messages:
        sys.exit(f"{messages} messages were produced, {taken + rejected} are in the tables")


if __name__ == "__main__":
    main()
