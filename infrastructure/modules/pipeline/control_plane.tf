# The control plane is defined once, in template.yaml. What stands here uploads its functions, and applies it.

locals {
  control_plane = "${coalesce(var.control_plane_name, "signalbox")}-${var.environment}"
  template      = file(var.control_plane_template)

  # The template names each function's code as it lies in a checkout; no list of them stands anywhere else.
  functions = toset([for match in regexall("CodeUri: target/lambda/([a-z0-9-]+)/bootstrap.zip", local.template) : match[0]])

  zips    = { for function in local.functions : function => "${var.functions_directory}/${function}/bootstrap.zip" }
  digests = { for function, zip in local.zips : function => try(filesha256(zip), "") }
  codes   = { for function, digest in local.digests : function => "signalbox/functions/${function}/${digest}.zip" }

  # Each line `CodeUri: target/lambda/{function}/bootstrap.zip` becomes the code's place in S3.
  deployed_template = join("\n", [
    for line in split("\n", local.template) : try(
      format(
        "%sCodeUri: s3://%s/%s", regex("^( *)CodeUri:", line)[0], local.artifact_bucket,
        local.codes[regex("CodeUri: target/lambda/([a-z0-9-]+)/bootstrap.zip", line)[0]],
      ),
      line,
    )
  ])
  deployed_template_key = "signalbox/templates/${sha256(local.deployed_template)}.yaml"

  everybody_may_approve = length(var.approvers) == 0 ? "" : jsonencode({
    version   = 1
    approvers = [for approver in var.approvers : { email = approver }]
    quorum    = 1
  })
  approval_policy = var.approval_policy == "" ? local.everybody_may_approve : var.approval_policy
}

# Under their digests: new code has a new place, which is what makes the stack take it.
resource "aws_s3_object" "function" {
  for_each = local.codes

  bucket = aws_s3_bucket.this["artifacts"].id
  key    = each.value
  source = local.zips[each.key]
  tags   = local.tags

  lifecycle {
    # The stack may have to go back to the old one.
    create_before_destroy = true

    precondition {
      condition     = local.digests[each.key] != ""
      error_message = "${local.zips[each.key]} is not there: run `cargo package-functions` first, at the project's root."
    }
  }

  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

# By its address: a template of more than 51,200 bytes cannot be given otherwise.
resource "aws_s3_object" "template" {
  bucket       = aws_s3_bucket.this["artifacts"].id
  key          = local.deployed_template_key
  content      = local.deployed_template
  content_type = "application/yaml"
  tags         = local.tags

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

resource "aws_cloudformation_stack" "control_plane" {
  # checkov:skip=CKV_AWS_124: Terraform waits for the stack, and says why it failed
  name         = local.control_plane
  template_url = "https://${aws_s3_bucket.this["artifacts"].bucket_regional_domain_name}/${aws_s3_object.template.key}"
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
  tags         = local.tags

  parameters = merge(
    {
      Environment             = var.environment
      Branch                  = var.branch
      ReleaseStageName        = var.approval ? "Release" : "Deploy"
      PipelineName            = local.pipeline
      SourceBucketName        = aws_s3_bucket.this["source"].id
      SourcePrefix            = local.source_prefix
      BuildProjectName        = local.build_project
      ApplicationFunctionName = local.function
      ApplicationStackName    = local.stack
      ApplicationAliasName    = local.alias
      ApprovalPolicy          = local.approval_policy
      ApprovalTimeoutMinutes  = tostring(var.timeout_in_minutes)
      SourceKeyArn            = aws_kms_key.artifacts.arn
      TopicKeyArn             = aws_kms_key.messages.arn
      LogRetentionDays        = tostring(var.log_retention_days)
      Architecture            = var.architecture
    },
    var.function_name == "" ? {} : {
      CodeDeployApplicationName = local.function
      DeploymentGroupName       = "${local.function}-${local.alias}"
      AlarmNamePrefix           = "${local.function}-"
    },
    var.control_plane_name == "" ? {} : { ControlPlaneName = var.control_plane_name },
    var.control_plane_parameters,
  )

  depends_on = [aws_s3_object.function]
}
