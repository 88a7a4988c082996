//! Which permissions a call needs: action, resources, condition keys.
//!
//! Most operations are their own action on the resource that their input names; the exceptions follow
//! AWS's Service Authorization Reference. Where the input names no resource, the resource is `*`, as for
//! AWS's own list operations.

mod deployments;
mod functions;
mod pipelines;
mod records;

use serde_json::Value;
use signalbox_local_core::{Account, Cloud};
use signalbox_local_wire::encode_request;

use super::document::Context;
use crate::cloud::LocalCloud;
use crate::gateway::s3::S3Call;

/// A permission that a call needs, on each of the resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needed {
    pub(crate) action: String,
    pub(crate) resources: Vec<String>,
    pub(crate) context: Context,
}

impl Needed {
    pub(crate) fn new(action: &str, resource: &str) -> Self {
        Self {
            action: action.to_owned(),
            resources: vec![resource.to_owned()],
            context: Context::new(),
        }
    }

    fn on(action: &str, resources: Vec<String>) -> Self {
        let resources = if resources.is_empty() {
            vec!["*".to_owned()]
        } else {
            resources
        };
        Self {
            action: action.to_owned(),
            resources,
            context: Context::new(),
        }
    }

    fn with(mut self, key: &str, values: Vec<String>) -> Self {
        if !values.is_empty() {
            self.context.insert(key.to_ascii_lowercase(), values);
        }
        self
    }
}

/// A call, as the tables below see it.
struct Call<'a> {
    account: &'a Account,
    /// The service's prefix in actions and ARNs.
    prefix: &'a str,
    operation: &'a str,
    input: &'a Value,
}

impl Call<'_> {
    fn action(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.input[name].as_str().filter(|text| !text.is_empty())
    }

    /// Members of a list of strings.
    fn texts(&self, name: &str) -> Vec<&str> {
        self.input[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    fn arn(&self, rest: &str) -> String {
        self.account.arn(self.prefix, rest)
    }

    /// An ARN stays; a name becomes one.
    fn arn_of(&self, name: &str, rest: impl FnOnce(&str) -> String) -> String {
        if name.starts_with("arn:") {
            name.to_owned()
        } else {
            self.arn(&rest(name))
        }
    }

    /// The operation as its own action.
    fn own(&self, resources: Vec<String>) -> Vec<Needed> {
        vec![Needed::on(&self.action(self.operation), resources)]
    }
}

/// The permissions that a call needs; all of them must be allowed.
pub(crate) async fn needed(cloud: &LocalCloud, service: &str, operation: &str, input: &Value) -> Vec<Needed> {
    let prefix = if service == "stepfunctions" {
        "states"
    } else {
        service
    };
    let call = Call {
        account: cloud.account(),
        prefix,
        operation,
        input,
    };
    match service {
        "codepipeline" => pipelines::codepipeline(&call),
        "codebuild" => pipelines::codebuild(&call),
        "codedeploy" => deployments::needed(cloud, &call).await,
        "lambda" => functions::needed(&call),
        "dynamodb" => records::dynamodb(cloud, &call).await,
        "secretsmanager" => records::secretsmanager(cloud, &call).await,
        "kms" => records::kms(cloud, &call).await,
        "ssm" => records::ssm(&call),
        "logs" => records::logs(&call),
        "sqs" => queues(&call),
        "sns" => topics(&call),
        "cloudwatch" => metrics(&call),
        "events" => events(&call),
        "cloudformation" => stacks(&call),
        "iam" => identities(&call),
        "s3" => objects(cloud, &call).await,
        // Needs no permission.
        "sts" if matches!(operation, "GetCallerIdentity" | "GetSessionToken") => Vec::new(),
        "sts" => call.own(call.text("RoleArn").map(str::to_owned).into_iter().collect()),
        _ => call.own(Vec::new()),
    }
}

/// S3's actions are not its operations; the table that the gateway uses goes by the request's line.
async fn objects(cloud: &LocalCloud, call: &Call<'_>) -> Vec<Needed> {
    let Ok(model) = cloud.model("s3").await else {
        return call.own(Vec::new());
    };
    let outgoing = encode_request(&model, call.operation, call.input).ok();
    let line = outgoing.and_then(|it| S3Call::of(&it.method, &it.path, call.text("CopySource")));
    line.map_or_else(|| call.own(Vec::new()), |line| super::s3_needed(&line))
}

fn queues(call: &Call<'_>) -> Vec<Needed> {
    let name = call
        .text("QueueUrl")
        .and_then(|url| url.rsplit('/').next())
        .or_else(|| call.text("QueueName"));
    // A batch needs the permission of the single operation.
    let action = call.operation.strip_suffix("Batch").unwrap_or(call.operation);
    vec![Needed::on(
        &call.action(action),
        name.map(|name| call.arn(name)).into_iter().collect(),
    )]
}

fn topics(call: &Call<'_>) -> Vec<Needed> {
    let action = call.operation.strip_suffix("Batch").unwrap_or(call.operation);
    let topic = ["TopicArn", "TargetArn", "ResourceArn"]
        .iter()
        .find_map(|name| call.text(name))
        .map(str::to_owned);
    // `arn:aws:sns:region:account:topic:id`: the permission is the topic's.
    let subscribed = || {
        let arn = call.text("SubscriptionArn")?;
        Some(arn.split(':').take(6).collect::<Vec<_>>().join(":"))
    };
    let made = || call.text("Name").map(|name| call.arn(name));
    vec![Needed::on(
        &call.action(action),
        topic.or_else(subscribed).or_else(made).into_iter().collect(),
    )]
}

fn metrics(call: &Call<'_>) -> Vec<Needed> {
    let alarm = |name: &str| call.arn(&format!("alarm:{name}"));
    match call.operation {
        "PutMetricData" => {
            let namespace = call.text("Namespace").map(str::to_owned).into_iter().collect();
            vec![Needed::on(&call.action(call.operation), Vec::new()).with("cloudwatch:namespace", namespace)]
        }
        "DescribeAlarms" => {
            let names = call.texts("AlarmNames");
            let names = if names.is_empty() { vec!["*"] } else { names };
            call.own(names.into_iter().map(alarm).collect())
        }
        "DeleteAlarms" | "EnableAlarmActions" | "DisableAlarmActions" => {
            call.own(call.texts("AlarmNames").into_iter().map(alarm).collect())
        }
        _ => {
            let tagged = call.text("ResourceARN").map(str::to_owned);
            call.own(call.text("AlarmName").map(alarm).or(tagged).into_iter().collect())
        }
    }
}

fn events(call: &Call<'_>) -> Vec<Needed> {
    if call.operation == "PutEvents" {
        let entries = call.input["Entries"].as_array().into_iter().flatten();
        let mut buses: Vec<String> = entries
            .map(|entry| {
                call.arn_of(entry["EventBusName"].as_str().unwrap_or("default"), |it| {
                    format!("event-bus/{it}")
                })
            })
            .collect();
        buses.sort_unstable();
        buses.dedup();
        return call.own(buses);
    }
    let rule = call
        .text("Rule")
        .or_else(|| call.text("Name").filter(|_| call.operation.contains("Rule")));
    let bus = call
        .text("EventBusName")
        .map(|bus| bus.rsplit('/').next().unwrap_or(bus))
        .filter(|bus| *bus != "default");
    let arn = match (rule, bus) {
        (Some(rule), Some(bus)) => Some(call.arn(&format!("rule/{bus}/{rule}"))),
        (Some(rule), None) => Some(call.arn_of(rule, |rule| format!("rule/{rule}"))),
        (None, _) => call.text("ResourceARN").map(str::to_owned),
    };
    call.own(arn.into_iter().collect())
}

fn stacks(call: &Call<'_>) -> Vec<Needed> {
    // A stack's ARN ends in an id that only the stack itself knows; policies end in `/*`.
    let stack = call
        .text("StackName")
        .map(|name| call.arn_of(name, |name| format!("stack/{name}/local")));
    let change_set = || {
        call.text("ChangeSetName")
            .filter(|name| name.starts_with("arn:"))
            .map(str::to_owned)
    };
    call.own(stack.or_else(change_set).into_iter().collect())
}

fn identities(call: &Call<'_>) -> Vec<Needed> {
    let of = |kind: &str, name: &str| format!("arn:aws:iam::{}:{kind}/{name}", call.account.id);
    let named = [
        ("RoleName", "role"),
        ("UserName", "user"),
        ("GroupName", "group"),
        ("PolicyName", "policy"),
    ];
    let resource = named
        .iter()
        .find_map(|(member, kind)| call.text(member).map(|name| of(kind, name)));
    let policy = call
        .text("PolicyArn")
        .filter(|_| call.text("RoleName").is_none())
        .map(str::to_owned);
    call.own(policy.or(resource).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Action and resources of the services that need nothing but the input.
    pub(super) fn of(
        table: impl Fn(&Call<'_>) -> Vec<Needed>,
        prefix: &str,
        operation: &str,
        input: &Value,
    ) -> Vec<(String, Vec<String>)> {
        let account = Account::default();
        let call = Call {
            account: &account,
            prefix,
            operation,
            input,
        };
        table(&call)
            .into_iter()
            .map(|need| (need.action, need.resources))
            .collect()
    }

    fn one(action: &str, resource: &str) -> Vec<(String, Vec<String>)> {
        vec![(action.to_owned(), vec![resource.to_owned()])]
    }

    #[test]
    fn queues_are_named_by_their_url() {
        let input = json!({"QueueUrl": "http://127.0.0.1:4750/123456789012/failed"});
        let expected = one("sqs:SendMessage", "arn:aws:sqs:us-east-1:123456789012:failed");
        assert_eq!(of(queues, "sqs", "SendMessage", &input), expected);
        assert_eq!(of(queues, "sqs", "SendMessageBatch", &input), expected);
        assert_eq!(
            of(queues, "sqs", "ListQueues", &json!({})),
            one("sqs:ListQueues", "*")
        );
    }

    #[test]
    fn a_subscription_is_its_topics() {
        let input = json!({"SubscriptionArn": "arn:aws:sns:us-east-1:123456789012:t:0-1-2"});
        assert_eq!(
            of(topics, "sns", "Unsubscribe", &input),
            one("sns:Unsubscribe", "arn:aws:sns:us-east-1:123456789012:t")
        );
    }

    #[test]
    fn metrics_have_no_resource_but_a_namespace() {
        let account = Account::default();
        let input = json!({"Namespace": "Signalbox"});
        let call = Call {
            account: &account,
            prefix: "cloudwatch",
            operation: "PutMetricData",
            input: &input,
        };
        let needed = metrics(&call);
        assert_eq!(needed[0].resources, ["*"]);
        assert_eq!(needed[0].context["cloudwatch:namespace"], ["Signalbox"]);
        let alarms = json!({"AlarmNames": ["a", "b"]});
        assert_eq!(of(metrics, "cloudwatch", "DescribeAlarms", &alarms)[0].1.len(), 2);
    }

    #[test]
    fn rules_and_buses() {
        let input = json!({"Name": "r", "EventBusName": "default"});
        assert_eq!(
            of(events, "events", "PutRule", &input),
            one("events:PutRule", "arn:aws:events:us-east-1:123456789012:rule/r")
        );
        let put = json!({"Entries": [{"Source": "x"}, {"Source": "y"}]});
        let bus = "arn:aws:events:us-east-1:123456789012:event-bus/default";
        assert_eq!(
            of(events, "events", "PutEvents", &put),
            one("events:PutEvents", bus)
        );
    }
}
