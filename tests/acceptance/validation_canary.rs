//! Canaries, with the real functions: users call the alias, both versions serve, CodeDeploy goes by the verdict.

use serde_json::{Value, json};
use signalbox_local::sample::Behaviour;

use crate::validation_site::{FUNCTION, Order, Site, finding, not_passed, policy, site};
use crate::world::{World, until};

pub(crate) async fn a_good_version_passes_and_its_numbers_are_kept_and_published(world: &World) {
    let site = site(world).await;
    let users = site.traffic();
    let ended = site.deploy(&Order::canary(Behaviour::Good)).await;
    drop(users);
    let before = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(not_passed(&before), Vec::<&str>::new(), "{before:#}");
    let after = site.report(&ended.id, "AfterAllowTraffic").await;
    assert_eq!(ended.status, "Succeeded", "{after:#}");
    assert_eq!(not_passed(&after), Vec::<&str>::new(), "{after:#}");
    let (_, evidence) = finding(&after, "canary");
    assert!(
        evidence.contains("p50") && evidence.contains("(p = "),
        "{evidence}"
    );
    assert_eq!(site.live().await, ended.version);
    until("the measurements", async || {
        let asked = json!({ "Namespace": "Signalbox", "MetricName": "CanaryNewP95" });
        let listed = site.call("cloudwatch", "ListMetrics", asked).await;
        listed.to_string().contains(FUNCTION).then_some(())
    })
    .await;
}

/// A canary that ends after traffic, whatever it does: its report.
async fn bad_canary(site: &Site<'_>, behaviour: Behaviour) -> Value {
    let was_live = site.live().await;
    let users = site.traffic();
    let ended = site.deploy(&Order::canary(behaviour)).await;
    drop(users);
    let before = site.report(&ended.id, "BeforeAllowTraffic").await;
    assert_eq!(not_passed(&before), Vec::<&str>::new(), "{before:#}");
    let after = site.report(&ended.id, "AfterAllowTraffic").await;
    assert_eq!(ended.status, "Failed", "{after:#}");
    assert_eq!(
        site.live().await,
        was_live,
        "CodeDeploy takes back what was not validated"
    );
    after
}

pub(crate) async fn a_canary_fails_on_latency_only(world: &World) {
    let site = site(world).await;
    let report = bad_canary(&site, Behaviour::SlowUnderTraffic).await;
    assert_eq!(not_passed(&report), ["canary"], "{report:#}");
    let (verdict, evidence) = finding(&report, "canary");
    assert_eq!(verdict, "failed");
    let (worse, rest) = evidence.split_once("not worse:").unwrap();
    assert!(
        worse.contains("p50 ") && rest.contains("errors 0.00 % against 0.00 %"),
        "{evidence}"
    );
}

pub(crate) async fn a_canary_fails_on_its_logs_only(world: &World) {
    let site = site(world).await;
    let report = bad_canary(&site, Behaviour::LogsErrorsUnderTraffic).await;
    assert_eq!(not_passed(&report), ["logs"], "{report:#}");
    let (_, evidence) = finding(&report, "logs");
    assert!(
        evidence.contains("ERROR") && evidence.contains("the demo's fault"),
        "{evidence}"
    );
}

pub(crate) async fn h85_no_traffic_is_inconclusive_and_passes_only_where_the_policy_says_so(world: &World) {
    let site = site(world).await;
    let mut policy = policy();
    policy["canary"]["wait_seconds"] = json!(1);
    site.set_policy(&policy.to_string()).await;
    let ended = site.deploy(&Order::canary(Behaviour::Good)).await;
    let report = site.report(&ended.id, "AfterAllowTraffic").await;
    assert_eq!(report["report"]["verdict"], "inconclusive", "{report:#}");
    let (_, evidence) = finding(&report, "canary");
    assert!(
        evidence.contains("0 invocations of the new version"),
        "{evidence}"
    );
    assert_eq!(ended.status, "Failed");

    policy["inconclusive"] = json!("pass");
    site.set_policy(&policy.to_string()).await;
    let ended = site.deploy(&Order::canary(Behaviour::Good)).await;
    let report = site.report(&ended.id, "AfterAllowTraffic").await;
    assert_eq!(report["report"]["verdict"], "inconclusive", "{report:#}");
    assert_eq!(ended.status, "Succeeded");
}

/// The application counts what it loses; of all else the versions are alike.
pub(crate) async fn a_canary_fails_on_the_applications_own_metric_only(world: &World) {
    let site = site(world).await;
    let mut policy = policy();
    policy["canary"]["custom_metrics"] = json!([{
        "namespace": "Shop", "name": "OrdersLost", "dimensions": { "Version": "{version}" },
        "kind": "count", "worse": "higher", "min_change_percent": 10,
    }]);
    site.set_policy(&policy.to_string()).await;
    for (lost_by_new, lost_by_old, status) in [(10_000, 0, "Failed"), (0, 10_000, "Succeeded")] {
        let was_live = site.live().await;
        let users = site.traffic();
        let begun = site.begin(&Order::canary(Behaviour::Good)).await;
        for (version, lost) in [(&begun.1, lost_by_new), (&was_live, lost_by_old)] {
            let data = json!({ "Namespace": "Shop", "MetricData": [{
                "MetricName": "OrdersLost", "Value": lost, "Unit": "Count",
                "Dimensions": [{ "Name": "Version", "Value": version }],
            }]});
            site.call("cloudwatch", "PutMetricData", data).await;
        }
        let ended = site.end(begun).await;
        drop(users);
        let report = site.report(&ended.id, "AfterAllowTraffic").await;
        assert_eq!(ended.status, status, "{report:#}");
        let (verdict, evidence) = finding(&report, "canary");
        if status == "Failed" {
            assert_eq!(not_passed(&report), ["canary"], "{report:#}");
            assert_eq!(verdict, "failed");
            let (worse, rest) = evidence.split_once("not worse:").unwrap();
            assert!(
                worse.contains("OrdersLost 100.00 % of invocations against 0.00 %")
                    && rest.contains("errors 0.00 % against 0.00 %"),
                "{evidence}"
            );
        } else {
            assert!(evidence.contains("OrdersLost 0.00 %"), "{evidence}");
        }
    }
}
