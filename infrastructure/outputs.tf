output "pipeline_name" {
  description = "The pipeline."
  value       = module.pipeline.pipeline_name
}

output "pipeline_url" {
  description = "The pipeline in the console."
  value       = module.pipeline.pipeline_url
}

output "source_bucket" {
  description = "Where packages are uploaded to, below source/."
  value       = module.pipeline.source_bucket
}

output "artifact_bucket" {
  description = "What the stages hand over, and the code of every version."
  value       = module.pipeline.artifact_bucket
}

output "build_project" {
  description = "The CodeBuild project of the Build stage."
  value       = module.pipeline.build_project
}

output "integration_test_project" {
  description = "The CodeBuild project of the IntegrationTest stage."
  value       = module.pipeline.integration_test_project
}

output "application_stack" {
  description = "The stack that the pipeline deploys. It is not Terraform's: `terraform destroy` leaves it."
  value       = module.pipeline.application_stack
}

output "control_plane_stack" {
  description = "The stack of the control plane."
  value       = module.pipeline.control_plane_stack
}

output "approval_url" {
  description = "Where approval links lead."
  value       = module.pipeline.approval_url
}

output "slack_request_url" {
  description = "The request URL of a Slack app's interactivity."
  value       = module.pipeline.slack_request_url
}

output "notice_topic_arn" {
  description = "What people are told."
  value       = module.pipeline.notice_topic_arn
}

output "approval_topic_arn" {
  description = "Requests for approval, one message per approver."
  value       = module.pipeline.approval_topic_arn
}

output "alarm_topic_arn" {
  description = "Alarms of pipeline and control plane."
  value       = module.pipeline.alarm_topic_arn
}

output "upload_command" {
  description = "Starts a run with a package of your own."
  value       = module.pipeline.upload_command
}

output "kept_on_destroy" {
  description = "What `terraform destroy` leaves: the application goes on, the record stays."
  value       = module.pipeline.kept_on_destroy
}
