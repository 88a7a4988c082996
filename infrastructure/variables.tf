variable "environment" {
  description = "The environment to install: staging deploys at once, production prepares, asks and shifts traffic gradually."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "The environment is staging or production."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region looks like us-east-1."
  }
}

variable "function_name" {
  description = "The application's function, and what every name begins with. Empty: lambda-function-{environment}."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[A-Za-z][A-Za-z0-9-]{0,35}$", var.function_name))
    error_message = "At most 36 letters, digits and hyphens, a letter first: it names a stack, and begins roles' names."
  }
}

variable "source_bucket_name" {
  description = "The bucket that packages are uploaded to. Empty: lambda-artifacts-{environment}-{account}; bucket names are unique in all of AWS."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^$|^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.source_bucket_name))
    error_message = "The name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens."
  }
}

variable "branch" {
  description = "The branch whose packages are deployed; those of any other are only built. Empty: main in production, develop in staging."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]{0,255}$", var.branch))
    error_message = "The name of a Git branch."
  }
}

# ------------------------------------------------------------------------------------ the pipeline
variable "timeout_in_minutes" {
  description = "How long an approval waits before it fails (production only)."
  type        = number
  default     = 10080 # 7 days

  validation {
    condition     = var.timeout_in_minutes >= 5 && var.timeout_in_minutes <= 86400
    error_message = "CodePipeline lets an approval wait for 5 to 86400 minutes (60 days)."
  }
}

variable "compute_type" {
  description = "The size of the machines that build and test."
  type        = string
  default     = "BUILD_GENERAL1_SMALL"

  validation {
    condition     = contains(["BUILD_GENERAL1_SMALL", "BUILD_GENERAL1_MEDIUM", "BUILD_GENERAL1_LARGE", "BUILD_GENERAL1_XLARGE", "BUILD_GENERAL1_2XLARGE"], var.compute_type)
    error_message = "A compute type of CodeBuild for Linux, such as BUILD_GENERAL1_SMALL."
  }
}

variable "deployment_config" {
  description = "How traffic shifts: a CodeDeploy configuration's name, or a key of custom_deployment_configs. Empty: all at once in staging, a canary of 10 % for 5 minutes in production."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{0,100}$", var.deployment_config))
    error_message = "The name of a CodeDeploy deployment configuration."
  }
}

variable "custom_deployment_configs" {
  description = "Deployment configurations to make, by name; CodeDeploy knows them as {function_name}.{name}."
  type = map(object({
    type       = string # TimeBasedCanary or TimeBasedLinear
    percentage = number # of the traffic, at first (canary) or at each step (linear)
    interval   = number # minutes
  }))
  default = {
    Lambda5PercentEvery2Minutes = { type = "TimeBasedCanary", percentage = 5, interval = 2 }
  }

  validation {
    condition = alltrue([
      for config in values(var.custom_deployment_configs) :
      contains(["TimeBasedCanary", "TimeBasedLinear"], config.type)
      && config.percentage >= 1 && config.percentage <= 99 && config.interval >= 1 && config.interval <= 2880
    ])
    error_message = "Each has the type TimeBasedCanary or TimeBasedLinear, 1 to 99 percent, and an interval of 1 to 2880 minutes."
  }
}

variable "runtime" {
  description = "The runtime of the application's function."
  type        = string
  default     = "nodejs24.x"

  validation {
    condition     = can(regex("^[a-z0-9.]+$", var.runtime))
    error_message = "A Lambda runtime, for example nodejs24.x."
  }
}

# ------------------------------------------------------------------------------------------ people
variable "approvers" {
  description = "E-mail addresses of those who may approve a release; each gets links of their own. None: approvals are answered in the console."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.approvers : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "Each approver is an e-mail address."
  }
}

variable "approval_policy" {
  description = "The approval policy as JSON, where a list of approvers does not say enough (quorum, reminders, Slack). Empty: everybody in approvers may approve, one suffices."
  type        = string
  default     = ""

  validation {
    condition     = var.approval_policy == "" || can(jsondecode(var.approval_policy).approvers)
    error_message = "A JSON object with a list of approvers."
  }
}

variable "watchers" {
  description = "E-mail addresses of those who are told what happens, and that an alarm of the control plane fires."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.watchers : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "Each watcher is an e-mail address."
  }
}

# ------------------------------------------------------------------------------- network, signing
variable "create_vpc" {
  description = "Makes a VPC of private subnets for the application's function. Without one, and without vpc_subnet_ids, it runs in none."
  type        = bool
  default     = false
}

variable "vpc_cidr" {
  description = "The addresses of the VPC that create_vpc makes."
  type        = string
  default     = "10.42.0.0/20"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr))
    error_message = "An IPv4 range in CIDR notation, for example 10.42.0.0/20."
  }
}

variable "vpc_zones" {
  description = "The letters of the availability zones that this VPC spans; which there are differs between regions and accounts."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(var.vpc_zones) >= 2 && length(var.vpc_zones) <= 6 && alltrue([for letter in var.vpc_zones : can(regex("^[a-f]$", letter))])
    error_message = "Two to six letters from a to f: one zone alone is no redundancy."
  }
}

variable "vpc_subnet_ids" {
  description = "Existing private subnets for the application's function."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.vpc_subnet_ids) == 0 || !var.create_vpc
    error_message = "Either create_vpc or vpc_subnet_ids, not both."
  }
}

variable "vpc_security_group_ids" {
  description = "Existing security groups for the application's function; needed with vpc_subnet_ids."
  type        = list(string)
  default     = []

  validation {
    condition     = (length(var.vpc_security_group_ids) > 0) == (length(var.vpc_subnet_ids) > 0)
    error_message = "Subnets and security groups are needed together."
  }
}

variable "code_signing" {
  description = "Signs the application's code with AWS Signer, and lets Lambda accept nothing else."
  type        = bool
  default     = false
}

# --------------------------------------------------------------------------------------- the rest
variable "control_plane_parameters" {
  description = "Further parameters of template.yaml, for example { BakeMinutes = 60, SlackSecretArn = \"arn:…\" }."
  type        = map(string)
  default     = {}
}

variable "architecture" {
  description = "What `cargo package-functions` built the control plane for."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "x86_64 or arm64."
  }
}

variable "functions_directory" {
  description = "Where `cargo package-functions` put the control plane's zips. Empty: target/lambda of this checkout."
  type        = string
  default     = ""
}

variable "log_retention_days" {
  description = "How long logs are kept (days)."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "One of the retentions that CloudWatch Logs knows, such as 30, 90 or 365."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete buckets that still hold packages and artifacts. Empty (null): yes in staging, no in production."
  type        = bool
  default     = null
  nullable    = true
}

variable "tags" {
  description = "Tags of everything, besides signalbox:environment and signalbox:pipeline."
  type        = map(string)
  default     = {}
}
