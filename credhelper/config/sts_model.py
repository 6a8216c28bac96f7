"""STS's own limits, as the installed botocore has them: for values over a limit of the table of keys.

AWS raises a limit now and then, and botocore knows of it first. Its model is a file, read without importing
botocore.
"""

from __future__ import annotations

from functools import cache
from typing import Any


def allows(api: str, parameter: str, size: int, member: str | None = None) -> bool:
    """Whether a parameter, or a member of its entries, may be as long or as high as `size`."""
    try:
        shapes = _model()["shapes"]
        shape = shapes[shapes[_model()["operations"][api]["input"]["shape"]]["members"][parameter]["shape"]]
        if member is not None:
            shape = shapes[shapes[shape["member"]["shape"]]["members"][member]["shape"]]
    except KeyError:
        return False
    return bool(size <= shape.get("max", size))


@cache
def _model() -> dict[str, Any]:
    import glob  # here and below: a cached answer does without
    import gzip
    import json
    import os

    for directory in _directories():
        for path in sorted(glob.glob(os.path.join(glob.escape(directory), "data/sts/*/service-2.json*"))):
            opened = gzip.open if path.endswith(".gz") else open
            with opened(path, "rt", encoding="utf-8") as file:
                found: dict[str, Any] = json.load(file)
                return found
    return {}


def _directories() -> list[str]:
    import importlib.util

    spec = importlib.util.find_spec("botocore")
    return list((spec and spec.submodule_search_locations) or ())
