//! A cloud of one deployment group, or two: what it holds, and what it answers.

use serde_json::{Value, json};

/// When the bad deployment began, in epoch seconds; the alarm fires 100 s later.
pub(super) const BEGAN: i64 = 1_800_000_000;
pub(super) const FIRED: i64 = BEGAN + 100;

#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) calls: usize,
    /// At which call the function crashes, and whether the call still has its effect.
    pub(super) crash: Option<(usize, bool)>,
    /// Whether the call at which it crashed changes anything.
    pub(super) crashed_at_a_change: bool,
    /// An operation that is refused, for want of a permission.
    pub(super) refused: Option<&'static str>,
    /// An operation whose next answer is lost, after its effect.
    pub(super) lost: Option<&'static str>,
    /// An operation that AWS throttles, and how many times more.
    pub(super) throttled: Option<(&'static str, usize)>,
    pub(super) in_alarm: bool,
    pub(super) deployments: Vec<Value>,
    pub(super) stopped: u32,
    pub(super) created: u32,
    /// How deployments end that roll-back creates.
    pub(super) redeployed: &'static str,
    pub(super) frozen: u32,
    pub(super) notices: Vec<String>,
    /// The version that the alias names.
    pub(super) alias: u32,
    /// What is stopped keeps its share of the traffic: nothing takes it back.
    pub(super) keeps_traffic: bool,
    /// Which code a version is, if not one of its own.
    pub(super) code: fn(&str) -> String,
    /// The deployment succeeds just before it is stopped.
    pub(super) finishes_first: bool,
    /// The pipeline updates a stack by change sets; where not, it knows of none.
    pub(super) has_stack: bool,
    /// Its deployments are recent enough to be listed.
    pub(super) lists_recent: bool,
    /// Something is under way in every stage.
    pub(super) stage_is_busy: bool,
    /// The stages that were rolled back, in order.
    pub(super) rolled_back: Vec<String>,
    /// Action executions of the release stage beside those of the good and the bad version's runs.
    pub(super) actions: Vec<Value>,
    /// Runs that are rollbacks of a stage.
    pub(super) rollback_runs: Vec<&'static str>,
    /// The lists of runs and of deployments that succeeded begin with an empty page.
    pub(super) empty_pages: bool,
    /// A second group, which lists another alarm.
    pub(super) two_groups: bool,
    /// So many runs came since the good version's that its actions are on another page.
    pub(super) crowded: bool,
}

pub(super) fn deployment(id: &str, status: &str, created: i64, from: u32, to: u32) -> Value {
    let spec = json!({ "version": 0.0, "Resources": [{ "f": { "Properties": {
        "Name": "app", "Alias": "live", "CurrentVersion": from.to_string(), "TargetVersion": to.to_string(),
    }}}]});
    let mut deployment = json!({
        "deploymentId": id, "status": status, "createTime": created, "creator": "CloudFormation",
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": spec.to_string() } },
    });
    if status != "InProgress" {
        deployment["completeTime"] = json!(created + 60);
    }
    deployment
}

impl Cloud {
    pub(super) fn new(status: &str) -> Self {
        Self {
            calls: 0,
            crash: None,
            crashed_at_a_change: false,
            refused: None,
            lost: None,
            throttled: None,
            in_alarm: true,
            // Not newest first: AWS promises no order.
            deployments: vec![
                deployment("d-OLD", "Succeeded", BEGAN - 1000, 2, 3),
                deployment("d-BAD", status, BEGAN, 3, 4),
                deployment("d-OLDER", "Succeeded", BEGAN - 2000, 1, 2),
            ],
            stopped: 0,
            created: 0,
            redeployed: "Succeeded",
            frozen: 0,
            notices: Vec::new(),
            alias: if status == "Succeeded" { 4 } else { 3 },
            keeps_traffic: false,
            code: |version| format!("sha/{version}="),
            finishes_first: false,
            has_stack: false,
            lists_recent: true,
            stage_is_busy: false,
            rolled_back: Vec::new(),
            actions: Vec::new(),
            rollback_runs: Vec::new(),
            empty_pages: false,
            two_groups: false,
            crowded: false,
        }
    }

    fn of(&mut self, id: &Value) -> &mut Value {
        self.deployments
            .iter_mut()
            .find(|one| one["deploymentId"] == *id)
            .unwrap()
    }

    pub(super) fn answer(&mut self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let ok = |value: Value| (200, value.to_string().into_bytes());
        let error = |code: &str| {
            (
                400,
                json!({ "__type": code, "message": "no" })
                    .to_string()
                    .into_bytes(),
            )
        };
        let input: Value = serde_json::from_slice(body).unwrap_or_default();
        if self.refused.is_some_and(|refused| operation.ends_with(refused)) {
            return error("AccessDeniedException");
        }
        if let Some((throttled, times @ 1..)) = &mut self.throttled
            && operation.ends_with(*throttled)
        {
            *times -= 1;
            return error("ThrottlingException");
        }
        match operation.rsplit(['.', '/']).next().unwrap() {
            "DescribeAlarms" => (200, alarms(if self.in_alarm { "ALARM" } else { "OK" })),
            "ListDeploymentGroups" if self.two_groups => {
                ok(json!({ "deploymentGroups": ["app-other", "app-live"] }))
            }
            "ListDeploymentGroups" => ok(json!({ "deploymentGroups": ["app-live"] })),
            "BatchGetDeploymentGroups" if self.two_groups => ok(
                json!({ "deploymentGroupsInfo": [group("app-other", "other"), group("app-live", "errors")] }),
            ),
            "BatchGetDeploymentGroups" => {
                ok(json!({ "deploymentGroupsInfo": [group("app-live", "errors")] }))
            }
            "GetDeploymentGroup" => {
                let mut group = group("app-live", "errors");
                let succeeded = self.deployments.iter().filter(|one| one["status"] == "Succeeded");
                let last = succeeded.max_by_key(|one| one["createTime"].as_i64());
                if let Some(last) = last {
                    group["lastSuccessfulDeployment"] = json!({ "deploymentId": last["deploymentId"] });
                }
                ok(json!({ "deploymentGroupInfo": group }))
            }
            "ListActionExecutions" if self.crowded && input["nextToken"].is_null() => {
                ok(json!({ "nextToken": "more", "actionExecutionDetails": [
                    { "pipelineExecutionId": "aa-1", "stageName": "Release", "status": "InProgress",
                      "startTime": BEGAN - 5, "lastUpdateTime": BEGAN },
                    { "pipelineExecutionId": "ab-1", "stageName": "Build", "status": "Failed",
                      "startTime": BEGAN - 500, "lastUpdateTime": BEGAN - 490 },
                ]}))
            }
            "ListActionExecutions" if self.crowded => ok(json!({ "actionExecutionDetails": [
                { "pipelineExecutionId": "bb-2", "stageName": "Release", "status": "Succeeded",
                  "startTime": BEGAN - 1005, "lastUpdateTime": BEGAN - 900 },
            ]})),
            "ListActionExecutions" => {
                let of_bad = if self.actions.is_empty() {
                    "InProgress"
                } else {
                    "Succeeded"
                };
                let mut actions = self.actions.clone();
                actions.extend([
                    release("aa-1", of_bad, BEGAN - 5, BEGAN),
                    release("bb-2", "Succeeded", BEGAN - 1005, BEGAN - 900),
                    json!({ "pipelineExecutionId": "aa-1", "stageName": "Build", "status": "Succeeded",
                            "startTime": BEGAN - 50, "lastUpdateTime": BEGAN - 40 }),
                ]);
                ok(json!({ "actionExecutionDetails": actions }))
            }
            "GetPipelineExecution" => {
                let run = input["pipelineExecutionId"].as_str().unwrap_or_default();
                let mut found = json!({
                    "pipelineExecutionId": run, "executionType": "STANDARD", "status": "Succeeded",
                    "artifactRevisions": [{ "name": "Source", "revisionId": "v2",
                                            "revisionSummary": "Faster\nAuthor: dan@example.com" }],
                });
                if run.starts_with("cc-") || self.rollback_runs.contains(&run) {
                    found["executionType"] = json!("ROLLBACK");
                    found["rollbackMetadata"] = json!({ "rollbackTargetPipelineExecutionId": "bb-2" });
                }
                ok(json!({ "pipelineExecution": found }))
            }
            "GetPipelineState" => {
                let status = if self.stage_is_busy {
                    "InProgress"
                } else {
                    "Succeeded"
                };
                let stage = |name: &str| {
                    let rollback = self.rolled_back.iter().rposition(|stage| stage == name);
                    let latest = rollback.map_or_else(
                        || json!({ "pipelineExecutionId": "aa-1", "status": status, "type": "STANDARD" }),
                        |at| {
                            let run = format!("cc-{}", at + 1);
                            json!({ "pipelineExecutionId": run, "status": "Succeeded", "type": "ROLLBACK" })
                        },
                    );
                    json!({
                        "stageName": name,
                        "latestExecution": latest,
                        "inboundTransitionState": {
                            "enabled": self.frozen == 0, "disabledReason": "because",
                            "lastChangedBy": "arn:role",
                        },
                    })
                };
                ok(json!({ "stageStates": [stage("Release"), stage("Deploy")] }))
            }
            "GetPipeline" => ok(pipeline(self.has_stack)),
            "RollbackStage" => {
                let stage = input["stageName"].as_str().unwrap_or_default();
                self.rolled_back.push(stage.to_owned());
                ok(json!({ "pipelineExecutionId": format!("cc-{}", self.rolled_back.len()) }))
            }
            "ListPipelineExecutions" | "ListDeployments"
                if self.empty_pages && input["nextToken"].is_null() && input["createTimeRange"].is_null() =>
            {
                ok(json!({ "nextToken": "more", "deployments": [], "pipelineExecutionSummaries": [] }))
            }
            "ListPipelineExecutions" if self.empty_pages => ok(json!({ "pipelineExecutionSummaries": [{
                "pipelineExecutionId": "bb-2", "status": "Succeeded", "executionType": "ROLLBACK",
                "rollbackMetadata": { "rollbackTargetPipelineExecutionId": "ab-0" },
            }]})),
            "ListPipelineExecutions" => ok(json!({ "pipelineExecutionSummaries": [] })),
            "EnableStageTransition" => {
                self.frozen = 0;
                ok(json!({}))
            }
            "live" => {
                let shifts = self.deployments.iter().any(|one| one["status"] == "InProgress");
                let weights = if shifts || self.keeps_traffic {
                    json!({ "4": 0.1 })
                } else {
                    json!({})
                };
                ok(json!({
                    "FunctionVersion": self.alias.to_string(),
                    "RoutingConfig": { "AdditionalVersionWeights": weights },
                }))
            }
            configuration if configuration.starts_with("configuration?Qualifier=") => {
                let version = configuration.rsplit('=').next().unwrap_or_default();
                if version == "1" {
                    return (404, b"{}".to_vec());
                }
                ok(json!({ "CodeSha256": (self.code)(version), "Version": version }))
            }
            "ListDeployments" => {
                // Asked for a range of time, or for those that succeeded.
                let is_listed = self.lists_recent || input["createTimeRange"].is_null();
                let listed = self.deployments.iter().filter(|_| is_listed);
                let ids: Vec<&Value> = listed.map(|one| &one["deploymentId"]).collect();
                ok(json!({ "deployments": ids }))
            }
            "BatchGetDeployments" => ok(json!({ "deploymentsInfo": self.deployments })),
            "GetDeployment" => ok(json!({ "deploymentInfo": self.of(&input["deploymentId"]) })),
            "StopDeployment" => {
                let finishes_first = self.finishes_first;
                let bad = self.of(&input["deploymentId"]);
                if finishes_first {
                    bad["status"] = json!("Succeeded");
                    bad["completeTime"] = json!(FIRED);
                    self.alias = 4;
                }
                let bad = self.of(&input["deploymentId"]);
                if bad["status"] != "InProgress" {
                    return error("DeploymentAlreadyCompletedException");
                }
                bad["status"] = json!("Stopped");
                bad["completeTime"] = json!(FIRED + 5);
                if self.keeps_traffic {
                    self.stopped += 1;
                    return ok(json!({ "status": "Succeeded" }));
                }
                let mut back = deployment("d-BACK", "Succeeded", FIRED + 5, 4, 3);
                back["creator"] = json!("codeDeployRollback");
                self.deployments.push(back);
                self.stopped += 1;
                ok(json!({ "status": "Pending" }))
            }
            "CreateDeployment" => {
                self.created += 1;
                self.alias = 3;
                let id = format!("d-BACK{}", self.created);
                let mut back = deployment(&id, self.redeployed, FIRED + 5, 4, 3);
                back["creator"] = json!("user");
                back["description"] = input["description"].clone();
                self.deployments.push(back);
                ok(json!({ "deploymentId": id }))
            }
            "DisableStageTransition" => {
                self.frozen += 1;
                ok(json!({}))
            }
            _ => {
                self.notices.push(
                    String::from_utf8_lossy(body)
                        .replace("%20", " ")
                        .replace('+', " "),
                );
                let answer = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
                (200, answer.as_bytes().to_vec())
            }
        }
    }
}

/// An action execution of the release stage.
pub(super) fn release(run: &str, status: &str, from: i64, to: i64) -> Value {
    json!({
        "pipelineExecutionId": run, "stageName": "Release", "status": status,
        "startTime": from, "lastUpdateTime": to,
    })
}

fn pipeline(has_stack: bool) -> Value {
    let role = "arn:aws:iam::123456789012:role/pipeline";
    if !has_stack {
        return json!({ "pipeline": {
            "name": "pipeline", "roleArn": role, "executionMode": "PARALLEL", "stages": [],
        }});
    }
    let stage = |name: &str, mode: &str| {
        json!({ "name": name, "actions": [{
            "name": name,
            "actionTypeId": {
                "category": "Deploy", "owner": "AWS", "provider": "CloudFormation", "version": "1",
            },
            "configuration": { "ActionMode": mode, "StackName": "app", "ChangeSetName": "signalbox" },
        }]})
    };
    json!({ "pipeline": {
        "name": "pipeline", "roleArn": role, "executionMode": "SUPERSEDED",
        "stages": [stage("Deploy", "CHANGE_SET_REPLACE"), stage("Release", "CHANGE_SET_EXECUTE")],
    }})
}

fn group(name: &str, alarm: &str) -> Value {
    json!({
        "deploymentGroupName": name,
        "alarmConfiguration": { "enabled": false, "alarms": [{ "name": alarm }] },
    })
}

/// `DescribeAlarms`' answer; CloudWatch speaks CBOR.
fn alarms(state: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).unwrap();
        let mut bytes = if length < 24 {
            vec![0x60 + length]
        } else {
            vec![0x78, length]
        };
        bytes.extend(text.as_bytes());
        bytes
    };
    let mut out = vec![0xA1];
    out.extend(text("MetricAlarms"));
    out.extend([0x81, 0xA3]);
    out.extend([text("StateValue"), text(state)].concat());
    out.extend([text("ActionsEnabled"), vec![0xF5]].concat());
    out.extend(text("StateTransitionedTimestamp"));
    // Tag 1 (epoch), a 64-bit float.
    out.extend([0xC1, 0xFB]);
    let fired: f64 = "1800000100".parse().unwrap();
    out.extend(fired.to_be_bytes());
    out
}
