"""Recorded answers of a real Vespa against the embedded engine.

    python benchmarks/parity.py ../shared/vespa-golden ../shared/vespa-study [--json]

Builds the engine from each folder's documents and vector recipes, takes the profiles from the
schema beside them, answers every record it can. Ends with 1 where something that must agree
does not. docs/parity.md explains the columns.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from encoders.base.errors import UserError
from tests.vespa_records.records import find_collections
from tests.vespa_records.table import measure, to_text


def main() -> int:
    """Run the comparison; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, nargs="+", help="documents, schema and records")
    parser.add_argument("--records", type=Path, help="take the record files from here instead")
    parser.add_argument("--captions", type=Path, help="the ROCO test split's text files")
    parser.add_argument("--json", action="store_true", help="one JSON object for each kind")
    options = parser.parse_args()
    try:
        found = (find_collections(f, options.records, options.captions) for f in options.folder)
        rows = list(measure([each for collections in found for each in collections]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        for row in rows:
            print(json.dumps(row.to_json()))
    else:
        print(to_text(rows))
    if not any(row.compared for row in rows):
        print("Nothing was compared.", file=sys.stderr)
        return 2
    return 1 if any(row.faults for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
