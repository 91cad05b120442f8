"""Prints the JSON schema of a zoo file: `python -m harness.zoo > harness/model_zoo.schema.json`."""

from __future__ import annotations

import json
import sys

from harness.zoo.validate import json_schema

sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
