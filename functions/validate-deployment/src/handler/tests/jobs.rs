//! A job's events, delivered more than once.

use signalbox_ledger::{ClaimKey, ClaimOutcome};

use super::asked::{Site, WithoutPolicy};
use super::*;

const JOB: &str = "11111111-abcd-1111-abcd-111111abcdef";

fn event(watch_seconds: u32) -> Value {
    let parameters = json!({ "checks": ["invocation", "logs"], "watch_seconds": watch_seconds }).to_string();
    json!({ "CodePipeline.job": { "id": JOB, "data": {
        "actionConfiguration": { "configuration": { "UserParameters": parameters } },
    }}})
}

fn by(request_id: &str) -> Invocation {
    Invocation {
        request_id: request_id.to_owned(),
        ..invocation()
    }
}

/// How often the application was asked through its alias, and what CodePipeline was told.
fn seen(site: &Site) -> (usize, Vec<String>) {
    let told = reports(&site.calls).into_iter().map(|(name, _)| name);
    (site.through_alias().len(), told.collect())
}

fn once() -> (usize, Vec<String>) {
    (1, vec!["PutJobSuccessResult".to_owned()])
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_at_the_same_time_have_one_effect() {
    for watch_seconds in [0, 600] {
        let site = Site::default();
        let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
        let (one, other) = tokio::join!(
            handle(event(watch_seconds), &app, by("one")),
            handle(event(watch_seconds), &app, by("other")),
        );
        assert_eq!(seen(&site), once(), "{one:?} {other:?}");
        let reported = [one.unwrap().reported, other.unwrap().reported];
        assert_eq!(reported, [Told::Accepted, Told::TooLate]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_event_that_comes_again_does_not_begin_a_watch_anew() {
    let site = Site::default();
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    handle(event(600), &app, by("one")).await.unwrap();
    let state = app.ledger.get_value("validation-job", JOB, Timestamp::now());
    let state = state.await.unwrap();
    let again = handle(event(600), &app, by("other")).await.unwrap();
    assert_eq!((again.verdict, again.reported), (None, Told::TooLate));
    assert_eq!(seen(&site), once());
    let kept = app.ledger.get_value("validation-job", JOB, Timestamp::now());
    assert_eq!(kept.await.unwrap(), state);
}

/// AWS's reference does not say that a job that goes on has another id each time.
#[tokio::test(start_paused = true)]
async fn what_goes_on_under_the_same_id_is_no_second_delivery() {
    let site = Site::default();
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    handle(event(600), &app, by("one")).await.unwrap();
    let mut goes_on = event(600);
    goes_on["CodePipeline.job"]["data"]["continuationToken"] = json!(JOB);
    for request in ["two", "three"] {
        let outcome = handle(goes_on.clone(), &app, by(request)).await.unwrap();
        assert_eq!(outcome.reported, Told::Accepted, "{outcome:?}");
    }
    assert_eq!(seen(&site).0, 3);
}

/// The retry of a try that kept its state and could not tell CodePipeline, or does not know whether it could.
#[tokio::test(start_paused = true)]
async fn a_try_that_could_not_ask_to_be_called_again_is_made_good_without_asking_anew() {
    let site = Site {
        refuses_reports: true,
        ..Site::default()
    };
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    handle(event(600), &app, by("one")).await.unwrap_err();
    let site = Site {
        refuses_reports: false,
        calls: Calls::default(),
        ..site
    };
    let again = App {
        ledger: app.ledger.clone(),
        ..app_over(WithoutPolicy(site.clone()), Hook::Job)
    };
    let outcome = handle(event(600), &again, by("one")).await.unwrap();
    assert_eq!(outcome.reported, Told::Accepted);
    assert_eq!(seen(&site), once());
    assert_eq!(reports(&site.calls)[0].1["continuationToken"], JOB);
}

/// Somebody holds the job for so long, and is dead.
async fn hold(app: &App, seconds: i64) {
    let key = ClaimKey::new("validate-job", JOB);
    let claim = app.ledger.claim(
        &key,
        "dead",
        Timestamp::now(),
        SignedDuration::from_secs(seconds),
        SignedDuration::from_hours(1),
        JOB,
    );
    assert!(matches!(claim.await, Ok(ClaimOutcome::Won(_))));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_died_is_made_good_by_the_next_one() {
    let site = Site::default();
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    hold(&app, 200).await;
    let outcome = handle(event(0), &app, by("next")).await.unwrap();
    assert_eq!(
        (outcome.verdict, outcome.reported),
        (Some(Verdict::Passed), Told::Accepted)
    );
    assert_eq!(seen(&site), once());
}

#[tokio::test(start_paused = true)]
async fn a_job_that_another_holds_for_long_is_left_to_a_retry() {
    let site = Site::default();
    let app = app_over(WithoutPolicy(site.clone()), Hook::Job);
    hold(&app, 900).await;
    let error = handle(event(0), &app, by("next")).await.unwrap_err();
    assert!(matches!(error, Error::Busy(_)), "{error}");
    assert_eq!(seen(&site), (0, Vec::new()));
}
