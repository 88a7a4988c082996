//! What SQS tells CloudWatch, as far as alarms on failed events need it: how many messages wait.
//!
//! AWS measures every minute while there is anything to measure. Here a queue is measured as a message comes
//! into it from within the cloud, which is how failed events come.

use serde_json::{Value, json};
use signalbox_local_core::{AwsError, Caller};

use super::LocalCloud;

/// Measures the queue that a message was just sent to. What goes wrong here is no fault of the sender's.
pub(super) async fn measure(cloud: &LocalCloud, input: &Value) {
    if let Err(error) = measured(cloud, input).await {
        tracing::warn!(%error, "a queue could not be measured");
    }
}

async fn measured(cloud: &LocalCloud, input: &Value) -> Result<(), AwsError> {
    let (Some(url), Some(metrics)) = (input["QueueUrl"].as_str(), cloud.engine("cloudwatch")) else {
        return Ok(());
    };
    let model = cloud.model("sqs").await?;
    let asked = json!({ "QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"] });
    let told = cloud.emulator.call(&model, "GetQueueAttributes", &asked).await?;
    let waiting = told["Attributes"]["ApproximateNumberOfMessages"]
        .as_str()
        .and_then(|count| count.parse::<f64>().ok());
    // The message that just came was there to be seen, whoever has taken it since.
    let waiting = waiting.unwrap_or_default().max(1.0);
    let queue = url.rsplit('/').next().unwrap_or_default();
    let data = json!({
        "Namespace": "AWS/SQS",
        "MetricData": [{
            "MetricName": "ApproximateNumberOfMessagesVisible", "Value": waiting, "Unit": "Count",
            "Dimensions": [{ "Name": "QueueName", "Value": queue }],
        }],
    });
    metrics
        .call(&Caller::service("sqs.amazonaws.com"), "PutMetricData", data)
        .await
        .map(drop)
}
