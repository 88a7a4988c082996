"""Many callers of the emulator at once: none may be told of an error of the emulator's own.

The emulator is started here, by the local cloud's own launcher, with its threads switched a thousand times as often
as usual: what happens once in some thousand calls then happens in each run.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

CALLERS = 8
ROLES = 25
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
SWITCHING = "import runpy, sys; sys.setswitchinterval(1e-6); runpy.run_path(sys.argv[1], run_name='__main__')"


def client(service, port):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )


def call(caller, port):
    """Makes roles and log streams, and looks at them; answers what went wrong."""
    iam, logs = client("iam", port), client("logs", port)
    wrong = []
    for number in range(ROLES):
        name = f"role-{caller}-{number}"
        try:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
            iam.get_role(RoleName=name)
            logs.create_log_stream(logGroupName="group", logStreamName=name)
            logs.filter_log_events(logGroupName="group")
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            wrong.append(f"{name}: {error}")
    return wrong


with subprocess.Popen(
    [sys.executable, "-c", SWITCHING, sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
) as emulator:
    port = emulator.stdout.readline().split()[1]
    client("logs", port).create_log_group(logGroupName="group")
    with ThreadPoolExecutor(CALLERS) as pool:
        found = [wrong for each in pool.map(lambda caller: call(caller, port), range(CALLERS)) for wrong in each]
    # The launcher ends with its standard input.
    emulator.stdin.close()
    emulator.wait()
print(json.dumps({"calls": CALLERS * ROLES * 4, "wrong": found}))
