//! Nothing may outlive a local cloud, not even one that was killed.
//!
//! The test starts itself a second time as the local cloud to be killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Lambda, runs};

const VICTIM: &str = "SIGNALBOX_TEST_VICTIM";

#[tokio::test]
async fn a_killed_local_cloud_takes_its_busy_processes_along() {
    if std::env::var_os(VICTIM).is_some() {
        let lambda = Lambda::new();
        let code = "exports.handler = () => { process.stderr.write(`pid=${process.pid}\\n`); for (;;) ; };";
        lambda.node_with("endless", code, json!({ "Timeout": 60 })).await;
        let log = lambda.directory.path().join("logs/endless.log");
        // A fresh line of its own: the test harness has written a part of one.
        eprintln!("\nlog={}", log.display());
        lambda.invoke("endless", json!({})).await;
        return;
    }
    if !Path::new("/usr/bin/setpriv").exists() {
        // Without util-linux nobody can ask the kernel for it: see the module `process`.
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "orphans::a_killed_local_cloud_takes_its_busy_processes_along",
            "--nocapture",
        ])
        .env(VICTIM, "1")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines();
    let log = lines
        .map(Result::unwrap)
        .find_map(|line| line.strip_prefix("log=").map(str::to_owned))
        .unwrap();
    let mut pid = None;
    for _ in 0..1000 {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        pid = text
            .split("pid=")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse::<u32>().ok());
        if pid.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = json!(pid.unwrap());
    assert!(runs(&pid));
    victim.kill().unwrap();
    victim.wait().unwrap();
    // It could not clear up after itself.
    std::fs::remove_dir_all(Path::new(&log).ancestors().nth(2).unwrap()).unwrap();
    for _ in 0..250 {
        if !runs(&pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("process {pid} outlives its local cloud");
}
