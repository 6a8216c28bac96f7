"""The marked block in ~/.aws/config: profiles that run credhelper, between two comments that it owns.

`block` is text in, text out, `diff` shows what would change, and `file` puts the text into the file's place.
What has to be known before: `command`, which all SDKs run alike, `rivals`, the neighbours that would win over
us, and `reading`, whether botocore reads the result.
"""

from __future__ import annotations

from credhelper.awsconfig.block import Entry, block_entries, is_edited, with_block, without_block
from credhelper.awsconfig.command import answers_version, command_line, is_stable, stable_program
from credhelper.awsconfig.conflicts import Neighbour, neighbours
from credhelper.awsconfig.diff import difference
from credhelper.awsconfig.file import read, replace
from credhelper.awsconfig.ini import IniFile
from credhelper.awsconfig.reading import reads_config

__all__ = [
    "Entry",
    "IniFile",
    "Neighbour",
    "answers_version",
    "block_entries",
    "command_line",
    "difference",
    "is_edited",
    "is_stable",
    "neighbours",
    "read",
    "reads_config",
    "replace",
    "stable_program",
    "with_block",
    "without_block",
]
