# Three roles: the pipeline's, the builds', and the one that CloudFormation takes to deploy the application.
# Each may do what it does, on what it does it to.

data "aws_iam_policy_document" "trust" {
  for_each = {
    pipeline = "codepipeline.amazonaws.com"
    build    = "codebuild.amazonaws.com"
    stack    = "cloudformation.amazonaws.com"
  }

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = [each.value]
    }

    # Nobody else's pipeline or project may take it. CloudFormation does not say for whom it takes a role;
    # there, iam:PassRole guards.
    dynamic "condition" {
      for_each = each.key == "stack" ? [] : [local.account]

      content {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [condition.value]
      }
    }
  }
}

# ------------------------------------------------------------------------------------ the pipeline
resource "aws_iam_role" "pipeline" {
  name               = "${local.function}-pipeline"
  description        = "The pipeline ${local.pipeline}"
  assume_role_policy = data.aws_iam_policy_document.trust["pipeline"].json
  tags               = local.tags
}

data "aws_iam_policy_document" "pipeline" {
  # An uploaded object's tags go with it: to copy a tagged package takes the rights to read and to set them.
  statement {
    sid = "ReadPackages"
    actions = [
      "s3:GetObject",
      "s3:GetObjectTagging",
      "s3:GetObjectVersion",
      "s3:GetObjectVersionTagging",
    ]
    resources = ["${aws_s3_bucket.this["source"].arn}/${local.source_prefix}*"]
  }
  statement {
    sid       = "SeePackagesVersions"
    actions   = ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket"]
    resources = [aws_s3_bucket.this["source"].arn]
  }
  # CodePipeline keeps artifacts below the first 20 characters of the pipeline's name.
  statement {
    sid       = "HandArtifactsOver"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectTagging"]
    resources = ["${aws_s3_bucket.this["artifacts"].arn}/${substr(local.pipeline, 0, 20)}*"]
  }
  statement {
    sid       = "SeeArtifactsVersions"
    actions   = ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:ListBucket"]
    resources = [aws_s3_bucket.this["artifacts"].arn]
  }
  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.artifacts.arn]
  }
  statement {
    sid       = "Build"
    actions   = ["codebuild:StartBuild", "codebuild:BatchGetBuilds"]
    resources = [local.arn.build, local.arn.test]
  }
  statement {
    sid = "Deploy"
    actions = [
      "cloudformation:CreateChangeSet",
      "cloudformation:CreateStack",
      "cloudformation:DeleteChangeSet",
      "cloudformation:DescribeChangeSet",
      "cloudformation:DescribeStackEvents",
      "cloudformation:DescribeStackResources",
      "cloudformation:DescribeStacks",
      "cloudformation:ExecuteChangeSet",
      "cloudformation:GetTemplate",
      "cloudformation:UpdateStack",
    ]
    resources = ["${local.arn.stack}/*"]
  }
  # It has no resource type. AWS's reference of the CloudFormation action asks for it; it reads what it is given.
  statement {
    sid       = "ValidateTemplates"
    actions   = ["cloudformation:ValidateTemplate"]
    resources = ["*"]
  }
  statement {
    sid       = "LetCloudFormationDeploy"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.stack.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["cloudformation.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "pipeline" {
  name   = "pipeline"
  role   = aws_iam_role.pipeline.id
  policy = data.aws_iam_policy_document.pipeline.json
}

# -------------------------------------------------------------------------------------- the builds
resource "aws_iam_role" "build" {
  name               = "${local.function}-build"
  description        = "Builds and tests of ${local.pipeline}"
  assume_role_policy = data.aws_iam_policy_document.trust["build"].json
  tags               = local.tags
}

data "aws_iam_policy_document" "build" {
  statement {
    sid     = "WriteLogs"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = flatten([
      for group in aws_cloudwatch_log_group.build : [group.arn, "${group.arn}:*"]
    ])
  }
  # Feature branches are built straight from the source bucket, without the pipeline.
  statement {
    sid       = "ReadPackages"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${aws_s3_bucket.this["source"].arn}/${local.source_prefix}*"]
  }
  statement {
    sid     = "HandArtifactsOverAndKeepCode"
    actions = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    resources = [
      "${aws_s3_bucket.this["artifacts"].arn}/${substr(local.pipeline, 0, 20)}*",
      "${aws_s3_bucket.this["artifacts"].arn}/build-cache/*",
      "${aws_s3_bucket.this["artifacts"].arn}/functions/${local.function}/*",
    ]
  }
  statement {
    sid       = "SeeWhatIsThere"
    actions   = ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:ListBucket"]
    resources = [for bucket in aws_s3_bucket.this : bucket.arn]
  }
  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.artifacts.arn]
  }
  statement {
    sid = "ReportTests"
    actions = [
      "codebuild:BatchPutTestCases",
      "codebuild:CreateReport",
      "codebuild:CreateReportGroup",
      "codebuild:UpdateReport",
    ]
    resources = [
      for project in [local.build_project, local.test_project] :
      "arn:${local.partition}:codebuild:${local.region}:${local.account}:report-group/${project}-*"
    ]
  }
  statement {
    sid       = "TestFunction"
    actions   = ["lambda:GetAlias", "lambda:GetFunctionConfiguration", "lambda:InvokeFunction"]
    resources = [local.arn.function, "${local.arn.function}:*"]
  }
  statement {
    sid       = "ReadFunctionsLogs"
    actions   = ["logs:DescribeLogStreams", "logs:FilterLogEvents"]
    resources = ["${local.arn.logs}:/aws/lambda/${local.function}", "${local.arn.logs}:/aws/lambda/${local.function}:*"]
  }
  # checkov:skip=CKV_AWS_356: Reading metrics knows no resource
  statement {
    sid       = "ReadMetrics"
    actions   = ["cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"]
    resources = ["*"]
  }

  dynamic "statement" {
    for_each = aws_signer_signing_profile.this

    content {
      sid       = "Sign"
      actions   = ["signer:StartSigningJob", "signer:GetSigningProfile"]
      resources = [statement.value.arn]
    }
  }
  # A job's name is not known before it is started.
  dynamic "statement" {
    for_each = aws_signer_signing_profile.this

    content {
      sid       = "FollowSigning"
      actions   = ["signer:DescribeSigningJob"]
      resources = ["arn:${local.partition}:signer:${local.region}:${local.account}:/signing-jobs/*"]
    }
  }
  # Signer reads and writes as the one who starts the job.
  dynamic "statement" {
    for_each = aws_signer_signing_profile.this

    content {
      sid       = "KeepSignedCode"
      actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
      resources = ["${aws_s3_bucket.this["artifacts"].arn}/signed/${local.function}/*"]
    }
  }
}

resource "aws_iam_role_policy" "build" {
  name   = "build"
  role   = aws_iam_role.build.id
  policy = data.aws_iam_policy_document.build.json
}
