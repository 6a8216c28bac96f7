"""Real AWS clients that read ~/.aws/config: their paths, and a boto3 program."""

from __future__ import annotations

from pathlib import Path

BOTO3 = """\
import boto3, sys
for _ in range(int(sys.argv[2])):
    arn = boto3.Session(profile_name=sys.argv[1]).client("sts").get_caller_identity()["Arn"]
print(arn)
"""

AWS_CLI_V1 = Path(__file__).parents[2] / ".venv-awscli/bin/aws"
AWS_CLI_V2 = Path("/usr/bin/aws")
