use serde_json::json;

use super::*;

const ROLE: &str = "arn:aws:iam::123456789012:role/start-run";
const PIPELINE: &str = "arn:aws:codepipeline:us-east-1:123456789012:p";

fn allow(action: &str, resource: &str) -> String {
    json!({"Statement": {"Effect": "Allow", "Action": action, "Resource": resource}}).to_string()
}

fn policies() -> Policies {
    let policies = Policies::new("123456789012");
    policies.observe(
        "CreateRole",
        &json!({"RoleName": "start-run"}),
        &json!({"Role": {"Arn": ROLE}}),
    );
    policies
}

fn put(policies: &Policies, document: &str) {
    policies.observe(
        "PutRolePolicy",
        &json!({"RoleName": "start-run", "PolicyName": "own", "PolicyDocument": document}),
        &json!({}),
    );
}

fn ask(policies: &Policies, action: &str, resource: &str) -> Result<(), AwsError> {
    let caller = Caller::Role {
        arn: ROLE.to_owned(),
        session: "f".to_owned(),
    };
    policies.check(&caller, &[Needed::new(action, resource)], &Account::default())
}

#[test]
fn a_role_may_do_what_its_policies_say_and_nothing_else() {
    let policies = policies();
    assert!(ask(&policies, "codepipeline:StartPipelineExecution", PIPELINE).is_err());
    put(&policies, &allow("codepipeline:StartPipelineExecution", PIPELINE));
    assert!(ask(&policies, "codepipeline:StartPipelineExecution", PIPELINE).is_ok());
    let error = ask(&policies, "codepipeline:DeletePipeline", PIPELINE).unwrap_err();
    assert_eq!(error.code, "AccessDeniedException");
    assert_eq!(
        error.message,
        format!(
            "User: arn:aws:sts::123456789012:assumed-role/start-run/f is not authorized to perform: \
             codepipeline:DeletePipeline on resource: {PIPELINE} because no identity-based policy allows the \
             codepipeline:DeletePipeline action"
        )
    );
    policies.observe(
        "DeleteRolePolicy",
        &json!({"RoleName": "start-run", "PolicyName": "own"}),
        &json!({}),
    );
    assert!(ask(&policies, "codepipeline:StartPipelineExecution", PIPELINE).is_err());
}

#[test]
fn an_unknown_role_may_nothing() {
    assert!(ask(&Policies::new("1"), "sns:Publish", "*").is_err());
}

#[test]
fn managed_policies_count_in_their_default_version() {
    let policies = policies();
    let arn = "arn:aws:iam::123456789012:policy/m";
    let document = allow("sns:Publish", "*");
    policies.observe(
        "CreatePolicy",
        &json!({"PolicyDocument": document}),
        &json!({"Policy": {"Arn": arn, "DefaultVersionId": "v1"}}),
    );
    policies.observe(
        "AttachRolePolicy",
        &json!({"RoleName": "start-run", "PolicyArn": arn}),
        &json!({}),
    );
    assert!(ask(&policies, "sns:Publish", "*").is_ok());
    let second =
        json!({"PolicyArn": arn, "PolicyDocument": allow("sqs:SendMessage", "*"), "SetAsDefault": true});
    policies.observe(
        "CreatePolicyVersion",
        &second,
        &json!({"PolicyVersion": {"VersionId": "v2"}}),
    );
    assert!(ask(&policies, "sns:Publish", "*").is_err());
    assert!(ask(&policies, "sqs:SendMessage", "*").is_ok());
}

#[test]
fn a_boundary_limits_what_policies_allow() {
    let policies = policies();
    put(&policies, &allow("*", "*"));
    let boundary = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
    let input = json!({"RoleName": "start-run", "PermissionsBoundary": boundary});
    policies.observe("PutRolePermissionsBoundary", &input, &json!({}));
    assert!(ask(&policies, "logs:PutLogEvents", "*").is_ok());
    assert!(ask(&policies, "sns:Publish", "*").is_err());
}

#[test]
fn what_is_granted_and_never_asked_for_is_listed() {
    let policies = policies();
    let document = json!({"Statement": [
        {"Effect": "Allow", "Action": ["sns:Publish", "sns:Subscribe"], "Resource": "arn:aws:sns:*:*:t"},
    ]});
    put(&policies, &document.to_string());
    assert_eq!(policies.unused(ROLE).len(), 2);
    ask(&policies, "sns:Publish", "arn:aws:sns:us-east-1:123456789012:t").unwrap();
    let unused: Vec<String> = policies
        .unused(ROLE)
        .into_iter()
        .map(|grant| grant.action)
        .collect();
    assert_eq!(unused, ["sns:Subscribe"]);
    assert_eq!(policies.usage()[0].calls, 1);
}

#[test]
fn what_a_role_is_refused_on_its_way_out_tells_nothing_of_its_policies() {
    let refused = |policies: &Policies| {
        let usage = policies.usage().into_iter().filter(|usage| !usage.allowed);
        usage.map(|usage| (usage.action, usage.calls)).collect::<Vec<_>>()
    };
    let remove = |policies: &Policies, operation: &str| {
        let input = json!({"RoleName": "start-run", "PolicyName": "own"});
        policies.observe(operation, &input, &json!({}));
    };
    let policies = policies();
    put(&policies, &allow("sns:Publish", "*"));
    // Missed while it had its policies.
    ask(&policies, "sqs:SendMessage", "*").unwrap_err();
    remove(&policies, "DeleteRolePolicy");
    // Whoever was under way.
    ask(&policies, "sns:Publish", "*").unwrap_err();
    ask(&policies, "sqs:SendMessage", "*").unwrap_err();
    assert_eq!(refused(&policies).len(), 2);
    remove(&policies, "DeleteRole");
    ask(&policies, "sns:Publish", "*").unwrap_err();
    assert_eq!(refused(&policies), [("sqs:SendMessage".to_owned(), 1)]);

    // A role that only changes its policies misses what it is refused.
    let policies = self::policies();
    put(&policies, &allow("sns:Publish", "*"));
    remove(&policies, "DeleteRolePolicy");
    ask(&policies, "sns:Publish", "*").unwrap_err();
    put(&policies, &allow("sqs:SendMessage", "*"));
    remove(&policies, "DeleteRole");
    assert_eq!(refused(&policies), [("sns:Publish".to_owned(), 1)]);
}
