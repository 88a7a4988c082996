# Who is told. The topics of requests and notices are the control plane's; alarms have one of their own, so that
# it works when the control plane does not.

resource "aws_sns_topic" "alarms" {
  name              = "${local.control_plane}-alarms"
  display_name      = "${local.control_plane} alarms"
  kms_master_key_id = aws_kms_key.messages.arn
  tags              = local.tags
}

data "aws_iam_policy_document" "alarm_topic" {
  statement {
    sid       = "OwnAlarms"
    actions   = ["sns:Publish"]
    resources = [aws_sns_topic.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarm_topic.json
}

# Each approver hears only what is meant for them: a link of their own.
resource "aws_sns_topic_subscription" "approver" {
  for_each = toset(var.approvers)

  topic_arn           = aws_cloudformation_stack.control_plane.outputs["ApprovalTopicArn"]
  protocol            = "email"
  endpoint            = each.value
  filter_policy_scope = "MessageAttributes"
  filter_policy       = jsonencode({ approver = [each.value] })
}

resource "aws_sns_topic_subscription" "notices" {
  for_each = toset(var.watchers)

  topic_arn = aws_cloudformation_stack.control_plane.outputs["NoticeTopicArn"]
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = toset(var.watchers)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}
