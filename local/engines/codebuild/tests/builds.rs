//! Builds that really run, from `StartBuild` to the events.
#![expect(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use signalbox_local_codebuild::{CodeBuildEngine, Options};
use signalbox_local_core::testing::{Recorded, TestCloud};
use signalbox_local_core::{AwsError, Caller, Cloud, Engine};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

struct World {
    dir: TempDir,
    cloud: Arc<TestCloud>,
    engine: Arc<CodeBuildEngine>,
}

fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn answer(call: &Recorded) -> Result<Value, AwsError> {
    match call.operation.as_str() {
        "GetParameter" if call.input["Name"] == "/app/token" => {
            Ok(json!({"Parameter": {"Value": "parameter-value"}}))
        }
        "GetParameter" => Err(AwsError::new("ParameterNotFound", "")),
        "GetSecretValue" => Ok(json!({"SecretString": "{\"password\":\"marker-secret\"}"})),
        _ => Ok(json!({})),
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cloud = TestCloud::answering(&dir.path().join("work"), answer);
        let engine = CodeBuildEngine::new(
            cloud.clone(),
            Options {
                tools: Vec::new(),
                cache_dir: dir.path().join("cache"),
                log_dir: dir.path().join("logs"),
                env: vec![("SIGNALBOX_LOCAL".to_owned(), "true".to_owned())],
            },
        );
        Self { dir, cloud, engine }
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, AwsError> {
        self.engine.call(&Caller::Admin, operation, input).await
    }

    /// A project `p` without a source that runs `buildspec`.
    async fn project(&self, buildspec: &str, more: Value) {
        let mut input = json!({
            "name": "p",
            "source": {"type": "NO_SOURCE", "buildspec": buildspec},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/amazonlinux2023-x86_64-standard:5.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            "serviceRole": "arn:aws:iam::123456789012:role/build",
        });
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        self.call("CreateProject", input).await.unwrap();
    }

    async fn start(&self, more: Value) -> String {
        let mut input = json!({"projectName": "p"});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        let output = self.call("StartBuild", input).await.unwrap();
        output["build"]["id"].as_str().unwrap().to_owned()
    }

    /// Starts a build and waits for its end.
    async fn build(&self, more: Value) -> Value {
        let id = self.start(more).await;
        self.engine.completed(&id).await.unwrap()
    }

    fn log(&self, build: &Value) -> String {
        let id = build["id"].as_str().unwrap().replace(':', "-");
        fs::read_to_string(self.dir.path().join("logs").join(format!("{id}.log"))).unwrap()
    }

    async fn object(&self, key: &str) -> Vec<u8> {
        self.cloud.get_object("artifacts", key, None).await.unwrap().bytes
    }
}

fn phases(build: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let phases = build["phases"].as_array().unwrap().iter();
    phases
        .map(|phase| (text(&phase["phaseType"]), text(&phase["phaseStatus"])))
        .collect()
}

fn status_of<'a>(build: &'a Value, phase: &str) -> Option<&'a Value> {
    build["phases"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["phaseType"] == phase)
        .map(|p| &p["phaseStatus"])
}

fn context_of(build: &Value, phase: &str) -> String {
    let phases = build["phases"].as_array().unwrap();
    let phase = phases.iter().find(|p| p["phaseType"] == phase).unwrap();
    let context = &phase["contexts"][0];
    format!(
        "{} {}",
        context["statusCode"].as_str().unwrap(),
        context["message"].as_str().unwrap()
    )
}

fn entries(zip: &[u8]) -> Vec<(String, String)> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.name().unwrap().into_owned(), text)
        })
        .collect()
}

#[tokio::test]
async fn phases_run_in_order_in_one_shell_and_events_tell_of_them() {
    let world = World::new();
    let spec = "version: 0.2\nenv:\n  variables: {A: from-spec, B: from-spec}\n  exported-variables: [OUT]\n\
                phases:\n  install: {commands: ['X=unexported; cd /usr']}\n  pre_build: {commands: ['echo $X $PWD']}\n  \
                build: {commands: ['echo A=$A B=$B local=$SIGNALBOX_LOCAL', 'export OUT=value-$CODEBUILD_BUILD_NUMBER']}\n  \
                post_build: {commands: ['echo succeeding=$CODEBUILD_BUILD_SUCCEEDING key=$AWS_SECRET_ACCESS_KEY end']}\n";
    world.project(spec, json!({})).await;
    let build = world
        .build(json!({"environmentVariablesOverride": [{"name": "B", "value": "overridden"}]}))
        .await;

    assert_eq!(build["buildStatus"], "SUCCEEDED", "{}", world.log(&build));
    let names: Vec<String> = phases(&build).into_iter().map(|(name, _)| name).collect();
    let all = "SUBMITTED QUEUED PROVISIONING DOWNLOAD_SOURCE INSTALL PRE_BUILD BUILD POST_BUILD \
               UPLOAD_ARTIFACTS FINALIZING COMPLETED";
    assert_eq!(names.join(" "), all);
    assert_eq!(
        build["exportedEnvironmentVariables"],
        json!([{"name": "OUT", "value": "value-1"}])
    );
    let log = world.log(&build);
    for line in [
        "unexported /usr",
        "A=from-spec B=overridden local=true",
        "succeeding=1 key=*** end",
    ] {
        assert!(log.contains(&format!("{line}\n")), "{line} is not in:\n{log}");
    }

    let events = world.cloud.events();
    let kinds: Vec<String> = events
        .iter()
        .map(|event| {
            let detail = &event.detail;
            let what = detail
                .get("build-status")
                .or(detail.get("completed-phase"))
                .unwrap();
            what.as_str().unwrap().to_owned()
        })
        .collect();
    let expected = format!("IN_PROGRESS {} SUCCEEDED", all.trim_end_matches(" COMPLETED"));
    assert_eq!(kinds.join(" "), expected);
    let last = &events.last().unwrap().detail;
    assert_eq!(last["current-phase"], "COMPLETED");
    assert_eq!(last["additional-information"]["build-complete"], true);
    assert_eq!(last["additional-information"]["build-number"], json!(1.0));
    assert_eq!(
        last["additional-information"]["logs"]["group-name"],
        "/aws/codebuild/p"
    );
    assert!(
        !world
            .dir
            .path()
            .join("work/codebuild")
            .join(&build["id"].as_str().unwrap()[2..])
            .exists()
    );
}

#[tokio::test]
async fn only_what_the_shell_has_exported_is_exported() {
    for shell in ["bash", "sh"] {
        let world = World::new();
        let spec = format!(
            "version: 0.2\nenv:\n  shell: {shell}\n  variables: {{GIVEN: from-spec}}\n  \
             exported-variables: [PLAIN, OUT, LATER, UNSET, GIVEN, TEXT, TAKEN_BACK]\nphases:\n  \
             install: {{commands: ['PLAIN=x OTHER=\"x PLAIN=\"; export OUT=1 TAKEN_BACK=1', 'LATER=2; export -n TAKEN_BACK']}}\n  \
             build: {{commands: ['test $PLAIN = x; export LATER', 'export TEXT=\"it is \\\"$LATER\\\"\"; exit 0']}}\n"
        );
        world.project(&spec, json!({})).await;
        let build = world.build(json!({})).await;
        let log = world.log(&build);
        assert_eq!(build["buildStatus"], "SUCCEEDED", "{log}");
        let expected = json!([
            {"name": "OUT", "value": "1"},
            {"name": "LATER", "value": "2"},
            {"name": "GIVEN", "value": "from-spec"},
            {"name": "TEXT", "value": "it is \"2\""},
        ]);
        assert_eq!(build["exportedEnvironmentVariables"], expected, "{shell}: {log}");
        assert!(
            log.contains("Exported variable PLAIN is not in the environment: left out"),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_failing_build_phase_still_runs_post_build_and_keeps_artifacts_and_reports() {
    let world = World::new();
    let spec = "version: 0.2\nphases:\n  build:\n    commands: ['mkdir r', 'printf \"<testsuite name=\\\"s\\\"><testcase name=\\\"t\\\"><failure message=\\\"no\\\"/></testcase></testsuite>\" > r/unit.xml', 'exit 3', 'echo never']\n    \
                finally: ['echo finally $CODEBUILD_BUILD_SUCCEEDING']\n  post_build: {commands: ['echo post $CODEBUILD_BUILD_SUCCEEDING']}\n\
                artifacts: {files: ['r/**/*']}\nreports: {unit: {files: ['*.xml'], base-directory: r}}\n";
    world
        .project(spec, json!({"artifacts": {"type": "S3", "location": "artifacts", "name": "out.zip", "packaging": "ZIP"}}))
        .await;
    let build = world.build(json!({})).await;
    assert_eq!(build["buildStatus"], "FAILED");
    assert_eq!(
        context_of(&build, "BUILD"),
        "COMMAND_EXECUTION_ERROR Error while executing command: exit 3. Reason: exit status 3"
    );
    assert_eq!(status_of(&build, "POST_BUILD"), Some(&json!("SUCCEEDED")));
    let log = world.log(&build);
    assert!(
        log.contains("finally 0\n") && log.contains("post 0\n") && !log.contains("\nnever\n"),
        "{log}"
    );
    assert_eq!(entries(&world.object("out.zip").await)[0].0, "r/unit.xml");

    let arn = build["reportArns"][0].as_str().unwrap();
    let report = world
        .call("BatchGetReports", json!({"reportArns": [arn]}))
        .await
        .unwrap();
    assert_eq!(report["reports"][0]["status"], "FAILED");
    assert_eq!(report["reports"][0]["testSummary"]["statusCounts"]["FAILED"], 1);
    let cases = world
        .call("DescribeTestCases", json!({"reportArn": arn}))
        .await
        .unwrap();
    assert_eq!(cases["testCases"][0]["message"], "no");
    let group = report["reports"][0]["reportGroupArn"].as_str().unwrap();
    assert!(group.ends_with("report-group/p-unit"));
    let listed = world
        .call("ListReportsForReportGroup", json!({"reportGroupArn": group}))
        .await
        .unwrap();
    assert_eq!(listed["reports"], json!([arn]));
}

#[tokio::test]
async fn failures_end_the_build_where_aws_ends_it() {
    for (spec, last) in [
        (
            "install: {commands: ['false']}, build: {commands: ['echo ran']}",
            "INSTALL",
        ),
        (
            "pre_build: {commands: ['false']}, build: {commands: ['echo ran']}",
            "PRE_BUILD",
        ),
        (
            "build: {on-failure: ABORT, commands: ['false']}, post_build: {commands: ['echo ran']}",
            "BUILD",
        ),
        ("build: {finally: ['false']}", "UPLOAD_ARTIFACTS"),
        (
            "pre_build: {on-failure: CONTINUE, commands: ['false']}",
            "UPLOAD_ARTIFACTS",
        ),
    ] {
        let world = World::new();
        world
            .project(&format!("version: 0.2\nphases: {{{spec}}}"), json!({}))
            .await;
        let build = world.build(json!({})).await;
        assert_eq!(build["buildStatus"], "FAILED", "{spec}");
        let phases = phases(&build);
        assert_eq!(phases[phases.len() - 3].0, last, "{spec}");
        assert!(!world.log(&build).contains("\nran\n"), "{spec}");
    }
}

#[tokio::test]
async fn a_source_from_s3_gives_an_artifact_in_s3_and_the_pipeline_is_the_initiator() {
    let world = World::new();
    let spec = "version: 0.2\nphases: {build: {commands: ['test \"$PWD\" = \"$CODEBUILD_SRC_DIR\"', 'cat data/in.txt $CODEBUILD_SRC_DIR_Extra/e.txt > out.txt']}}\n\
                artifacts: {files: [out.txt, 'data/*'], exclude-paths: ['data/no*']}\n";
    world
        .project(
            spec,
            json!({"source": {"type": "CODEPIPELINE"}, "artifacts": {"type": "CODEPIPELINE"}}),
        )
        .await;
    let source = zip_of(&[
        ("buildspec.yml", spec),
        ("data/in.txt", "one"),
        ("data/no.txt", "x"),
    ]);
    world.cloud.put_object("b", "in.zip", source).await.unwrap();
    world
        .cloud
        .put_object("b", "in.zip", b"a newer version".to_vec())
        .await
        .unwrap();
    world
        .cloud
        .put_object("b", "extra.zip", zip_of(&[("e.txt", "two")]))
        .await
        .unwrap();
    let input = json!({
        "projectName": "p",
        "sourceLocationOverride": "b/in.zip",
        "sourceVersion": "v1",
        "secondarySourcesOverride": [{"type": "S3", "location": "b/extra.zip", "sourceIdentifier": "Extra"}],
        "artifactsOverride": {"type": "S3", "packaging": "ZIP", "location": "artifacts", "path": "pipe/Out", "name": "x1"},
    });
    let refused = world.call("StartBuild", input.clone()).await.unwrap_err();
    assert_eq!(refused.code, "InvalidInputException");
    let pipeline = Caller::service_for(
        "codepipeline.amazonaws.com",
        "arn:aws:codepipeline:us-east-1:1:pipe",
    );
    let started = world.engine.call(&pipeline, "StartBuild", input).await.unwrap();
    assert_eq!(started["build"]["initiator"], "codepipeline/pipe");
    let build = world
        .engine
        .completed(started["build"]["arn"].as_str().unwrap())
        .await
        .unwrap();
    assert_eq!(build["buildStatus"], "SUCCEEDED", "{}", world.log(&build));
    assert_eq!(build["resolvedSourceVersion"], "v1");
    assert_eq!(
        build["artifacts"]["location"],
        "arn:aws:s3:::artifacts/pipe/Out/x1"
    );
    let files = entries(&world.object("pipe/Out/x1").await);
    assert_eq!(
        files,
        [
            ("data/in.txt".into(), "one".into()),
            ("out.txt".into(), "onetwo".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_source_that_leads_out_is_refused_before_any_command_runs() {
    let world = World::new();
    let s3 = json!({"source": {"type": "S3", "location": "b/in.zip"}});
    world.project("", s3).await;
    for (source, wanted) in [
        (
            zip_of(&[("buildspec.yml", "version: 0.2"), ("../evil", "x")]),
            "leads out",
        ),
        (b"no zip".to_vec(), "not a readable zip"),
        (
            zip_of(&[("other.txt", "")]),
            "YAML_FILE_ERROR YAML file does not exist: buildspec.yml",
        ),
        (
            zip_of(&[("buildspec.yml", "version: 0.2\nphases: [")]),
            "YAML_FILE_ERROR",
        ),
    ] {
        world.cloud.put_object("b", "in.zip", source).await.unwrap();
        let build = world.build(json!({})).await;
        assert_eq!(build["buildStatus"], "FAILED");
        let context = context_of(&build, "DOWNLOAD_SOURCE");
        assert!(context.contains(wanted), "{context}");
        assert_eq!(status_of(&build, "INSTALL"), None);
    }
    let build = world.build(json!({"sourceLocationOverride": "b/none.zip"})).await;
    assert_eq!(build["buildStatus"], "FAILED");
}

#[tokio::test]
async fn secrets_are_fetched_with_the_service_role_and_masked() {
    let world = World::new();
    let spec = "version: 0.2\nenv:\n  parameter-store: {TOKEN: /app/token}\n  secrets-manager: {PASSWORD: 'db:password'}\n  exported-variables: [PASSWORD]\n\
                phases: {build: {commands: ['test ${#TOKEN} = 15', 'test ${#PASSWORD} = 13', 'echo \"$PASSWORD-$TOKEN\"', 'curl --fail \"x://$PASSWORD\" 2>&1 || exit 9']}}\n";
    world.project(spec, json!({})).await;
    let build = world.build(json!({})).await;
    assert_eq!(build["buildStatus"], "FAILED");
    world.engine.shutdown().await;
    let log = world.log(&build);
    assert!(log.contains("***-***\n"), "{log}");
    let everything = format!("{log}{build}{:?}{:?}", world.cloud.events(), world.cloud.calls());
    for secret in ["marker-secret", "parameter-value"] {
        assert!(!everything.contains(secret), "{secret} leaked");
    }
    let sent: Vec<String> = world
        .cloud
        .calls()
        .into_iter()
        .map(|call| call.operation)
        .collect();
    assert!(sent.contains(&"PutLogEvents".to_owned()), "{sent:?}");

    let missing = json!({"buildspecOverride": "version: 0.2\nenv: {parameter-store: {X: /none}}"});
    let world = World::new();
    world.project(spec, json!({})).await;
    let build = world.build(missing).await;
    let context = context_of(&build, "DOWNLOAD_SOURCE");
    assert_eq!(
        context,
        "Decrypted Variables Error parameter does not exist: /none"
    );
}

#[tokio::test]
async fn stopping_kills_the_whole_process_group() {
    let world = World::new();
    // The command tells through a pipe that it runs; the pipe ends when its last holder has ended.
    let pipe = world.dir.path().join("alive");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let spec = format!(
        "version: 0.2\nphases: {{build: {{commands: ['(echo began; sleep 600) > {}']}}, post_build: {{commands: ['echo ran']}}}}",
        pipe.display()
    );
    world.project(&spec, json!({})).await;
    let id = world.start(json!({})).await;
    let opened = tokio::task::spawn_blocking(move || fs::File::open(pipe).unwrap());
    let mut pipe = tokio::fs::File::from_std(opened.await.unwrap());
    let mut began = [0; 6];
    tokio::io::AsyncReadExt::read_exact(&mut pipe, &mut began)
        .await
        .unwrap();
    let stopped = world.call("StopBuild", json!({"id": id})).await.unwrap();
    tokio::io::AsyncReadExt::read_to_end(&mut pipe, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!(stopped["build"]["buildStatus"], "STOPPED");
    let build = &stopped["build"];
    assert_eq!(status_of(build, "BUILD"), Some(&json!("STOPPED")));
    assert_eq!(status_of(build, "POST_BUILD"), None);
    let again = world.call("StopBuild", json!({"id": id})).await.unwrap();
    assert_eq!(again["build"]["buildStatus"], "STOPPED");
    let last = world.cloud.events().pop().unwrap();
    assert_eq!(last.detail["build-status"], "STOPPED");
}

#[tokio::test(start_paused = true)]
async fn a_build_that_takes_too_long_times_out() {
    let world = World::new();
    world
        .project(
            "version: 0.2\nphases: {build: {commands: ['sleep 600']}}",
            json!({"timeoutInMinutes": 5}),
        )
        .await;
    let build = world.build(json!({})).await;
    assert_eq!(build["buildStatus"], "TIMED_OUT");
    assert!(phases(&build).iter().any(|(_, status)| status == "TIMED_OUT"));
}

#[tokio::test]
async fn what_is_cached_is_there_for_the_next_build() {
    let world = World::new();
    let spec = "version: 0.2\nphases: {build: {commands: ['cat node_modules/x 2>/dev/null || echo cold', 'mkdir -p node_modules; echo warm > node_modules/x', \
                'echo tool >> $SIGNALBOX_TOOL_CACHE/t; wc -l < $SIGNALBOX_TOOL_CACHE/t']}}\ncache: {paths: ['node_modules/**/*']}";
    world
        .project(
            spec,
            json!({"cache": {"type": "LOCAL", "modes": ["LOCAL_CUSTOM_CACHE"]}}),
        )
        .await;
    let first = world.build(json!({})).await;
    assert!(world.log(&first).contains("\ncold\n"));
    let second = world.build(json!({})).await;
    let log = world.log(&second);
    assert!(log.contains("\nwarm\n") && log.contains("\n2\n"), "{log}");
    let uncached = world.build(json!({"cacheOverride": {"type": "NO_CACHE"}})).await;
    assert!(world.log(&uncached).contains("\ncold\n"));
}

#[tokio::test]
async fn one_token_starts_one_build_and_lists_tell_of_it() {
    let world = World::new();
    world
        .project("version: 0.2", json!({"concurrentBuildLimit": 2}))
        .await;
    let first = world.start(json!({"idempotencyToken": "t"})).await;
    assert_eq!(world.start(json!({"idempotencyToken": "t"})).await, first);
    let changed = json!({"projectName": "p", "idempotencyToken": "t", "sourceVersion": "other"});
    assert_eq!(
        world.call("StartBuild", changed).await.unwrap_err().code,
        "InvalidInputException"
    );
    world.engine.completed(&first).await.unwrap();
    let retried = world.call("RetryBuild", json!({"id": first})).await.unwrap();
    let second = retried["build"]["id"].as_str().unwrap().to_owned();
    assert_eq!(retried["build"]["buildNumber"], 2);
    world.engine.completed(&second).await.unwrap();
    let listed = world
        .call("ListBuildsForProject", json!({"projectName": "p"}))
        .await
        .unwrap();
    assert_eq!(listed["ids"], json!([second, first]));
    let deleted = world
        .call("BatchDeleteBuilds", json!({"ids": [first]}))
        .await
        .unwrap();
    assert_eq!(deleted["buildsDeleted"].as_array().unwrap().len(), 1);
    let got = world
        .call("BatchGetBuilds", json!({"ids": [first, second]}))
        .await
        .unwrap();
    assert_eq!(got["buildsNotFound"], json!([first]));
}

#[tokio::test]
async fn projects_are_created_once_changed_and_deleted() {
    let world = World::new();
    world.project("version: 0.2", json!({})).await;
    let project = world
        .call("BatchGetProjects", json!({"names": ["p", "q"]}))
        .await
        .unwrap();
    assert_eq!(project["projects"][0]["timeoutInMinutes"], 60);
    assert_eq!(
        project["projects"][0]["arn"],
        "arn:aws:codebuild:us-east-1:123456789012:project/p"
    );
    assert_eq!(project["projectsNotFound"], json!(["q"]));
    let again = project["projects"][0].clone();
    assert_eq!(
        world.call("CreateProject", again).await.unwrap_err().code,
        "ResourceAlreadyExistsException"
    );
    let updated = world
        .call("UpdateProject", json!({"name": "p", "timeoutInMinutes": 9}))
        .await
        .unwrap();
    assert_eq!(updated["project"]["timeoutInMinutes"], 9);
    let broken = json!({"name": "p", "source": {"type": "S3"}});
    assert_eq!(
        world.call("UpdateProject", broken).await.unwrap_err().code,
        "InvalidInputException"
    );
    let missing = world
        .call("StartBuild", json!({"projectName": "q"}))
        .await
        .unwrap_err();
    assert_eq!(missing.code, "ResourceNotFoundException");
    assert!(missing.message.ends_with("project/q"));
    assert_eq!(
        world.call("ListProjects", json!({})).await.unwrap()["projects"],
        json!(["p"])
    );
    world.call("DeleteProject", json!({"name": "p"})).await.unwrap();
    assert_eq!(
        world.call("ListProjects", json!({})).await.unwrap()["projects"],
        json!([])
    );
}

#[tokio::test]
async fn builds_over_the_quota_wait_in_the_queue_and_shutdown_ends_them_all() {
    let world = World::new();
    world
        .project(
            "version: 0.2\nphases: {build: {commands: ['sleep 600']}}",
            json!({}),
        )
        .await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(world.start(json!({})).await);
    }
    world.engine.shutdown().await;
    for id in ids {
        let build = world.engine.completed(&id).await.unwrap();
        assert_eq!(build["buildStatus"], "STOPPED");
    }
    assert!(
        !Path::new(&world.dir.path().join("work/codebuild"))
            .read_dir()
            .is_ok_and(|mut d| d.next().is_some())
    );
}
