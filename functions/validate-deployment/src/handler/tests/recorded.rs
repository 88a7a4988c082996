//! What the ledger keeps of a report, and when.

use super::*;

/// AWS, which looks into the ledger whenever it is told a verdict.
#[derive(Debug, Clone)]
struct Looking {
    aws: Aws,
    ledger: Ledger,
    found: Arc<Mutex<Vec<Option<Value>>>>,
    name: String,
}

impl HttpConnector for Looking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let tells = target.contains(".Put") && !target.ends_with("PutMetricData");
        let this = self.clone();
        let answer = self.aws.call(request);
        HttpConnectorFuture::new(async move {
            if tells {
                let kept = kept(&this.ledger, &this.name).await;
                this.found.lock().unwrap().push(kept);
            }
            answer.await
        })
    }
}

async fn kept(ledger: &Ledger, name: &str) -> Option<Value> {
    ledger
        .get_value("validation", name, Timestamp::now())
        .await
        .unwrap()
}

const HOOKS: &str = "d-1/BeforeAllowTraffic";
const JOBS: &str = "11111111-abcd-1111-abcd-111111abcdef/Job";

/// A try that comes to this verdict, and AWS's answer to it.
async fn tried(ledger: &Ledger, request: &str, found: Verdict, refuses: Option<&'static str>) {
    let (app, _) = app(refuses);
    let app = App {
        ledger: ledger.clone(),
        ..app
    };
    let invocation = Invocation {
        request_id: request.to_owned(),
        ..invocation()
    };
    let _ = conclude(&app, &hook(), verdict(found), &Notes::default(), &invocation).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_is_kept_before_anybody_is_told_of_it() {
    for (asked, name) in [(hook(), HOOKS), (job(), JOBS)] {
        let ledger = Ledger::memory();
        let looking = Looking {
            aws: Aws {
                calls: Calls::default(),
                refuses: None,
            },
            ledger: ledger.clone(),
            found: Arc::default(),
            name: name.to_owned(),
        };
        let app = App {
            ledger: ledger.clone(),
            ..app_over(looking.clone(), Hook::BeforeAllowTraffic)
        };
        conclude(
            &app,
            &asked,
            verdict(Verdict::Passed),
            &Notes::default(),
            &invocation(),
        )
        .await
        .unwrap();
        let found = looking.found.lock().unwrap().remove(0).unwrap();
        let of = |found: &Value| (found["report"]["verdict"].clone(), found["told"].clone());
        assert_eq!(of(&found), (json!("passed"), Value::Null), "{name}");
        let afterwards = kept(&ledger, name).await.unwrap();
        assert_eq!(of(&afterwards), (json!("passed"), json!("accepted")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_report_that_aws_took_is_the_one_that_is_kept() {
    const LATE: Option<&str> = Some("LifecycleEventAlreadyCompletedException");
    const LOST: Option<&str> = Some("ThrottlingException");
    let (passed, failed) = (Verdict::Passed, Verdict::Failed);
    for (first, second, told) in [
        // The first one's answer was lost on its way, and it was taken.
        ((passed, LOST), (failed, LATE), Value::Null),
        // The first one was not taken.
        ((failed, LOST), (passed, None), json!("accepted")),
        ((passed, None), (failed, LATE), json!("accepted")),
    ] {
        let ledger = Ledger::memory();
        tried(&ledger, "one", first.0, first.1).await;
        tried(&ledger, "other", second.0, second.1).await;
        let kept = kept(&ledger, HOOKS).await.unwrap();
        assert_eq!(kept["report"]["verdict"], "passed", "{first:?} {second:?}");
        assert_eq!(kept["told"], told, "{first:?} {second:?}");
    }
    // Nobody knows of an earlier one: the deployment was over.
    let ledger = Ledger::memory();
    tried(&ledger, "one", failed, LATE).await;
    assert_eq!(kept(&ledger, HOOKS).await.unwrap()["told"], "too-late");
}

#[tokio::test(start_paused = true)]
async fn the_action_of_a_job_names_the_report_on_it() {
    for (found, details) in [
        (Verdict::Passed, "executionDetails"),
        (Verdict::Failed, "failureDetails"),
    ] {
        let (app, calls) = app(None);
        conclude(&app, &job(), verdict(found), &Notes::default(), &invocation())
            .await
            .unwrap();
        let id = reports(&calls)[0].1[details]["externalExecutionId"].clone();
        let name = format!("{}/Job", id.as_str().unwrap_or_default());
        assert!(kept(&app.ledger, &name).await.is_some(), "{id}");
    }
}
