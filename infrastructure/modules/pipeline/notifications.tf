# Who is told. The topics are the control plane's; its alerts come from CloudWatch itself, so that they work when
# its functions do not.

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

resource "aws_sns_topic_subscription" "alerts" {
  for_each = toset(var.watchers)

  topic_arn = aws_cloudformation_stack.control_plane.outputs["AlertTopicArn"]
  protocol  = "email"
  endpoint  = each.value
}
