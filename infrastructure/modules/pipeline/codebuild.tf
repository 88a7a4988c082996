# What builds, and what tests the deployed function. templates/pipeline/ describes the same projects for the
# local cloud; a test compares the two.

locals {
  projects = {
    build = {
      name        = local.build_project
      description = "Compiles, tests, scans and packages the function"
      buildspec   = "buildspec.yml"
    }
    integration_test = {
      name        = local.test_project
      description = "Tests what is deployed"
      buildspec   = "buildspec-integration-test.yml"
    }
  }
  build_variables = merge(
    {
      ENVIRONMENT      = var.environment
      ARTIFACTS_BUCKET = aws_s3_bucket.this["artifacts"].id
      FUNCTION_NAME    = local.function
      ALIAS_NAME       = local.alias
    },
    var.code_signing ? { SIGNING_PROFILE = aws_signer_signing_profile.this[0].name } : {},
  )
}

resource "aws_cloudwatch_log_group" "build" {
  # checkov:skip=CKV_AWS_338: How long logs are kept is a variable; a year is more than builds need
  for_each = local.projects

  name              = "/aws/codebuild/${each.value.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.artifacts.arn
  tags              = local.tags
}

resource "aws_codebuild_project" "this" {
  for_each = local.projects

  name           = each.value.name
  description    = each.value.description
  service_role   = aws_iam_role.build.arn
  encryption_key = aws_kms_key.artifacts.arn
  build_timeout  = 30
  queued_timeout = 60
  tags           = local.tags

  source {
    type      = "CODEPIPELINE"
    buildspec = each.value.buildspec
  }

  artifacts {
    type = "CODEPIPELINE"
  }

  environment {
    type         = "LINUX_CONTAINER"
    image        = var.build_image
    compute_type = var.compute_type

    dynamic "environment_variable" {
      for_each = local.build_variables

      content {
        name  = environment_variable.key
        value = environment_variable.value
      }
    }
  }

  # What the buildspec's `cache` names: packages of npm and pip, Checkov.
  cache {
    type     = "S3"
    location = "${aws_s3_bucket.this["artifacts"].id}/build-cache/${replace(each.key, "_", "-")}"
  }

  logs_config {
    cloudwatch_logs {
      status     = "ENABLED"
      group_name = aws_cloudwatch_log_group.build[each.key].name
    }
  }

  depends_on = [aws_iam_role_policy.build]
}
