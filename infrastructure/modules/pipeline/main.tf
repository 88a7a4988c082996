# One pipeline of one environment, with everything around it. Each file has one subject.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  function = coalesce(var.function_name, "lambda-function-${var.environment}")
  alias    = "live"
  pipeline = "${local.function}-pipeline"

  # Bucket names are unique in all of AWS: the account's number makes them so.
  bucket_names = var.function_name == "" ? {
    source    = "lambda-artifacts-${var.environment}-${local.account}"
    artifacts = "lambda-pipeline-${var.environment}-${local.account}"
    } : {
    source    = "${lower(local.function)}-source-${local.account}"
    artifacts = "${lower(local.function)}-artifacts-${local.account}"
  }
  source_bucket   = coalesce(var.source_bucket_name, local.bucket_names.source)
  artifact_bucket = local.bucket_names.artifacts
  source_prefix   = "source/"

  build_project = "${local.function}-build"
  test_project  = "${local.function}-integration-test"
  stack         = local.function

  tags = merge(var.tags, {
    "signalbox:environment" = var.environment
    "signalbox:pipeline"    = local.pipeline
  })

  # ARNs of what the pipeline makes at its first run, and of what refers to each other in a circle.
  arn = {
    pipeline     = "arn:${local.partition}:codepipeline:${local.region}:${local.account}:${local.pipeline}"
    build        = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project/${local.build_project}"
    test         = "arn:${local.partition}:codebuild:${local.region}:${local.account}:project/${local.test_project}"
    function     = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${local.function}"
    logs         = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group"
    stack        = "arn:${local.partition}:cloudformation:${local.region}:${local.account}:stack/${local.stack}"
    roles        = "arn:${local.partition}:iam::${local.account}:role/${local.stack}"
    alarms       = "arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm:${local.function}"
    dead_letters = "arn:${local.partition}:sqs:${local.region}:${local.account}:${local.function}-dead-letters"
    group        = "arn:${local.partition}:codedeploy:${local.region}:${local.account}:deploymentgroup:${local.function}"
    config       = "arn:${local.partition}:codedeploy:${local.region}:${local.account}:deploymentconfig"
    topics       = "arn:${local.partition}:sns:${local.region}:${local.account}:${local.control_plane}"
  }
}
