"""The starter configuration with every offered line put to use."""

from __future__ import annotations

import re

from credhelper.config.template import STARTER

OFFERED = r"(?m)^# (?=\[[a-z.-]+\]$|[a-z_-]+ = )"
"""What goes when a line is put to use."""

FILLED_IN = re.sub(OFFERED, "", STARTER)
