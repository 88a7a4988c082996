# The root module's variables describe and check each of these at length.

variable "environment" {
  description = "staging or production."
  type        = string
}

variable "function_name" {
  description = "The application's function. Empty: lambda-function-{environment}."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z][A-Za-z0-9-]{0,35}$", var.function_name))
    error_message = "At most 36 letters, digits and hyphens, a letter first: it names a stack, and begins roles' names."
  }
}

variable "control_plane_name" {
  description = "What the names of this pipeline's control plane begin with; each control plane of an account needs one of its own. Empty: the template's own, signalbox."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[a-z][a-z0-9-]{0,14}$", var.control_plane_name))
    error_message = "At most 15 lower-case letters, digits and hyphens."
  }
}

variable "source_bucket_name" {
  description = "The bucket of uploaded packages. Empty: lambda-artifacts-{environment}-{account}."
  type        = string
  default     = ""
}

variable "branch" {
  description = "The branch whose packages are deployed."
  type        = string
}

variable "approval" {
  description = "Whether a release is prepared, approved and then executed (production), or deployed at once (staging)."
  type        = bool
}

variable "timeout_in_minutes" {
  description = "How long an approval waits."
  type        = number
  default     = 10080
}

variable "compute_type" {
  description = "The size of the machines that build and test."
  type        = string
  default     = "BUILD_GENERAL1_SMALL"
}

variable "build_image" {
  description = "What builds and tests run in."
  type        = string
  default     = "aws/codebuild/standard:7.0"
}

variable "deployment_config" {
  description = "A CodeDeploy configuration's name, or a key of custom_deployment_configs."
  type        = string
}

variable "custom_deployment_configs" {
  description = "Deployment configurations to make."
  type = map(object({
    type       = string
    percentage = number
    interval   = number
  }))
  default = {}
}

variable "runtime" {
  description = "The runtime of the application's function."
  type        = string
  default     = "nodejs24.x"
}

variable "approvers" {
  description = "E-mail addresses of those who may approve."
  type        = list(string)
  default     = []
}

variable "approval_policy" {
  description = "The approval policy as JSON. Empty: made of approvers."
  type        = string
  default     = ""
}

variable "watchers" {
  description = "E-mail addresses of those who are told."
  type        = list(string)
  default     = []
}

variable "create_vpc" {
  description = "Makes a VPC for the application's function."
  type        = bool
  default     = false
}

variable "vpc_cidr" {
  description = "The addresses of that VPC."
  type        = string
  default     = "10.42.0.0/20"
}

variable "vpc_zones" {
  description = "The letters of the availability zones that it spans; which there are differs between accounts."
  type        = list(string)
  default     = ["a", "b"]
}

variable "vpc_subnet_ids" {
  description = "Existing subnets for the application's function."
  type        = list(string)
  default     = []
}

variable "vpc_security_group_ids" {
  description = "Existing security groups for the application's function."
  type        = list(string)
  default     = []
}

variable "code_signing" {
  description = "Signs the application's code, and refuses unsigned code."
  type        = bool
  default     = false
}

variable "control_plane_template" {
  description = "The control plane's template, template.yaml."
  type        = string
}

variable "functions_directory" {
  description = "Where {function}/bootstrap.zip is, for each function that the template names."
  type        = string
}

variable "control_plane_parameters" {
  description = "Further parameters of the template."
  type        = map(string)
  default     = {}
}

variable "architecture" {
  description = "What the control plane's functions were built for."
  type        = string
  default     = "x86_64"
}

variable "log_retention_days" {
  description = "How long logs are kept (days)."
  type        = number
  default     = 30
}

variable "force_destroy" {
  description = "Whether buckets that hold something may be deleted."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
