"""Prints what is made of a zoo's declarations.

The JSON schema: `python -m harness.zoo > harness/model_zoo.schema.json`. The tables that docs/zoo.md must hold:
`python -m harness.zoo tables`.
"""

from __future__ import annotations

import json
import sys

from harness.zoo.tables import tables
from harness.zoo.validate import json_schema

if sys.argv[1:] == ["tables"]:
    sys.stdout.write("\n".join(tables()))
else:
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
