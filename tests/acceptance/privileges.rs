//! Least privilege, over the whole suite: what the functions' roles are granted, somebody has used, and what they asked
//! for, they were granted. The one exception to either is listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use signalbox_local::cloud::LocalCloud;
use signalbox_local::running::Running;

use crate::transformed::{CONTROL_PLANE, Template};
use crate::world::World;

/// Granted, and not used by each of those that have it: role (empty: any), action, reason.
const UNUSED: [(&str, &str, &str); 7] = [
    (
        "",
        "logs:CreateLogStream",
        "Lambda itself writes logs with the function's role; the local host keeps them in its own name",
    ),
    ("", "logs:PutLogEvents", "as above"),
    (
        "",
        "xray:PutTraceSegments",
        "Lambda itself sends traces with the function's role; there is no X-Ray here",
    ),
    ("", "xray:PutTelemetryRecords", "as above"),
    (
        "",
        "codedeploy:GetApplicationRevision",
        "where AWS names a deployment's revision by its digest alone, which the local CodeDeploy does not do",
    ),
    (
        "RollBackRole",
        "lambda:GetAlias",
        "one statement for two actions: an alias is asked for by the function's name",
    ),
    (
        "RollBackRole",
        "lambda:GetFunctionConfiguration",
        "one statement for two actions: a version is asked for by its number",
    ),
];

/// Asked for and refused, and that is right: action, reason.
const REFUSED: [(&str, &str); 2] = [
    (
        "codedeploy:GetDeployment",
        "a deployment that does not exist belongs to no group: a forged event names one",
    ),
    (
        "s3:PutObject",
        "a trial uploads in the name of a role that may not",
    ),
];

/// Every cloud that the suite has started, and whether its refusals count. They outlive their trials, to be asked at
/// the end.
static CLOUDS: Mutex<Vec<(Arc<LocalCloud>, bool)>> = Mutex::new(Vec::new());

/// Lets the cloud count.
pub(crate) fn watch(running: &Running) {
    CLOUDS.lock().unwrap().push((Arc::clone(&running.cloud), true));
}

/// Lets the cloud's refusals not count: a trial takes permissions away in it.
pub(crate) fn expect_refusals(running: &Running) {
    for (cloud, counts) in CLOUDS.lock().unwrap().iter_mut() {
        *counts &= !Arc::ptr_eq(cloud, &running.cloud);
    }
}

/// A role or a shared policy of the template, an action, and which of its statements of that action: environments
/// differ in the names of resources, and in nothing else.
type Grant = (String, String, usize);

/// What was granted, with whether it was used, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// With one of the resources that it names.
    granted: BTreeMap<Grant, (bool, String)>,
    refused: BTreeSet<(String, String, String)>,
}

/// Asks all clouds about the control planes in them.
pub(crate) async fn granted(world: &World) -> Findings {
    let template = Template::load(world, CONTROL_PLANE).await;
    let mut owners: Vec<&str> = ["AWS::IAM::Role", "AWS::IAM::ManagedPolicy"]
        .into_iter()
        .flat_map(|kind| template.of_type(kind))
        .map(|(name, _)| name.as_str())
        .collect();
    // Of names that begin alike, the longest is meant.
    owners.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let owner = |name: &str| {
        let found = owners.iter().find(|owner| name.contains(&format!("-{owner}-")));
        found.map(|owner| (*owner).to_owned())
    };
    let mut findings = Findings::default();
    for (cloud, refusals_count) in CLOUDS.lock().unwrap().iter() {
        let policies = cloud.policies();
        for role in policies.roles() {
            let Some(of_role) = owner(&role) else { continue };
            let unused = policies.unused(&role);
            let mut counts = BTreeMap::new();
            for grant in policies.grants(&role) {
                let is_used = !unused.contains(&grant);
                let of = owner(&grant.policy).unwrap_or_else(|| of_role.clone());
                let count: &mut usize = counts.entry((of.clone(), grant.action.clone())).or_default();
                *count += 1;
                let key = (of, grant.action, *count);
                let known = findings.granted.entry(key).or_insert((false, grant.resource));
                known.0 |= is_used;
            }
        }
        for asked in policies
            .usage()
            .into_iter()
            .filter(|asked| *refusals_count && !asked.allowed)
        {
            if let Some(of) = owner(&asked.role) {
                findings.refused.insert((of, asked.action, asked.resource));
            }
        }
    }
    findings
}

/// Used in some runs of the suite and not in others: role, action, reason.
const SOMETIMES: [(&str, &str, &str); 1] = [(
    "SweepRole",
    "sqs:SendMessage",
    "Lambda hands over a sweep that failed, which only faults of trials beside it bring about",
)];

/// Whether the roles have what they need and nothing else; says what is amiss.
pub(crate) fn are_least(findings: &Findings) -> bool {
    let mut amiss = Vec::new();
    let mut met = BTreeSet::new();
    let mut listed = 0;
    for ((of, action, _), (is_used, resource)) in &findings.granted {
        if *is_used {
            continue;
        }
        let at = UNUSED
            .iter()
            .position(|(owner, one, _)| (owner.is_empty() || owner == of) && one == action);
        match at {
            Some(at) => {
                met.insert(at);
                listed += 1;
            }
            None if SOMETIMES
                .iter()
                .any(|(owner, one, _)| owner == of && one == action) => {}
            None => amiss.push(format!(
                "{of} is granted {action} on {resource}, and nothing has used it"
            )),
        }
    }
    for (at, (owner, action, _)) in UNUSED.iter().enumerate() {
        if !met.contains(&at) {
            amiss.push(format!("{owner} {action} is listed as unused, and is not"));
        }
    }
    for (of, action, resource) in &findings.refused {
        if !REFUSED.iter().any(|(one, _)| one == action) {
            amiss.push(format!(
                "{of} asked for {action} on {resource}, and is not granted it"
            ));
        }
    }
    assert!(findings.granted.len() > 50, "no control plane was looked at");
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "least privilege: {} grants to the functions' roles, {listed} of them listed as unused with their reason, {} amiss",
        findings.granted.len(),
        amiss.len()
    );
    for one in &amiss {
        let _ = writeln!(out, "  {one}");
    }
    amiss.is_empty()
}
