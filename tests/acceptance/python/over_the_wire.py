"""What the scripts beside this one share: boto3 against the local cloud, and what they report.

A script drives every operation of one service. boto3 checks each input against AWS's own model and reads each
answer by it; the gateway checks each answer the other way. At its end a script prints one JSON object: the
operations that succeeded, and the errors that were met on purpose.
"""

import io
import json
import os
import time
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ACCOUNT = "123456789012"
REGION = "us-east-1"
# Names of one run of a script: the cloud is shared.
SUFFIX = os.environ.get("SIGNALBOX_SUFFIX", "x")
PATIENCE = 60

exercised = {}
errors = []


def note(service):
    def after(http_response, parsed, model, **_):
        if http_response.status_code < 300:
            exercised.setdefault(service, set()).add(model.name)

    return after


def client(service, **more):
    made = boto3.client(
        service,
        endpoint_url=ENDPOINT,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"max_attempts": 0, "mode": "standard"}, s3={"addressing_style": "path"}),
        **more,
    )
    made.meta.events.register("after-call.*.*", note(service))
    return made


def refused(api, exception, operation, **given):
    """The operation must be refused by this exception of the service's model."""
    try:
        getattr(api, operation)(**given)
    except ClientError as error:
        expected = getattr(api.exceptions, exception)
        assert isinstance(error, expected), f"{operation}: {exception} was expected, and {error!r} came"
        assert error.response["Error"].get("Message"), f"{operation}: {exception} has no message"
        errors.append({"operation": api.meta.method_to_api_mapping[operation], "exception": exception})
        return error
    raise AssertionError(f"{operation} was not refused; {exception} was expected")


def always_refused(api, exception, operation, **given):
    """As refused, for an operation that AWS too can only refuse here: it counts as driven."""
    refused(api, exception, operation, **given)
    name = api.meta.method_to_api_mapping[operation]
    exercised.setdefault(api.meta.service_model.service_name, set()).add(name)


def refused_as(api, code, operation, **given):
    """As refused, for errors that AWS's models do not name."""
    try:
        getattr(api, operation)(**given)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        assert found == code, f"{operation}: {code} was expected, and {found} came: {error}"
        errors.append({"operation": api.meta.method_to_api_mapping[operation], "exception": code})
        return error
    raise AssertionError(f"{operation} was not refused; {code} was expected")


def until(what, ask):
    """Asks until there is something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = ask()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come within {PATIENCE} s")


def zipped(**files):
    """A zip file; `__` in a name stands for a dot."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "."), text)
    return made.getvalue()


def role(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def make_role(name, service, *allowed):
    """A role that a service may take, allowed these actions on everything."""
    iam = client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    iam.put_role_policy(
        RoleName=name,
        PolicyName="work",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
    )
    return role(name)


def make_function(api, name, code="exports.handler = async (event) => event;\n", **more):
    given = {"Role": role("conformance"), **more}
    return api.create_function(
        FunctionName=name,
        Runtime="nodejs20.x",
        Handler="index.handler",
        Code={"ZipFile": zipped(index__js=code)},
        **given,
    )


def report(service):
    print(json.dumps({"service": service, "exercised": sorted(exercised.get(service, ())), "errors": errors}))
