# One environment of one application. A second pipeline is one more call of this module, with another
# function_name.

locals {
  # What the two environments differ in, and all they differ in.
  environments = {
    staging = {
      branch            = "develop"
      deployment_config = "CodeDeployDefault.LambdaAllAtOnce"
      approval          = false
      force_destroy     = true
    }
    production = {
      branch            = "main"
      deployment_config = "CodeDeployDefault.LambdaCanary10Percent5Minutes"
      approval          = true
      force_destroy     = false
    }
  }
  environment = local.environments[var.environment]
}

module "pipeline" {
  source = "./modules/pipeline"

  environment        = var.environment
  function_name      = var.function_name
  source_bucket_name = var.source_bucket_name
  branch             = coalesce(var.branch, local.environment.branch)

  # Manual approval timeout (production only)
  approval           = local.environment.approval
  timeout_in_minutes = var.timeout_in_minutes

  # Build compute type
  compute_type = var.compute_type

  # Deployment configuration
  deployment_config         = coalesce(var.deployment_config, local.environment.deployment_config)
  custom_deployment_configs = var.custom_deployment_configs
  runtime                   = var.runtime

  approvers       = var.approvers
  approval_policy = var.approval_policy
  watchers        = var.watchers

  create_vpc             = var.create_vpc
  vpc_cidr               = var.vpc_cidr
  vpc_zones              = var.vpc_zones
  vpc_subnet_ids         = var.vpc_subnet_ids
  vpc_security_group_ids = var.vpc_security_group_ids
  code_signing           = var.code_signing

  control_plane_template   = "${path.root}/../template.yaml"
  functions_directory      = coalesce(var.functions_directory, "${path.root}/../target/lambda")
  control_plane_parameters = var.control_plane_parameters
  architecture             = var.architecture

  log_retention_days = var.log_retention_days
  force_destroy      = coalesce(var.force_destroy, local.environment.force_destroy)
  tags               = var.tags
}

# A state holds one environment: to apply the other one to it would replace the first.
resource "terraform_data" "one_environment_per_state" {
  input = var.environment

  lifecycle {
    precondition {
      condition     = contains(["default", var.environment], terraform.workspace)
      error_message = "The workspace ${terraform.workspace} is not ${var.environment}'s: run `terraform workspace select -or-create ${var.environment}`."
    }
  }
}
