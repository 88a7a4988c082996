"""Every operation of CodeDeploy that the local cloud has."""

import json

from over_the_wire import ACCOUNT, REGION, SUFFIX, always_refused, client, make_function, refused, report, role, until

api = client("codedeploy")
functions = client("lambda")
s3 = client("s3")

application = f"conformance-{SUFFIX}"
group = "live"
function = f"conformance-deployed-{SUFFIX}"
hook = f"CodeDeployHook_conformance-{SUFFIX}"
bucket = f"conformance-deploy-{SUFFIX}"
config = f"Custom.Conformance-{SUFFIX}"
group_arn = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:{application}/{group}"

s3.create_bucket(Bucket=bucket)
# The hook leaves what it was given in the bucket, and answers nothing: that is this script's to do.
make_function(
    functions,
    hook,
    """
exports.handler = async (event) => {
    const to = `${process.env.AWS_ENDPOINT_URL}/%s/${event.DeploymentId}`;
    await fetch(to, { method: 'PUT', body: event.LifecycleEventHookExecutionId });
};
"""
    % bucket,
)
make_function(functions, function, "exports.handler = async () => 1;\n", Publish=True)
functions.update_function_configuration(FunctionName=function, Description="second")
functions.publish_version(FunctionName=function)
functions.create_alias(FunctionName=function, Name="live", FunctionVersion="1")


def revision(current="1", target="2", hooks=True):
    spec = {
        "version": 0.0,
        "Resources": [
            {
                "app": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "Name": function,
                        "Alias": "live",
                        "CurrentVersion": current,
                        "TargetVersion": target,
                    },
                }
            }
        ],
    }
    if hooks:
        spec["Hooks"] = [{"BeforeAllowTraffic": hook}]
    return {"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(spec)}}


def deploy(given, **more):
    return api.create_deployment(applicationName=application, deploymentGroupName=group, revision=given, **more)[
        "deploymentId"
    ]


def info(deployment):
    return api.get_deployment(deploymentId=deployment)["deploymentInfo"]


def ended(deployment, status):
    return until(f"the status {status} of {deployment}", lambda: info(deployment)["status"] == status)


def hook_execution(deployment):
    def ask():
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=deployment).get("Contents")
        return listed and s3.get_object(Bucket=bucket, Key=deployment)["Body"].read().decode()

    return until("the hook's invocation", ask)


api.create_application(applicationName=application, computePlatform="Lambda", tags=[{"Key": "a", "Value": "b"}])
refused(api, "ApplicationAlreadyExistsException", "create_application", applicationName=application, computePlatform="Lambda")
refused(api, "ApplicationDoesNotExistException", "get_application", applicationName="absent")
assert api.get_application(applicationName=application)["application"]["computePlatform"] == "Lambda"
names = [one for page in api.get_paginator("list_applications").paginate() for one in page["applications"]]
assert application in names
assert len(api.batch_get_applications(applicationNames=[application])["applicationsInfo"]) == 1

# The configuration that people mean by "5 % every 2 minutes".
api.create_deployment_config(
    deploymentConfigName=config,
    computePlatform="Lambda",
    trafficRoutingConfig={
        "type": "TimeBasedCanary",
        "timeBasedCanary": {"canaryPercentage": 5, "canaryInterval": 2},
    },
)
shown = api.get_deployment_config(deploymentConfigName=config)["deploymentConfigInfo"]
assert shown["trafficRoutingConfig"]["timeBasedCanary"] == {"canaryPercentage": 5, "canaryInterval": 2}, shown
configs = [one for page in api.get_paginator("list_deployment_configs").paginate() for one in page["deploymentConfigsList"]]
assert config in configs and "CodeDeployDefault.LambdaCanary10Percent5Minutes" in configs, configs
# The name that many write and that AWS does not have.
refused(
    api,
    "DeploymentConfigDoesNotExistException",
    "get_deployment_config",
    deploymentConfigName="CodeDeployDefault.Lambda10PercentEvery5Minutes",
)

refused(
    api,
    "DeploymentConfigDoesNotExistException",
    "create_deployment_group",
    applicationName=application,
    deploymentGroupName=group,
    serviceRoleArn=role("deploy"),
    deploymentConfigName="CodeDeployDefault.Lambda10PercentEvery5Minutes",
)
api.create_deployment_group(
    applicationName=application,
    deploymentGroupName=group,
    serviceRoleArn=role("deploy"),
    deploymentConfigName="CodeDeployDefault.LambdaAllAtOnce",
    deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
)
shown = api.get_deployment_group(applicationName=application, deploymentGroupName=group)["deploymentGroupInfo"]
assert shown["computePlatform"] == "Lambda" and shown["serviceRoleArn"] == role("deploy")
assert api.list_deployment_groups(applicationName=application)["deploymentGroups"] == [group]
batch = api.batch_get_deployment_groups(applicationName=application, deploymentGroupNames=[group, "absent"])
assert len(batch["deploymentGroupsInfo"]) == 1 and "absent" in batch["errorMessage"]
refused(
    api,
    "DeploymentGroupDoesNotExistException",
    "create_deployment",
    applicationName=application,
    deploymentGroupName="absent",
    revision=revision(),
)
api.register_application_revision(applicationName=application, description="by hand", revision=revision(hooks=False))
found = api.get_application_revision(applicationName=application, revision=revision(hooks=False))
assert found["revisionInfo"]["description"] == "by hand", found
assert len(api.list_application_revisions(applicationName=application)["revisions"]) == 1
refused(
    api,
    "RevisionDoesNotExistException",
    "get_application_revision",
    applicationName=application,
    revision=revision(target="9"),
)

# A deployment whose hook says yes.
first = deploy(revision(), description="the first")
execution = hook_execution(first)
refused(
    api,
    "InvalidLifecycleEventHookExecutionIdException",
    "put_lifecycle_event_hook_execution_status",
    deploymentId=first,
    lifecycleEventHookExecutionId="11111111111111111111111111111111",
    status="Succeeded",
)
api.put_lifecycle_event_hook_execution_status(
    deploymentId=first, lifecycleEventHookExecutionId=execution, status="Succeeded"
)
ended(first, "Succeeded")
refused(
    api,
    "LifecycleEventAlreadyCompletedException",
    "put_lifecycle_event_hook_execution_status",
    deploymentId=first,
    lifecycleEventHookExecutionId=execution,
    status="Succeeded",
)
assert functions.get_alias(FunctionName=function, Name="live")["FunctionVersion"] == "2"
targets = api.list_deployment_targets(deploymentId=first)["targetIds"]
assert targets == [f"{function}:live"], targets
target = api.get_deployment_target(deploymentId=first, targetId=targets[0])["deploymentTarget"]
events = {one["lifecycleEventName"]: one["status"] for one in target["lambdaTarget"]["lifecycleEvents"]}
assert events["BeforeAllowTraffic"] == "Succeeded" and events["AfterAllowTraffic"] == "Skipped", events
assert len(api.batch_get_deployment_targets(deploymentId=first, targetIds=targets)["deploymentTargets"]) == 1

# A canary that is stopped.
api.update_deployment_group(
    applicationName=application, currentDeploymentGroupName=group, deploymentConfigName=config
)
second = deploy(revision("2", "1", hooks=False))
refused(
    api,
    "DeploymentLimitExceededException",
    "create_deployment",
    applicationName=application,
    deploymentGroupName=group,
    revision=revision("2", "1", hooks=False),
)
# Continuing is for deployments to servers.
always_refused(
    api,
    "UnsupportedActionForDeploymentTypeException",
    "continue_deployment",
    deploymentId=second,
    deploymentWaitType="TERMINATION_WAIT",
)
until("the canary's start", lambda: functions.get_alias(FunctionName=function, Name="live").get("RoutingConfig"))
stopped = api.stop_deployment(deploymentId=second, autoRollbackEnabled=True)
assert stopped["status"] in ("Pending", "Succeeded"), stopped
ended(second, "Stopped")
refused(api, "DeploymentAlreadyCompletedException", "stop_deployment", deploymentId=second)
until(
    "the alias as it was",
    lambda: (lambda alias: alias["FunctionVersion"] == "2" and not alias.get("RoutingConfig"))(
        functions.get_alias(FunctionName=function, Name="live")
    ),
)
refused(api, "DeploymentDoesNotExistException", "get_deployment", deploymentId="d-ABSENT123")
page = api.list_deployments(applicationName=application, deploymentGroupName=group, includeOnlyStatuses=["Stopped"])
assert page["deployments"] == [second], page
assert {one["deploymentId"] for one in api.batch_get_deployments(deploymentIds=[first, second])["deploymentsInfo"]} == {
    first,
    second,
}

api.tag_resource(ResourceArn=group_arn, Tags=[{"Key": "team", "Value": "signals"}])
assert api.list_tags_for_resource(ResourceArn=group_arn)["Tags"] == [{"Key": "team", "Value": "signals"}]
api.untag_resource(ResourceArn=group_arn, TagKeys=["team"])
assert api.list_tags_for_resource(ResourceArn=group_arn)["Tags"] == []

refused(api, "DeploymentConfigInUseException", "delete_deployment_config", deploymentConfigName=config)
api.delete_deployment_group(applicationName=application, deploymentGroupName=group)
api.delete_deployment_config(deploymentConfigName=config)
api.delete_application(applicationName=application)
refused(api, "ApplicationDoesNotExistException", "list_deployment_groups", applicationName=application)
report("codedeploy")
