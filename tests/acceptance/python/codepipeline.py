"""Every operation of CodePipeline that the local cloud has."""

from over_the_wire import ACCOUNT, REGION, SUFFIX, client, make_function, make_role, refused, report, until, zipped

api = client("codepipeline")
s3 = client("s3")
functions = client("lambda")

name = f"conformance-{SUFFIX}"
bucket = f"conformance-pipeline-{SUFFIX}"
invoked = f"conformance-job-{SUFFIX}"
pipeline_role = make_role(f"conformance-pipeline-{SUFFIX}", "codepipeline", "s3:*", "lambda:InvokeFunction")
arn = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"


def action_type(category, provider):
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1"}


def declaration(description="approve"):
    return {
        "name": name,
        "roleArn": pipeline_role,
        "pipelineType": "V2",
        "executionMode": "QUEUED",
        "artifactStore": {"type": "S3", "location": bucket},
        "stages": [
            {
                "name": "Source",
                "actions": [
                    {
                        "name": "Source",
                        "actionTypeId": action_type("Source", "S3"),
                        "configuration": {
                            "S3Bucket": bucket,
                            "S3ObjectKey": "source.zip",
                            "PollForSourceChanges": "false",
                        },
                        "outputArtifacts": [{"name": "SourceOutput"}],
                    }
                ],
            },
            {
                "name": "Approval",
                "actions": [
                    {
                        "name": "Approve",
                        "actionTypeId": action_type("Approval", "Manual"),
                        "configuration": {"CustomData": description},
                    }
                ],
            },
            {
                "name": "Check",
                "actions": [
                    {
                        "name": "Check",
                        "actionTypeId": action_type("Invoke", "Lambda"),
                        "configuration": {"FunctionName": invoked, "UserParameters": "{}"},
                        "inputArtifacts": [{"name": "SourceOutput"}],
                    }
                ],
            },
        ],
    }


def stage_state(stage):
    state = api.get_pipeline_state(name=name)
    return next(one for one in state["stageStates"] if one["stageName"] == stage)


def token_of(execution):
    def ask():
        stage = stage_state("Approval")
        if stage.get("latestExecution", {}).get("pipelineExecutionId") != execution:
            return None
        return stage["actionStates"][0].get("latestExecution", {}).get("token")

    return until("the approval's token", ask)


def job_of(execution):
    """The job's id, from what the invoked function was given: it leaves the event in the bucket."""

    def ask():
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"jobs/{execution}/").get("Contents", [])
        fresh = [one["Key"].rsplit("/", 1)[1] for one in listed if one["Key"] not in seen_jobs]
        seen_jobs.update(one["Key"] for one in listed)
        return fresh[0] if fresh else None

    return until("the job", ask)


seen_jobs = set()


def status_of(execution):
    return api.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)["pipelineExecution"]["status"]


def approve(execution, status="Approved"):
    return api.put_approval_result(
        pipelineName=name,
        stageName="Approval",
        actionName="Approve",
        result={"summary": "seen", "status": status},
        token=token_of(execution),
    )


s3.create_bucket(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
s3.put_object(Bucket=bucket, Key="source.zip", Body=zipped(index__js="exports.handler = 1;"))
# Without a signature the gateway takes the writer for the person at this machine; the job's event tells no
# execution, so that it is asked for.
make_function(
    functions,
    invoked,
    """
exports.handler = async (event) => {
    const job = event['CodePipeline.job'].id;
    const base = process.env.AWS_ENDPOINT_URL;
    const ask = await fetch(base + '/', {
        method: 'POST',
        headers: {
            'content-type': 'application/x-amz-json-1.1',
            'x-amz-target': 'CodePipeline_20150709.GetJobDetails',
        },
        body: JSON.stringify({ jobId: job }),
    });
    const details = await ask.json();
    const execution = details.jobDetails.data.pipelineContext.pipelineExecutionId;
    await fetch(`${base}/%s/jobs/${execution}/${job}`, { method: 'PUT', body: job });
};
"""
    % bucket,
)

created = api.create_pipeline(pipeline=declaration(), tags=[{"key": "team", "value": "signals"}])
assert created["pipeline"]["version"] == 1
refused(api, "PipelineNameInUseException", "create_pipeline", pipeline=declaration())
bad = declaration()
bad["name"] = f"{name}-bad"
bad["stages"][1]["actions"][0]["outputArtifacts"] = [{"name": "SourceOutput"}]
refused(api, "InvalidActionDeclarationException", "create_pipeline", pipeline=bad)
refused(api, "PipelineNotFoundException", "get_pipeline", name="absent")

updated = api.update_pipeline(pipeline=declaration("look closely"))
assert updated["pipeline"]["version"] == 2
got = api.get_pipeline(name=name)
assert got["pipeline"]["version"] == 2 and got["metadata"]["pipelineArn"] == arn, got
assert api.get_pipeline(name=name, version=1)["pipeline"]["version"] == 1
refused(api, "PipelineVersionNotFoundException", "get_pipeline", name=name, version=9)
assert name in [one["name"] for page in api.get_paginator("list_pipelines").paginate() for one in page["pipelines"]]

api.tag_resource(resourceArn=arn, tags=[{"key": "cost", "value": "1"}])
api.untag_resource(resourceArn=arn, tagKeys=["team"])
assert api.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "cost", "value": "1"}]
refused(api, "ResourceNotFoundException", "list_tags_for_resource", resourceArn=arn + "-absent")
assert {one["id"]["provider"] for one in api.list_action_types(actionOwnerFilter="AWS")["actionTypes"]} >= {
    "S3",
    "Manual",
    "Lambda",
}

# A run that succeeds.
first = api.start_pipeline_execution(name=name, clientRequestToken="first")["pipelineExecutionId"]
assert api.start_pipeline_execution(name=name, clientRequestToken="first")["pipelineExecutionId"] == first
refused(
    api,
    "InvalidApprovalTokenException",
    "put_approval_result",
    pipelineName=name,
    stageName="Approval",
    actionName="Approve",
    result={"summary": "", "status": "Approved"},
    token="00000000-0000-0000-0000-000000000000" if token_of(first) else "",
)
refused(
    api,
    "StageNotFoundException",
    "disable_stage_transition",
    pipelineName=name,
    stageName="Absent",
    transitionType="Inbound",
    reason="none",
)
assert approve(first)["approvedAt"]
job = job_of(first)
details = api.get_job_details(jobId=job)["jobDetails"]
assert details["accountId"] == ACCOUNT and details["data"]["inputArtifacts"], details
refused(api, "JobNotFoundException", "get_job_details", jobId="11111111-1111-4111-8111-111111111111")
api.put_job_success_result(
    jobId=job, executionDetails={"summary": "sound", "percentComplete": 100}, outputVariables={"verdict": "passed"}
)
until("the run's end", lambda: status_of(first) == "Succeeded")
refused(api, "InvalidJobStateException", "put_job_success_result", jobId=job)

# A run whose job fails, is retried, fails again.
second = api.start_pipeline_execution(name=name)["pipelineExecutionId"]
approve(second)
api.put_job_failure_result(jobId=job_of(second), failureDetails={"type": "JobFailed", "message": "unsound"})
until("the failure", lambda: status_of(second) == "Failed")
api.retry_stage_execution(
    pipelineName=name, stageName="Check", pipelineExecutionId=second, retryMode="FAILED_ACTIONS"
)
job = job_of(second)
api.put_job_failure_result(jobId=job, failureDetails={"type": "JobFailed", "message": "still unsound"})
until("the second failure", lambda: status_of(second) == "Failed")

# Back to what was good.
back = api.rollback_stage(pipelineName=name, stageName="Check", targetPipelineExecutionId=first)["pipelineExecutionId"]
api.put_job_success_result(jobId=job_of(back))
until("the rollback's end", lambda: status_of(back) == "Succeeded")
refused(
    api,
    "PipelineExecutionNotFoundException",
    "rollback_stage",
    pipelineName=name,
    stageName="Check",
    targetPipelineExecutionId="11111111-1111-4111-8111-111111111111",
)

# A frozen stage, and a run that is stopped before it.
api.disable_stage_transition(pipelineName=name, stageName="Check", transitionType="Inbound", reason="frozen for a test")
frozen = stage_state("Check")["inboundTransitionState"]
assert frozen["enabled"] is False and frozen["disabledReason"] == "frozen for a test", frozen
third = api.start_pipeline_execution(name=name)["pipelineExecutionId"]
token_of(third)
api.stop_pipeline_execution(pipelineName=name, pipelineExecutionId=third, abandon=True, reason="no longer wanted")
until("the stop", lambda: status_of(third) == "Stopped")
refused(
    api,
    "PipelineExecutionNotStoppableException",
    "stop_pipeline_execution",
    pipelineName=name,
    pipelineExecutionId=third,
    abandon=True,
)
api.enable_stage_transition(pipelineName=name, stageName="Check", transitionType="Inbound")

pages = api.get_paginator("list_pipeline_executions").paginate(pipelineName=name, PaginationConfig={"PageSize": 2})
runs = [one["pipelineExecutionId"] for page in pages for one in page["pipelineExecutionSummaries"]]
assert runs == [third, back, second, first], runs
actions = api.list_action_executions(pipelineName=name, filter={"pipelineExecutionId": second})
names = [one["actionName"] for one in actions["actionExecutionDetails"]]
assert names.count("Check") == 2 and names.count("Approve") == 1, names
api.list_rule_executions(pipelineName=name)

api.delete_pipeline(name=name)
refused(api, "PipelineNotFoundException", "get_pipeline_state", name=name)
report("codepipeline")
