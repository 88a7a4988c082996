//! The function over a cloud that it reaches by a fake transport, and events for it.

use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use signalbox_bootstrap::{Failure, Invocation};
use signalbox_ledger::Ledger;

use super::cloud::{Cloud, FIRED};
use crate::app::{App, Config};
use crate::handler::{Outcome, handle};

#[derive(Debug, Clone)]
struct Connector(Arc<Mutex<Cloud>>);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut cloud = self.0.lock().unwrap();
        cloud.calls += 1;
        let operation = request
            .headers()
            .get("x-amz-target")
            .unwrap_or(request.uri())
            .to_owned();
        let is_crash = cloud.crash.is_some_and(|(at, _)| at == cloud.calls);
        if is_crash {
            let name = operation.rsplit(['.', '/']).next().unwrap_or_default();
            let reads = ["Describe", "List", "BatchGet", "Get", "configuration"];
            cloud.crashed_at_a_change = !reads.iter().any(|read| name.starts_with(read));
        }
        if is_crash && cloud.crash.is_some_and(|(_, has_effect)| !has_effect) {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let (mut status, body) = cloud.answer(&operation, request.body().bytes().unwrap_or_default());
        if cloud.lost.is_some_and(|lost| operation.ends_with(lost)) {
            (status, cloud.lost) = (500, None);
        }
        if is_crash {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let is_missing = status == 404;
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        if is_missing {
            response
                .headers_mut()
                .insert("x-amzn-errortype", "ResourceNotFoundException");
        }
        if operation.contains("DescribeAlarms") {
            response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
            response.headers_mut().insert("content-type", "application/cbor");
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

pub(super) struct Case {
    pub(super) cloud: Arc<Mutex<Cloud>>,
    pub(super) app: App,
}

pub(super) fn case(cloud: Cloud) -> Case {
    let cloud = Arc::new(Mutex::new(cloud));
    let connector = SharedHttpConnector::new(Connector(cloud.clone()));
    let credentials = Credentials::new("a", "b", None, None, "test");
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::disabled())
        .build();
    let config = Config {
        pipeline: "pipeline".parse().unwrap(),
        release_stage: "Release".parse().unwrap(),
        application: "app".parse().unwrap(),
        group: "app-live".parse().unwrap(),
        function: "app".parse().unwrap(),
        alias: "live".to_owned(),
        own_name: "signalbox-roll-back".parse().unwrap(),
        notice_topic: "arn:aws:sns:us-east-1:123456789012:notices".to_owned(),
        bake: SignedDuration::from_mins(30),
    };
    let app = App {
        config,
        ledger: Ledger::memory(),
        alarms: aws_sdk_cloudwatch::Client::new(&sdk),
        deployments: aws_sdk_codedeploy::Client::new(&sdk),
        functions: aws_sdk_lambda::Client::new(&sdk),
        pipelines: aws_sdk_codepipeline::Client::new(&sdk),
        topics: aws_sdk_sns::Client::new(&sdk),
    };
    Case { cloud, app }
}

impl Case {
    /// Delivers the alarm so many seconds after it fired; `None` where the function crashed over it.
    pub(super) async fn deliver(&self, after: i64) -> Option<Result<Outcome, Failure>> {
        let now = Timestamp::from_second(FIRED + after).unwrap();
        let at = Timestamp::from_second(FIRED).unwrap().to_string();
        let event =
            json!({ "detail": { "alarmName": "errors", "state": { "value": "ALARM", "timestamp": at } } });
        self.invoke(event, now).await
    }

    pub(super) async fn invoke(&self, event: Value, now: Timestamp) -> Option<Result<Outcome, Failure>> {
        let invocation = Invocation {
            now,
            deadline: now + SignedDuration::from_secs(60),
            request_id: "r".to_owned(),
        };
        let limit = std::time::Duration::from_secs(60);
        let handled = tokio::time::timeout(limit, handle(event, &self.app, invocation)).await;
        handled
            .ok()
            .map(|result| result.map(|answer| answer.outcome).map_err(Failure::from))
    }
}
