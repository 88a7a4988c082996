"""Every operation of Lambda that the local cloud has."""

import base64
import json
import urllib.error
import urllib.request

from over_the_wire import ACCOUNT, REGION, SUFFIX, client, make_function, make_role, refused, report, role, until, zipped

api = client("lambda")
sqs = client("sqs")

name = f"conformance-{SUFFIX}"
arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"

made = make_function(
    api,
    name,
    "exports.handler = async (event) => ({ event, said: process.env.GREETING });\n",
    Description="first",
    Environment={"Variables": {"GREETING": "hello"}},
    Tags={"team": "signals"},
    Timeout=20,
    Role=make_role(f"conformance-lambda-{SUFFIX}", "lambda", "sqs:SendMessage"),
)
assert made["FunctionArn"] == arn and made["Version"] == "$LATEST", made
refused(
    api,
    "ResourceConflictException",
    "create_function",
    FunctionName=name,
    Runtime="nodejs20.x",
    Role=role("x"),
    Handler="index.handler",
    Code={"ZipFile": zipped(index__js="")},
)
refused(api, "ResourceNotFoundException", "get_function", FunctionName="absent")
refused(api, "InvalidParameterValueException", "update_function_configuration", FunctionName=name, Environment={
    "Variables": {"AWS_REGION": "elsewhere"},
})
api.get_waiter("function_active_v2").wait(FunctionName=name)

answer = api.invoke(FunctionName=name, Payload=json.dumps({"a": 1}), LogType="Tail")
assert json.load(answer["Payload"]) == {"event": {"a": 1}, "said": "hello"}
assert answer["ExecutedVersion"] == "$LATEST" and "REPORT" in base64.b64decode(answer["LogResult"]).decode()
assert api.invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
assert api.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204
refused(api, "InvalidRequestContentException", "invoke", FunctionName=name, Payload=b"{not json")

got = api.get_function(FunctionName=name)
assert got["Tags"] == {"team": "signals"} and got["Code"]["Location"]
assert api.get_function_configuration(FunctionName=name)["Description"] == "first"
first = api.publish_version(FunctionName=name, Description="one")
assert first["Version"] == "1" and first["FunctionArn"] == arn + ":1", first
code = zipped(index__js="exports.handler = async () => 'second';\n")
api.update_function_code(FunctionName=name, ZipFile=code)
api.get_waiter("function_updated_v2").wait(FunctionName=name)
updated = api.update_function_configuration(FunctionName=name, Description="second", MemorySize=256)
assert updated["MemorySize"] == 256
refused(
    api,
    "PreconditionFailedException",
    "publish_version",
    FunctionName=name,
    RevisionId="11111111-1111-4111-8111-111111111111",
)
second = api.publish_version(FunctionName=name)
assert second["Version"] == "2"
versions = [
    one["Version"] for page in api.get_paginator("list_versions_by_function").paginate(FunctionName=name)
    for one in page["Versions"]
]
assert versions == ["$LATEST", "1", "2"], versions
assert name in [
    one["FunctionName"] for page in api.get_paginator("list_functions").paginate() for one in page["Functions"]
]

alias = api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
assert alias["AliasArn"] == arn + ":live"
refused(api, "ResourceConflictException", "create_alias", FunctionName=name, Name="live", FunctionVersion="1")
refused(api, "ResourceNotFoundException", "create_alias", FunctionName=name, Name="next", FunctionVersion="9")
weighted = api.update_alias(
    FunctionName=name,
    Name="live",
    FunctionVersion="1",
    RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}},
)
assert weighted["RoutingConfig"]["AdditionalVersionWeights"] == {"2": 1.0}
answer = api.invoke(FunctionName=name, Qualifier="live")
assert answer["ExecutedVersion"] == "2" and json.load(answer["Payload"]) == "second"
assert api.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"
assert [one["Name"] for one in api.list_aliases(FunctionName=name)["Aliases"]] == ["live"]

api.add_permission(
    FunctionName=name,
    StatementId="events",
    Action="lambda:InvokeFunction",
    Principal="events.amazonaws.com",
    SourceArn=f"arn:aws:events:{REGION}:{ACCOUNT}:rule/r",
)
policy = json.loads(api.get_policy(FunctionName=name)["Policy"])
assert policy["Statement"][0]["Sid"] == "events"
refused(
    api,
    "ResourceConflictException",
    "add_permission",
    FunctionName=name,
    StatementId="events",
    Action="lambda:InvokeFunction",
    Principal="events.amazonaws.com",
)
api.remove_permission(FunctionName=name, StatementId="events")
refused(api, "ResourceNotFoundException", "get_policy", FunctionName=name)

api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
assert api.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 0
refused(api, "TooManyRequestsException", "invoke", FunctionName=name)
api.delete_function_concurrency(FunctionName=name)

queue = sqs.create_queue(QueueName=f"conformance-lambda-{SUFFIX}")["QueueUrl"]
queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
config = api.put_function_event_invoke_config(
    FunctionName=name,
    MaximumRetryAttempts=0,
    DestinationConfig={"OnSuccess": {"Destination": queue_arn}},
)
assert config["MaximumRetryAttempts"] == 0
assert api.get_function_event_invoke_config(FunctionName=name)["LastModified"]
api.update_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
assert len(api.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]) == 1
api.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"n":7}')


def record():
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
    return messages and json.loads(messages[0]["Body"])


told = until("the destination's record", record)
assert told["requestPayload"] == {"n": 7} and told["responsePayload"] == "second", told
api.delete_function_event_invoke_config(FunctionName=name)
refused(api, "ResourceNotFoundException", "get_function_event_invoke_config", FunctionName=name)

page = """
exports.handler = async (event) => ({
    statusCode: 201, headers: { 'x-method': event.requestContext.http.method }, cookies: ['a=b'],
    body: JSON.stringify({ path: event.rawPath, body: event.body }),
});
"""
site = f"{name}-site"
make_function(api, site, page)
url = api.create_function_url_config(FunctionName=site, AuthType="NONE")["FunctionUrl"]
for action in ("lambda:InvokeFunctionUrl", "lambda:InvokeFunction"):
    more = {"FunctionUrlAuthType": "NONE"} if action.endswith("Url") else {"InvokedViaFunctionUrl": True}
    api.add_permission(
        FunctionName=site, StatementId=action.split(":")[1], Action=action, Principal="*", **more
    )
assert api.get_function_url_config(FunctionName=site)["AuthType"] == "NONE"
# The gateway's pseudo-operation InvokeFunctionUrl: a plain request, as a browser sends it.
with urllib.request.urlopen(urllib.request.Request(url + "a/b?c=d", data=b"hello", method="POST")) as response:
    assert response.status == 201 and response.headers["x-method"] == "POST"
    assert response.headers["set-cookie"] == "a=b"
    assert json.load(response)["path"] == "/a/b"
api.update_function_url_config(FunctionName=site, AuthType="AWS_IAM")
try:
    urllib.request.urlopen(url)
    raise AssertionError("a function URL of type AWS_IAM let an unsigned request in")
except urllib.error.HTTPError as error:
    assert error.code == 403, error.code
api.delete_function_url_config(FunctionName=site)
refused(api, "ResourceNotFoundException", "get_function_url_config", FunctionName=site)

api.tag_resource(Resource=arn, Tags={"cost": "1"})
api.untag_resource(Resource=arn, TagKeys=["team"])
assert api.list_tags(Resource=arn)["Tags"] == {"cost": "1"}
assert api.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] > 0
api.get_function_code_signing_config(FunctionName=name)

api.delete_alias(FunctionName=name, Name="live")
api.delete_function(FunctionName=name, Qualifier="1")
api.delete_function(FunctionName=name)
refused(api, "ResourceNotFoundException", "invoke", FunctionName=name)
report("lambda")
