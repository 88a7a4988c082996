# Alarms of the pipeline, told where the control plane's own alarms are. They tell people; what rolls a deployment back are the alarms of the
# application's stack. Their names begin with the control plane's, so that roll-back does not take them for those.

locals {
  failure_metrics = {
    pipeline-failed = {
      description = "A run of ${local.pipeline} has failed."
      namespace   = "AWS/CodePipeline"
      metric      = "FailedPipelineExecutions"
      dimensions  = { PipelineName = local.pipeline }
    }
    build-failed = {
      description = "A build of ${local.build_project} has failed."
      namespace   = "AWS/CodeBuild"
      metric      = "FailedBuilds"
      dimensions  = { ProjectName = local.build_project }
    }
    integration-test-failed = {
      description = "What is deployed has failed its tests (${local.test_project})."
      namespace   = "AWS/CodeBuild"
      metric      = "FailedBuilds"
      dimensions  = { ProjectName = local.test_project }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "failure" {
  for_each = local.failure_metrics

  alarm_name          = "${local.control_plane}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_cloudformation_stack.control_plane.outputs["AlertTopicArn"]]
  tags                = local.tags
}
