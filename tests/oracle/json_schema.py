"""Validates records against JSON Schemas: reads lines {"schema": …, "record": "<JSON text>"} from
standard input, prints for each `true`, or the first fault."""

import json
import sys

from jsonschema import Draft202012Validator


def main() -> None:
    for line in sys.stdin:
        case = json.loads(line)
        Draft202012Validator.check_schema(case["schema"])
        fault = next(Draft202012Validator(case["schema"]).iter_errors(json.loads(case["record"])), None)
        print("true" if fault is None else " ".join(fault.message.split()))


if __name__ == "__main__":
    main()
