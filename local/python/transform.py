"""Turns a CloudFormation template as people write it into the long form that CloudFormation executes.

Reads one JSON object on standard input:

    {"template": "<YAML or JSON>", "region": "...", "parameters": {"Name": "value"}}

and writes one to standard output: {"template": {...}, "transforms": ["..."]} or {"errors": ["...", ...]}.

Short tags (`!Ref`, `!Sub`, ...) become their long forms, and `Transform: AWS::Serverless-2016-10-31` is
carried out by AWS's own translator, the code that runs inside CloudFormation. It needs neither a network nor
credentials here: managed policies are not looked up.

The translator takes only code that is in S3. Code that is on this machine gets a marker in its stead, which
the local cloud understands: `s3://local-binary/<name>` for a native function (the folder that CodeUri is, or
that its zip lies in, names the binary), `s3://local-directory/<path>` for any other.
"""

import json
import os
import sys

SERVERLESS = "AWS::Serverless-2016-10-31"


def transforms(template):
    named = template.get("Transform", [])
    return named if isinstance(named, list) else [named]


def mark_local_code(template):
    shared = template.get("Globals", {}).get("Function", {})
    for resource in template.get("Resources", {}).values():
        if not isinstance(resource, dict) or resource.get("Type") != "AWS::Serverless::Function":
            continue
        properties = resource.setdefault("Properties", {})
        uri = properties.get("CodeUri", shared.get("CodeUri"))
        if not isinstance(uri, str) or uri.startswith("s3://"):
            continue
        runtime = properties.get("Runtime", shared.get("Runtime", ""))
        path = os.path.normpath(uri)
        if isinstance(runtime, str) and runtime.startswith("provided"):
            folder = os.path.dirname(path) if path.endswith(".zip") else path
            properties["CodeUri"] = "s3://local-binary/" + os.path.basename(folder)
        else:
            properties["CodeUri"] = "s3://local-directory/" + path


class NoManagedPolicies:
    """Stands in for the loader that would ask IAM for the ARNs of AWS's managed policies."""

    def load(self):
        return {}


def convert(request):
    os.environ["AWS_DEFAULT_REGION"] = request.get("region") or "us-east-1"
    # The translator imports boto3, which must not go looking for credentials.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    from samtranslator.yaml_helper import yaml_parse

    template = yaml_parse(request["template"])
    if not isinstance(template, dict):
        return {"errors": ["Template format error: unsupported structure."]}
    unknown = [name for name in transforms(template) if name != SERVERLESS]
    if unknown:
        return {"errors": [f"No transform named {name} found." for name in unknown]}
    if not transforms(template):
        return {"template": template, "transforms": []}

    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.translator.transform import transform

    named = transforms(template)
    mark_local_code(template)
    try:
        translated = transform(template, request.get("parameters") or {}, NoManagedPolicies())
    except InvalidDocumentException as error:
        causes = [cause.message for cause in error.causes]
        return {"errors": ["Transform AWS::Serverless-2016-10-31 failed with: " + error.message, *causes]}
    translated.pop("Transform", None)
    return {"template": translated, "transforms": named}


def main():
    request = json.load(sys.stdin)
    try:
        answer = convert(request)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the template is the answer
        answer = {"errors": [f"Template format error: {error}"]}
    # Dates are what YAML makes of an unquoted 2012-10-17.
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
