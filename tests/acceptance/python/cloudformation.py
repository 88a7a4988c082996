"""Every operation of CloudFormation that the local cloud has."""

import json

from over_the_wire import SUFFIX, client, refused, refused_as, report, until

api = client("cloudformation")
sqs = client("sqs")
stack = f"conformance-{SUFFIX}"
other = f"conformance-other-{SUFFIX}"


def template(seconds=60, broken=False, waits=False):
    queue = {
        "Type": "AWS::SQS::Queue",
        "Properties": {"QueueName": {"Fn::Sub": "${AWS::StackName}-queue"}, "VisibilityTimeout": {"Ref": "Seconds"}},
    }
    body = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "one queue",
        "Parameters": {"Seconds": {"Type": "Number", "Default": seconds, "Description": "how long"}},
        "Resources": {"Queue": queue},
        "Outputs": {"QueueUrl": {"Value": {"Ref": "Queue"}, "Description": "where"}},
    }
    if broken:
        body["Resources"]["Broken"] = {
            "Type": "AWS::Lambda::Function",
            "DependsOn": "Queue",
            "Properties": {
                "Handler": "index.handler",
                "Runtime": "nodejs20.x",
                "Role": "arn:aws:iam::123456789012:role/r",
                "Code": {"S3Bucket": "absent", "S3Key": "absent"},
            },
        }
    return json.dumps(body)


def described(name=stack):
    return api.describe_stacks(StackName=name)["Stacks"][0]


def reaches(status, name=stack):
    return until(f"{status} of {name}", lambda: described(name)["StackStatus"] == status)


api.validate_template(TemplateBody=template())
refused_as(api, "ValidationError", "validate_template", TemplateBody='{"Resources": {}}')
summary = api.get_template_summary(TemplateBody=template())
assert summary["ResourceTypes"] == ["AWS::SQS::Queue"] and summary["Parameters"][0]["ParameterKey"] == "Seconds"

made = api.create_stack(StackName=stack, TemplateBody=template(), Tags=[{"Key": "team", "Value": "signals"}])
assert f":stack/{stack}/" in made["StackId"], made
refused(api, "AlreadyExistsException", "create_stack", StackName=stack, TemplateBody=template())
reaches("CREATE_COMPLETE")
url = described()["Outputs"][0]["OutputValue"]
assert url.endswith(f"{stack}-queue"), url
assert stack in [
    one["StackName"]
    for page in api.get_paginator("list_stacks").paginate(StackStatusFilter=["CREATE_COMPLETE"])
    for one in page["StackSummaries"]
]
events = [one for page in api.get_paginator("describe_stack_events").paginate(StackName=stack) for one in page["StackEvents"]]
assert events[0]["ResourceStatus"] == "CREATE_COMPLETE" and events[0]["LogicalResourceId"] == stack, events[0]
resource = api.describe_stack_resource(StackName=stack, LogicalResourceId="Queue")["StackResourceDetail"]
assert resource["ResourceStatus"] == "CREATE_COMPLETE" and resource["PhysicalResourceId"] == url, resource
assert len(api.describe_stack_resources(StackName=stack)["StackResources"]) == 1
assert len(api.list_stack_resources(StackName=stack)["StackResourceSummaries"]) == 1
assert api.get_template(StackName=stack)["TemplateBody"]
api.get_stack_policy(StackName=stack)
refused_as(api, "ValidationError", "describe_stacks", StackName="absent")

# Change sets.
api.create_change_set(
    StackName=stack,
    ChangeSetName="longer",
    TemplateBody=template(),
    Parameters=[{"ParameterKey": "Seconds", "ParameterValue": "90"}],
)


def change_set(name):
    return api.describe_change_set(StackName=stack, ChangeSetName=name)


until("the change set", lambda: change_set("longer")["Status"] == "CREATE_COMPLETE")
changes = change_set("longer")["Changes"]
assert changes[0]["ResourceChange"]["Action"] == "Modify", changes
assert [one["ChangeSetName"] for one in api.list_change_sets(StackName=stack)["Summaries"]] == ["longer"]
refused(
    api,
    "AlreadyExistsException",
    "create_change_set",
    StackName=stack,
    ChangeSetName="longer",
    TemplateBody=template(),
)
refused(api, "ChangeSetNotFoundException", "describe_change_set", StackName=stack, ChangeSetName="absent")
api.execute_change_set(StackName=stack, ChangeSetName="longer")
reaches("UPDATE_COMPLETE")
attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
assert attributes["VisibilityTimeout"] == "90", attributes
api.create_change_set(StackName=stack, ChangeSetName="same", TemplateBody=template(), Parameters=[
    {"ParameterKey": "Seconds", "UsePreviousValue": True},
])
until("the empty change set", lambda: change_set("same")["Status"] == "FAILED")
assert "didn't contain changes" in change_set("same")["StatusReason"], change_set("same")
api.delete_change_set(StackName=stack, ChangeSetName="same")

# Updates: one that goes through, one with nothing to do, one that rolls back, one that is cancelled.
api.update_stack(StackName=stack, TemplateBody=template(), Parameters=[
    {"ParameterKey": "Seconds", "ParameterValue": "30"},
])
reaches("UPDATE_COMPLETE")
refused_as(api, "ValidationError", "update_stack", StackName=stack, UsePreviousTemplate=True, Parameters=[
    {"ParameterKey": "Seconds", "UsePreviousValue": True},
])
api.update_stack(StackName=stack, TemplateBody=template(broken=True), Capabilities=["CAPABILITY_IAM"])
reaches("UPDATE_ROLLBACK_COMPLETE")
refused_as(api, "ValidationError", "continue_update_rollback", StackName=stack)
refused_as(api, "ValidationError", "cancel_update_stack", StackName=stack)
needs_roles = json.loads(template())
needs_roles["Resources"]["Role"] = {
    "Type": "AWS::IAM::Role",
    "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
}
refused(
    api,
    "InsufficientCapabilitiesException",
    "create_stack",
    StackName=other,
    TemplateBody=json.dumps(needs_roles),
)

# An update that waits for a canary, is cancelled, and cannot be taken back by itself: somebody has deleted the
# queue meanwhile.
slow = f"conformance-canary-{SUFFIX}"


def canary(message):
    function = {
        "FunctionName": slow,
        "Handler": "index.handler",
        "Runtime": "nodejs20.x",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": f"exports.handler = async () => '{message}';"},
    }
    shift = {"ApplicationName": {"Ref": "Application"}, "DeploymentGroupName": {"Ref": "Group"}}
    return json.dumps(
        {
            "Resources": {
                "Queue": {
                    "Type": "AWS::SQS::Queue",
                    "Properties": {"QueueName": slow, "VisibilityTimeout": len(message)},
                },
                "Function": {"Type": "AWS::Lambda::Function", "Properties": function},
                f"Version{message}": {
                    "Type": "AWS::Lambda::Version",
                    "Properties": {"FunctionName": {"Ref": "Function"}, "Description": message},
                },
                "Application": {
                    "Type": "AWS::CodeDeploy::Application",
                    "Properties": {"ApplicationName": slow, "ComputePlatform": "Lambda"},
                },
                "Group": {
                    "Type": "AWS::CodeDeploy::DeploymentGroup",
                    "Properties": {
                        "ApplicationName": {"Ref": "Application"},
                        "DeploymentGroupName": "live",
                        "ServiceRoleArn": "arn:aws:iam::123456789012:role/deploy",
                        "DeploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent30Minutes",
                        "DeploymentStyle": {
                            "DeploymentType": "BLUE_GREEN",
                            "DeploymentOption": "WITH_TRAFFIC_CONTROL",
                        },
                    },
                },
                "Alias": {
                    "Type": "AWS::Lambda::Alias",
                    "DependsOn": "Queue",
                    "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": shift},
                    "Properties": {
                        "Name": "live",
                        "FunctionName": {"Ref": "Function"},
                        "FunctionVersion": {"Fn::GetAtt": [f"Version{message}", "Version"]},
                    },
                },
            }
        }
    )


api.create_stack(StackName=slow, TemplateBody=canary("one"))
reaches("CREATE_COMPLETE", slow)
api.update_stack(StackName=slow, TemplateBody=canary("other"))
functions = client("lambda")
until("the canary", lambda: functions.get_alias(FunctionName=slow, Name="live").get("RoutingConfig"))
sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=slow)["QueueUrl"])
api.cancel_update_stack(StackName=slow)
reaches("UPDATE_ROLLBACK_FAILED", slow)
api.continue_update_rollback(StackName=slow, ResourcesToSkip=["Queue"])
reaches("UPDATE_ROLLBACK_COMPLETE", slow)
alias = functions.get_alias(FunctionName=slow, Name="live")
assert alias["FunctionVersion"] == "1" and not alias.get("RoutingConfig"), alias

assert api.update_termination_protection(StackName=stack, EnableTerminationProtection=True)["StackId"]
refused_as(api, "ValidationError", "delete_stack", StackName=stack)
api.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
api.delete_stack(StackName=stack)
until("the stack's end", lambda: stack not in [one["StackName"] for one in api.describe_stacks()["Stacks"]])
report("cloudformation")
