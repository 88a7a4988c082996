output "pipeline_name" {
  description = "The pipeline."
  value       = aws_codepipeline.this.name
}

output "pipeline_url" {
  description = "The pipeline in the console."
  value       = "https://${local.region}.console.aws.amazon.com/codesuite/codepipeline/pipelines/${local.pipeline}/view?region=${local.region}"
}

output "source_bucket" {
  description = "Where packages are uploaded to."
  value       = aws_s3_bucket.this["source"].id
}

output "artifact_bucket" {
  description = "What the stages hand over, and the code of every version."
  value       = aws_s3_bucket.this["artifacts"].id
}

output "build_project" {
  description = "The CodeBuild project of the Build stage."
  value       = aws_codebuild_project.this["build"].name
}

output "integration_test_project" {
  description = "The CodeBuild project of the IntegrationTest stage."
  value       = aws_codebuild_project.this["integration_test"].name
}

output "application_stack" {
  description = "The stack that the pipeline deploys."
  value       = local.stack
}

output "control_plane_stack" {
  description = "The stack of the control plane."
  value       = aws_cloudformation_stack.control_plane.name
}

output "approval_url" {
  description = "Where approval links lead."
  value       = aws_cloudformation_stack.control_plane.outputs["AnswerUrl"]
}

output "slack_request_url" {
  description = "The request URL of a Slack app's interactivity."
  value       = aws_cloudformation_stack.control_plane.outputs["SlackRequestUrl"]
}

output "notice_topic_arn" {
  description = "What people are told."
  value       = aws_cloudformation_stack.control_plane.outputs["NoticeTopicArn"]
}

output "approval_topic_arn" {
  description = "Requests for approval."
  value       = aws_cloudformation_stack.control_plane.outputs["ApprovalTopicArn"]
}

output "alarm_topic_arn" {
  description = "Alarms of pipeline and control plane."
  value       = aws_cloudformation_stack.control_plane.outputs["AlertTopicArn"]
}

output "upload_command" {
  description = "Starts a run with a package of your own."
  value       = "aws s3 cp package.zip s3://${aws_s3_bucket.this["source"].id}/${local.source_prefix}${var.branch}/package.zip"
}

output "kept_on_destroy" {
  description = "What `terraform destroy` leaves."
  value = {
    application_stack = local.stack
    ledger_table      = aws_cloudformation_stack.control_plane.outputs["LedgerTableName"]
  }
}
