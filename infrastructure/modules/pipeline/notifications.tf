# Who is told. The topics are the control plane's; its alerts come from CloudWatch itself, so that they work when
# its functions do not.
#
# Named, and not read from the stack's outputs: those are unknown while the stack is being changed, and a subscription
# whose topic is unknown is made anew. Everybody would have to confirm again after each upgrade, and hear nothing before.

# Each approver hears only what is meant for them: a link of their own.
resource "aws_sns_topic_subscription" "approver" {
  for_each = toset(var.approvers)

  topic_arn           = "${local.arn.topics}-approvals"
  protocol            = "email"
  endpoint            = each.value
  filter_policy_scope = "MessageAttributes"
  filter_policy       = jsonencode({ approver = [each.value] })

  depends_on = [aws_cloudformation_stack.control_plane]
}

resource "aws_sns_topic_subscription" "notices" {
  for_each = toset(var.watchers)

  topic_arn = "${local.arn.topics}-notices"
  protocol  = "email"
  endpoint  = each.value

  depends_on = [aws_cloudformation_stack.control_plane]
}

resource "aws_sns_topic_subscription" "alerts" {
  for_each = toset(var.watchers)

  topic_arn = "${local.arn.topics}-alerts"
  protocol  = "email"
  endpoint  = each.value

  depends_on = [aws_cloudformation_stack.control_plane]
}
