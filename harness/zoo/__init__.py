"""model_zoo.yaml -> `Zoo`. Every mistake names file, line, key, what was found and what would be valid.

The way of a zoo file, one module each: `text` (bytes -> mappings that know their lines), `links` (`extends`, names that
must exist), `schema` (types, with pydantic), `resolve` and `steps` (records). Nothing in it runs code: the file can
name a callable, and only a build imports that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.zoo.spec import Defaults, FleetSpec, HostWish, TargetSpec, Zoo

__all__ = ["Defaults", "FleetSpec", "HostWish", "TargetSpec", "Zoo", "load", "schema"]


def load(path: Path) -> Zoo:
    """Read, check and resolve a zoo file.

    Args:
        path: the file; relative paths in it are taken from its folder.

    Raises:
        ZooError: with every mistake found, in the order of the file; only a file that cannot be read as a mapping
            stops at the first.
    """
    from harness.zoo import text

    content = text.read(path)
    root, malformed = text.parse(text.decode(content, path), path)

    from harness.zoo import links, resolve, validate
    from harness.zoo.problems import Problems

    problems = Problems(path, root)
    for mark, mistake in malformed:
        problems.add_at(mark, mistake)
    problems.root, broken = links.extended(root, problems)
    links.check_references(problems.root, problems)
    entries, whole = validate.validated(problems.root, broken, problems)
    resolve.check_names(entries, problems)
    for name, data in entries.data.items():
        resolve.check_data(name, data, problems)
    variants = resolve.variants(entries, problems)
    folder = path.absolute().parent
    targets = {name: resolve.target(name, entry, folder, problems) for name, entry in entries.targets.items()}
    resolve.check_case_names(targets, problems)
    models = {name: resolve.model(name, entries, variants, folder, problems) for name in entries.models}
    if whole:
        resolve.check_unused_steps(entries, problems)
    fleet = resolve.fleet(entries, folder, problems)
    problems.raise_if_any()
    return Zoo(
        path=path.absolute(),
        digest=hashlib.sha256(content).hexdigest(),
        models=models,
        variants=variants,
        targets=targets,
        defaults=resolve.defaults(entries),
        threads={name: tuple(entry.threads) for name, entry in entries.models.items() if entry.threads},
        fleet=fleet,
    )
