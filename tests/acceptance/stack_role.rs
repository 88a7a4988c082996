//! What CloudFormation may do for the application's stack: all that AWS's own handlers of the template's resources say
//! they need, as far as the template can make them need it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::transformed::{APPLICATION, Template};
use crate::world::World;

const ROLE: &str = "infrastructure/modules/pipeline/stack_role.tf";

/// What the role has no use for, with the reason. Who lets the template use one of these features takes its line out.
const NOT_USED: [(&[&str], &str); 12] = [
    (
        &["codedeploy:CreateApplication", "codedeploy:DeleteApplication"],
        "the application is Terraform's (codedeploy.tf), and the pipeline hands its name over",
    ),
    (
        &["codedeploy:RegisterOnPremisesInstance"],
        "the group deploys a function and has no instances",
    ),
    (
        &["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
        "the roles have no managed policies",
    ),
    (
        &[
            "iam:DeleteRolePermissionsBoundary",
            "iam:PutRolePermissionsBoundary",
        ],
        "the roles have no boundary (docs/security.md)",
    ),
    (
        &[
            "kms:CreateGrant",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
            "logs:AssociateKmsKey",
            "logs:DisassociateKmsKey",
        ],
        "the pipeline hands no KmsKeyArn over; the parameter says what rights it takes",
    ),
    (
        &[
            "lambda:AssociateRuntimeAlias",
            "lambda:PutRuntimeManagementConfig",
        ],
        "Lambda manages the runtime's updates",
    ),
    (
        &[
            "elasticfilesystem:DescribeMountTargets",
            "lambda:GetLayerVersion",
            "s3files:ListMountTargets",
        ],
        "the function has neither layers nor file systems",
    ),
    (
        &[
            "lambda:PassCapacityProvider",
            "lambda:PutFunctionRecursionConfig",
            "lambda:PutFunctionScalingConfig",
        ],
        "the function runs on no instances of its own, and detects recursion as by default",
    ),
    (
        &[
            "lambda:DeleteProvisionedConcurrencyConfig",
            "lambda:PutProvisionedConcurrencyConfig",
        ],
        "no concurrency is provisioned",
    ),
    (
        &[
            "logs:DeleteDataProtectionPolicy",
            "logs:PutDataProtectionPolicy",
            "logs:DeleteIndexPolicy",
            "logs:PutIndexPolicy",
            "logs:DeleteResourcePolicy",
            "logs:PutResourcePolicy",
        ],
        "the log group has no policies; a policy of somebody else's goes with its group",
    ),
    (
        &[
            "logs:PutBearerTokenAuthentication",
            "logs:PutLogGroupDeletionProtection",
        ],
        "the log group leaves both as by default",
    ),
    (
        &[
            "firehose:TagDeliveryStream",
            "logs:CreateLogDelivery",
            "s3:REST.PUT.OBJECT",
        ],
        "for where a data protection policy would send its findings",
    ),
];

/// The actions that a Terraform file allows. It reads no more of Terraform's language than `actions = ["…", …]`, and
/// refuses what would make that reading wrong: it would rather fail than take a right for given.
fn allowed(file: &str) -> Result<BTreeSet<String>, String> {
    let code: String = file
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    for unread in ["not_actions", "not_resources", "effect", "\n/*"] {
        if code.contains(unread) {
            return Err(format!("{unread:?} is not understood here"));
        }
    }
    if code.matches("data \"aws_iam_policy_document\"").count() != 1 {
        return Err("there is not one policy to read".to_owned());
    }
    let written_out = |text: &str| format!("not written out: {:?}", text.lines().next());
    let mut found = BTreeSet::new();
    for assigned in code.split("actions").skip(1) {
        let list = assigned.trim_start().strip_prefix('=').map(str::trim_start);
        let list = list.and_then(|list| list.strip_prefix('['));
        let (list, _) = list
            .and_then(|list| list.split_once(']'))
            .ok_or_else(|| written_out(assigned))?;
        for action in list.split(',').map(str::trim).filter(|it| !it.is_empty()) {
            let name = action.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
            let name = name.ok_or_else(|| written_out(action))?;
            if name.contains(['*', '?', '$', '"']) {
                return Err(format!("{name} is more than one action"));
            }
            found.insert(name.to_owned());
        }
    }
    Ok(found)
}

/// AWS's registry as cfn-lint brings it along.
fn registry(venv: &Path) -> PathBuf {
    let library = fs::read_dir(venv.join("lib")).unwrap();
    let mut found = library.map(|entry| entry.unwrap().path().join("site-packages/cfnlint/data/schemas"));
    found
        .find(|path| path.is_dir())
        .expect("cfn-lint's schemas in the virtual environment")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What the handlers of the template's resources say they call, and who says so.
async fn declared(world: &World) -> BTreeMap<String, String> {
    let template = Template::load(world, APPLICATION).await;
    let registry = registry(&world.running.tools.venv);
    let schemas = read(&registry.join("providers/us-east-1.json"));
    let mut declared = BTreeMap::new();
    let mut types = 0;
    for (kind, schema) in schemas.as_object().unwrap() {
        if template.of_type(kind).next().is_none() {
            continue;
        }
        types += 1;
        let file = format!("resources/{}.json", schema.as_str().unwrap());
        let schema = read(&registry.join(file));
        assert_eq!(schema["typeName"], **kind);
        // Stacks never list what there is of a type.
        for handler in ["create", "read", "update", "delete"] {
            for permission in schema["handlers"][handler]["permissions"].as_array().unwrap() {
                let permission = permission.as_str().unwrap().to_owned();
                declared
                    .entry(permission)
                    .or_insert_with(|| format!("{kind}, to {handler} it"));
            }
        }
    }
    assert!(types >= 9, "only {types} types of resources are known");
    declared
}

pub(crate) async fn the_stack_s_role_may_do_what_its_resources_handlers_do(world: &World) {
    let role = fs::read_to_string(world.running.paths.project.join(ROLE)).unwrap();
    let allowed = allowed(&role).unwrap();
    let declared = declared(world).await;
    let mut amiss = Vec::new();
    for (permission, by) in &declared {
        let is_listed = NOT_USED
            .iter()
            .any(|(listed, _)| listed.contains(&permission.as_str()));
        match (allowed.contains(permission), is_listed) {
            (true, false) | (false, true) => (),
            (false, false) => amiss.push(format!("{ROLE} lacks {permission}: {by}")),
            (true, true) => amiss.push(format!("{permission} is listed as not used, and {ROLE} has it")),
        }
    }
    for permission in NOT_USED.iter().flat_map(|(listed, _)| *listed) {
        if !declared.contains_key(*permission) {
            amiss.push(format!("no handler declares {permission} any more"));
        }
    }
    assert!(amiss.is_empty(), "{}", amiss.join("\n"));
}

pub(crate) async fn the_reading_of_the_stack_s_role_takes_nothing_for_given(_: &World) {
    let file = "data \"aws_iam_policy_document\" \"stack\" {\n  # actions = [\"c:No\"]\n  actions = [\"a:One\", \
                \"a:Two\"]\n  actions   = [\n    \"b:Three\",\n  ]\n}\n";
    assert_eq!(
        allowed(file).unwrap(),
        ["a:One", "a:Two", "b:Three"].map(str::to_owned).into()
    );
    for (wrong, why) in [
        ("  effect = \"Deny\"\n", "\"effect\" is not understood"),
        ("  not_actions = []\n", "\"not_actions\" is not understood"),
        ("/* actions = [] */\n", "is not understood"),
        ("  actions = [\"lambda:*\"]\n", "lambda:* is more than one"),
        ("  actions = local.actions\n", "not written out"),
        ("  actions = [local.action]\n", "not written out"),
        ("data \"aws_iam_policy_document\" \"b\" {}\n", "not one policy"),
    ] {
        let refused = allowed(&format!("{file}{wrong}")).unwrap_err();
        assert!(refused.contains(why), "{wrong}: {refused}");
    }
}
