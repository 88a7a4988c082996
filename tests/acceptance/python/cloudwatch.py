"""Every operation of CloudWatch that the local cloud has."""

import datetime

from over_the_wire import ACCOUNT, REGION, SUFFIX, client, refused, refused_as, report, until

api = client("cloudwatch")
namespace = f"Conformance/{SUFFIX}"
alarm = f"conformance-{SUFFIX}"
both = f"conformance-both-{SUFFIX}"
arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{alarm}"
dimensions = [{"Name": "FunctionName", "Value": "f"}]


def now():
    return datetime.datetime.now(datetime.timezone.utc)


api.put_metric_data(
    Namespace=namespace,
    MetricData=[
        {"MetricName": "Errors", "Dimensions": dimensions, "Value": 1, "Unit": "Count", "Timestamp": now()},
        {"MetricName": "Errors", "Dimensions": dimensions, "Values": [2.0, 3.0], "Counts": [1.0, 2.0]},
        {
            "MetricName": "Duration",
            "StatisticValues": {"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20},
            "Unit": "Milliseconds",
        },
    ],
)
refused(
    api,
    "InvalidParameterCombinationException",
    "put_metric_data",
    Namespace=namespace,
    MetricData=[
        {
            "MetricName": "Errors",
            "Value": 1,
            "StatisticValues": {"SampleCount": 2, "Sum": 30, "Minimum": 10, "Maximum": 20},
        }
    ],
)
refused(
    api,
    "InvalidParameterValueException",
    "put_metric_data",
    Namespace="AWS/Conformance",
    MetricData=[{"MetricName": "Errors", "Value": 1}],
)
pages = api.get_paginator("list_metrics").paginate(Namespace=namespace)
assert {one["MetricName"] for page in pages for one in page["Metrics"]} == {"Errors", "Duration"}

window = {"StartTime": now() - datetime.timedelta(minutes=10), "EndTime": now() + datetime.timedelta(minutes=1)}
statistics = api.get_metric_statistics(
    Namespace=namespace,
    MetricName="Errors",
    Dimensions=dimensions,
    Period=60,
    Statistics=["Sum", "SampleCount", "Maximum"],
    **window,
)
assert sum(one["Sum"] for one in statistics["Datapoints"]) == 9, statistics
assert max(one["Maximum"] for one in statistics["Datapoints"]) == 3, statistics
data = api.get_metric_data(
    MetricDataQueries=[
        {
            "Id": "errors",
            "MetricStat": {
                "Metric": {"Namespace": namespace, "MetricName": "Errors", "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum",
            },
        },
        {"Id": "twice", "Expression": "errors * 2", "Label": "twice as many"},
    ],
    **window,
)
results = {one["Id"]: one for one in data["MetricDataResults"]}
assert sum(results["twice"]["Values"]) == 18 and results["twice"]["Label"] == "twice as many", results
refused_as(
    api,
    "ValidationError",
    "get_metric_data",
    MetricDataQueries=[{"Id": "broken", "Expression": "errors *"}],
    **window,
)

metric_alarm = {
    "AlarmName": alarm,
    "Namespace": namespace,
    "MetricName": "Errors",
    "Dimensions": dimensions,
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 100.0,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}
api.put_metric_alarm(**metric_alarm, AlarmDescription="too many", Tags=[{"Key": "team", "Value": "signals"}])
refused_as(api, "ValidationError", "put_metric_alarm", **{**metric_alarm, "Period": 45})
api.put_composite_alarm(AlarmName=both, AlarmRule=f'ALARM("{alarm}") AND NOT ALARM("{alarm}")')
described = api.describe_alarms(AlarmNames=[alarm, both], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
assert described["MetricAlarms"][0]["AlarmArn"] == arn, described
assert described["CompositeAlarms"][0]["AlarmRule"].startswith("ALARM("), described
found = api.describe_alarms_for_metric(Namespace=namespace, MetricName="Errors", Dimensions=dimensions)
assert [one["AlarmName"] for one in found["MetricAlarms"]] == [alarm]
api.disable_alarm_actions(AlarmNames=[alarm])
assert api.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["ActionsEnabled"] is False
api.enable_alarm_actions(AlarmNames=[alarm])
api.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="to see it ring")
refused(api, "ResourceNotFound", "set_alarm_state", AlarmName="absent", StateValue="OK", StateReason="none")
history = until(
    "the alarm's history",
    lambda: api.describe_alarm_history(AlarmName=alarm, HistoryItemType="StateUpdate")["AlarmHistoryItems"],
)
# An evaluation may have come before: "from INSUFFICIENT_DATA to OK" then precedes it.
assert any("to ALARM" in item["HistorySummary"] for item in history), history

api.tag_resource(ResourceARN=arn, Tags=[{"Key": "cost", "Value": "1"}])
api.untag_resource(ResourceARN=arn, TagKeys=["team"])
assert api.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "cost", "Value": "1"}]
refused(api, "ResourceNotFoundException", "list_tags_for_resource", ResourceARN=arn + "-absent")
api.delete_alarms(AlarmNames=[both])
api.delete_alarms(AlarmNames=[alarm])
assert not api.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
report("cloudwatch")
