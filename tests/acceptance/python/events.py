"""Every operation of EventBridge that the local cloud has."""

import json

from over_the_wire import ACCOUNT, REGION, SUFFIX, client, refused, refused_as, report, until

api = client("events")
sqs = client("sqs")
rule = f"conformance-{SUFFIX}"
source = f"conformance.{SUFFIX}"

queue = sqs.create_queue(QueueName=rule)["QueueUrl"]
queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
statement = {
    "Effect": "Allow",
    "Principal": {"Service": "events.amazonaws.com"},
    "Action": "sqs:SendMessage",
    "Resource": queue_arn,
}
policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})

pattern = {"source": [source], "detail": {"size": [{"numeric": [">", 3]}]}}
arn = api.put_rule(
    Name=rule, EventPattern=json.dumps(pattern), Description="large ones", Tags=[{"Key": "team", "Value": "signals"}]
)["RuleArn"]
assert arn == f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}", arn
refused(api, "InvalidEventPatternException", "put_rule", Name=rule, EventPattern='{"source": "not a list"}')
refused(api, "ResourceNotFoundException", "describe_rule", Name="absent")
shown = api.describe_rule(Name=rule)
assert shown["State"] == "ENABLED" and json.loads(shown["EventPattern"]) == pattern, shown
assert rule in [one["Name"] for page in api.get_paginator("list_rules").paginate() for one in page["Rules"]]

target = {
    "Id": "queue",
    "Arn": queue_arn,
    "InputTransformer": {"InputPathsMap": {"size": "$.detail.size"}, "InputTemplate": '{"was": <size>}'},
    "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60},
}
assert api.put_targets(Rule=rule, Targets=[target])["FailedEntryCount"] == 0
refused(api, "ResourceNotFoundException", "put_targets", Rule="absent", Targets=[target])
assert api.list_targets_by_rule(Rule=rule)["Targets"] == [target]
assert api.list_rule_names_by_target(TargetArn=queue_arn)["RuleNames"] == [rule]


def put(size, **more):
    detail = json.dumps({"size": size})
    return api.put_events(Entries=[{"Source": source, "DetailType": "Thing Made", "Detail": detail, **more}])


def received():
    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")
    return messages and json.loads(messages[0]["Body"])


assert put(2)["FailedEntryCount"] == 0
assert put(4)["Entries"][0]["EventId"]
assert until("the event", received) == {"was": 4}
failed = api.put_events(Entries=[{"Source": "aws.s3", "DetailType": "Object Created", "Detail": "{}"}])
assert failed["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException", failed
failed = api.put_events(Entries=[{"Source": source, "DetailType": "Thing Made", "Detail": "{not json"}])
assert failed["FailedEntryCount"] == 1 and failed["Entries"][0]["ErrorCode"] == "MalformedDetail", failed

event = {
    "id": "1",
    "detail-type": "Thing Made",
    "source": source,
    "account": ACCOUNT,
    "time": "2026-02-03T10:00:00Z",
    "region": REGION,
    "resources": [],
    "detail": {"size": 5},
}
assert api.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"] is True
event["detail"]["size"] = 3
assert api.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"] is False
refused(api, "InvalidEventPatternException", "test_event_pattern", EventPattern="{}}", Event=json.dumps(event))

api.disable_rule(Name=rule)
assert api.describe_rule(Name=rule)["State"] == "DISABLED"
api.enable_rule(Name=rule)
refused(api, "ResourceNotFoundException", "enable_rule", Name="absent")

api.tag_resource(ResourceARN=arn, Tags=[{"Key": "cost", "Value": "1"}])
api.untag_resource(ResourceARN=arn, TagKeys=["team"])
assert api.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
assert api.describe_event_bus()["Name"] == "default"
assert "default" in [one["Name"] for one in api.list_event_buses()["EventBuses"]]

refused_as(api, "ValidationException", "delete_rule", Name=rule)
assert api.remove_targets(Rule=rule, Ids=["queue"])["FailedEntryCount"] == 0
api.delete_rule(Name=rule)
refused(api, "ResourceNotFoundException", "list_targets_by_rule", Rule=rule)
report("events")
