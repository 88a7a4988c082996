//! Branch rules, screening, and the order of sequencers.

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::package::{Contents, Entry};

fn settings() -> Settings {
    Settings {
        pipeline: PipelineName::new("lambda-function-production-pipeline").unwrap(),
        source_action: ActionName::new("Source").unwrap(),
        build_project: "lambda-function-production-build".to_owned(),
        bucket: BucketName::new("lambda-artifacts-production").unwrap(),
        prefix: "source/".to_owned(),
        account: "111122223333".to_owned(),
        region: "eu-central-1".to_owned(),
        branch: Branch::new("main").unwrap(),
        limits: Limits::default(),
    }
}

fn upload(key: &str) -> Upload {
    Upload {
        bucket: BucketName::new("lambda-artifacts-production").unwrap(),
        key: ObjectKey::new(key).unwrap(),
        version: Some("v1".to_owned()),
        sequencer: Some(Sequencer::new("005E75DF0").unwrap()),
        etag: Some("abc".to_owned()),
        account: Some("111122223333".to_owned()),
        region: Some("eu-central-1".to_owned()),
    }
}

fn candidate(key: &str) -> Candidate {
    match screen(Arrival::Created(upload(key)), &settings()) {
        Screened::Candidate(candidate) => candidate,
        Screened::Decided(decision) => panic!("{decision:?}"),
    }
}

fn sound() -> Package {
    Package {
        size: 900,
        contents: Contents::Read(vec![Entry::file("index.mjs", 500, 1000)]),
    }
}

fn found(branch: Option<&str>) -> Facts {
    Facts {
        newest: None,
        object: Object::Found {
            etag: Some("abc".to_owned()),
            branch: branch.map(str::to_owned),
            package: sound(),
        },
    }
}

#[test]
fn sequencers_of_unequal_length_are_padded_on_the_right() {
    let order = ["0", "00A", "01", "0A", "0A01", "0B", "1", "10000001", "2"];
    for pair in order.windows(2) {
        assert!(
            Sequencer::new(pair[0]).unwrap() < Sequencer::new(pair[1]).unwrap(),
            "{pair:?}"
        );
    }
    assert_eq!(Sequencer::new("0A").unwrap(), Sequencer::new("0a000").unwrap());
    assert_eq!(Sequencer::new("000").unwrap(), Sequencer::new("0").unwrap());
    for text in ["", "0x1", "g", " 1", "1\n"] {
        assert!(Sequencer::new(text).is_err(), "{text:?}");
    }
}

#[test]
fn the_branch_comes_from_metadata_then_key_then_environment() {
    let branch =
        |metadata: Option<&str>, key: &str| match decide(&candidate(key), &found(metadata), &settings()) {
            Decision::Start { branch, .. } => format!("start {branch}"),
            Decision::Build { branch, .. } => format!("build {branch}"),
            other => panic!("{other:?}"),
        };
    assert_eq!(branch(None, "source/package.zip"), "start main");
    assert_eq!(branch(None, "source/main/package.zip"), "start main");
    assert_eq!(branch(None, "source/develop/package.zip"), "build develop");
    assert_eq!(branch(None, "source/feature-1/a/b.zip"), "build feature-1");
    assert_eq!(branch(Some("main"), "source/package.zip"), "start main");
    assert_eq!(branch(Some("main"), "source/main/package.zip"), "start main");
    assert_eq!(
        branch(Some("feature/login"), "source/feature/login/package.zip"),
        "build feature/login"
    );
    assert_eq!(
        branch(Some("feature/login"), "source/feature/login/2026/package.zip"),
        "build feature/login"
    );
    assert_eq!(branch(Some(""), "source/develop/package.zip"), "build develop");
}

#[test]
fn metadata_do_not_lead_out_of_the_folder_that_an_uploader_may_write_to() {
    for (branch, key) in [
        ("main", "source/develop/package.zip"),
        ("main", "source/feature/main/package.zip"),
        ("main", "source/mai/n.zip"),
        ("main", "source/main2/package.zip"),
        ("release/prod", "source/release/other/package.zip"),
        ("release/prod", "source/release/package.zip"),
        ("release/prod", "source/release/prod.zip"),
    ] {
        let settings = Settings {
            branch: Branch::new(branch).unwrap(),
            ..settings()
        };
        let decision = decide(&candidate(key), &found(Some(branch)), &settings);
        let Decision::Reject(refusal) = decision else {
            panic!("{key}: {decision:?}")
        };
        let [Rejection::Branch { problem }] = &refusal.reasons[..] else {
            panic!("{refusal:?}")
        };
        assert!(
            problem.contains(&format!("the metadata says {branch}")),
            "{problem}"
        );
        assert!(
            problem.contains(&format!("upload to source/{branch}/")),
            "{problem}"
        );
    }
}

#[test]
fn a_branch_that_git_would_refuse_is_rejected_with_its_reason() {
    let decision = decide(
        &candidate("source/package.zip"),
        &found(Some("main\r\nrm -rf")),
        &settings(),
    );
    let Decision::Reject(refusal) = decision else {
        panic!("{decision:?}")
    };
    assert!(matches!(&refusal.reasons[..], [Rejection::Branch { .. }]));
}

#[test]
fn what_is_foreign_is_denied() {
    let mut cases: Vec<(&str, Upload)> = Vec::new();
    let mut other = upload("source/p.zip");
    other.bucket = BucketName::new("someone-elses").unwrap();
    cases.push(("bucket", other));
    let mut other = upload("source/p.zip");
    other.account = Some("999988887777".to_owned());
    cases.push(("account", other));
    let mut other = upload("source/p.zip");
    other.region = Some("us-east-1".to_owned());
    cases.push(("region", other));
    cases.push(("key", upload("elsewhere/p.zip")));
    cases.push(("key", upload("Source/p.zip")));
    for (what, upload) in cases {
        let screened = screen(Arrival::Created(upload), &settings());
        let Screened::Decided(Decision::Deny { reason }) = screened else {
            panic!("{what}: {screened:?}")
        };
        assert!(reason.starts_with(what), "{reason}");
    }
}

#[test]
fn what_is_no_upload_is_ignored_with_a_reason() {
    for arrival in [
        Arrival::Test,
        Arrival::Deleted { marker: true },
        Arrival::Deleted { marker: false },
        Arrival::Other("ObjectRestore:Post".to_owned()),
        Arrival::Created(upload("source/folder/")),
        Arrival::Created(upload("source/")),
    ] {
        let screened = screen(arrival, &settings());
        assert!(
            matches!(screened, Screened::Decided(Decision::Ignore { .. })),
            "{screened:?}"
        );
    }
}

#[test]
fn no_version_is_refused_with_the_fix() {
    for version in [None, Some("null"), Some("")] {
        let mut upload = upload("source/p.zip");
        upload.version = version.map(str::to_owned);
        let screened = screen(Arrival::Created(upload), &settings());
        let Screened::Decided(Decision::Reject(refusal)) = screened else {
            panic!("{screened:?}")
        };
        assert_eq!(refusal.reasons, [Rejection::Unversioned]);
        assert!(refusal.reasons[0].mend().contains("put-bucket-versioning"));
    }
}

#[test]
fn an_older_upload_is_not_run() {
    let mut facts = found(None);
    facts.newest = Some(Sequencer::new("005E75DF01").unwrap());
    assert!(matches!(
        decide(&candidate("source/p.zip"), &facts, &settings()),
        Decision::Ignore { .. }
    ));
    facts.newest = Some(Sequencer::new("005e75df").unwrap());
    assert!(matches!(
        decide(&candidate("source/p.zip"), &facts, &settings()),
        Decision::Start { .. }
    ));
}

#[test]
fn a_version_that_is_not_there_starts_nothing() {
    let facts = Facts {
        newest: None,
        object: Object::Gone,
    };
    assert!(matches!(
        decide(&candidate("source/p.zip"), &facts, &settings()),
        Decision::Ignore { .. }
    ));
}

#[test]
fn an_event_that_speaks_of_other_content_is_denied() {
    let mut facts = found(None);
    if let Object::Found { etag, .. } = &mut facts.object {
        *etag = Some("another".to_owned());
    }
    assert!(matches!(
        decide(&candidate("source/p.zip"), &facts, &settings()),
        Decision::Deny { .. }
    ));
}

#[test]
fn a_bad_package_starts_neither_run_nor_build() {
    for key in ["source/p.zip", "source/feature/p.zip"] {
        let mut facts = found(None);
        if let Object::Found { package, .. } = &mut facts.object {
            package.contents = Contents::NotAZip;
        }
        assert!(matches!(
            decide(&candidate(key), &facts, &settings()),
            Decision::Reject(_)
        ));
    }
}

#[test]
fn keys_go_to_aws_as_they_are() {
    for key in [
        "source/a+b c.zip",
        "source/e\u{301}.zip",
        "source/\u{e9}.zip",
        "source/\u{1f680}%2F.zip",
    ] {
        let Decision::Start {
            key: started, token, ..
        } = decide(&candidate(key), &found(None), &settings())
        else {
            panic!("{key}")
        };
        assert_eq!(started.as_str(), key);
        assert!(token.len() == 64 && token.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let name = || prop_oneof![Just("lambda-artifacts-production".to_owned()), "[a-z]{3,9}"];
    let created = (
        name(),
        "(source/)?\\PC{1,30}",
        any::<Option<String>>(),
        any::<Option<String>>(),
        any::<Option<String>>(),
    )
        .prop_filter_map("a key", |(bucket, key, version, account, region)| {
            Some(Arrival::Created(Upload {
                bucket: BucketName::new(bucket).ok()?,
                key: ObjectKey::new(key).ok()?,
                version,
                sequencer: None,
                etag: None,
                account,
                region,
            }))
        });
    prop_oneof![
        created,
        any::<bool>().prop_map(|marker| Arrival::Deleted { marker }),
        Just(Arrival::Test),
        any::<String>().prop_map(Arrival::Other)
    ]
}

proptest! {
    #[test]
    fn sequencers_compare_as_padded_hex(a in "[0-9a-fA-F]{1,30}", b in "[0-9a-fA-F]{1,30}") {
        let pad = |s: &str| format!("{:0<40}", s.to_ascii_lowercase());
        prop_assert_eq!(
            Sequencer::new(&a).unwrap().cmp(&Sequencer::new(&b).unwrap()),
            pad(&a).cmp(&pad(&b))
        );
    }

    #[test]
    fn nothing_is_started_from_elsewhere(arrival in any_arrival()) {
        if let Screened::Candidate(candidate) = screen(arrival, &settings()) {
            prop_assert_eq!(candidate.bucket, settings().bucket);
            prop_assert!(candidate.key.as_str().starts_with("source/"));
            prop_assert!(!candidate.key.as_str().ends_with('/'));
            prop_assert!(candidate.version.as_str() != "null");
        }
    }

    #[test]
    fn two_uploads_never_share_a_token(a in "\\PC{1,20}", b in "\\PC{1,20}", v in "[a-z]{1,5}", w in "[a-z]{1,5}") {
        let settings = settings();
        let (ka, kb) = (ObjectKey::new(a.clone()).unwrap(), ObjectKey::new(b.clone()).unwrap());
        let one = token(&settings.pipeline, &settings.bucket, &ka, &v);
        let two = token(&settings.pipeline, &settings.bucket, &kb, &w);
        prop_assert_eq!(one == two, a == b && v == w);
    }
}
