# What CloudFormation may do for the application's stack, templates/lambda-deployment-template.yaml: exactly its
# resources, under the names that they have there. What AWS's handlers of these resources call is granted, also where
# the template leaves a feature out and they only look; tests/acceptance/stack_role.rs compares.
#
# It may make roles, below the stack's own name, and hand them to Lambda and CodeDeploy. What is in those roles
# is decided by the template in the uploaded package: who may upload to the deployed branch may give the
# function any right. Review of the package's template is what guards that (docs/install.md).

resource "aws_iam_role" "stack" {
  name               = "${local.function}-stack"
  description        = "CloudFormation, for the stack ${local.stack}"
  assume_role_policy = data.aws_iam_policy_document.trust["stack"].json
  tags               = local.tags
}

data "aws_iam_policy_document" "stack" {
  # checkov:skip=CKV_AWS_356: What is allowed on everything here knows no resource
  statement {
    sid = "Function"
    actions = [
      "lambda:CreateAlias",
      "lambda:CreateFunction",
      "lambda:DeleteAlias",
      "lambda:DeleteFunction",
      "lambda:DeleteFunctionCodeSigningConfig",
      "lambda:DeleteFunctionConcurrency",
      "lambda:GetAlias",
      "lambda:GetFunction",
      "lambda:GetFunctionCodeSigningConfig",
      "lambda:GetFunctionConcurrency",
      "lambda:GetFunctionConfiguration",
      "lambda:GetFunctionRecursionConfig",
      "lambda:GetFunctionScalingConfig",
      "lambda:GetProvisionedConcurrencyConfig",
      "lambda:GetRuntimeManagementConfig",
      "lambda:ListTags",
      "lambda:ListVersionsByFunction",
      "lambda:PublishVersion",
      "lambda:PutFunctionCodeSigningConfig",
      "lambda:PutFunctionConcurrency",
      "lambda:TagResource",
      "lambda:UntagResource",
      "lambda:UpdateAlias",
      "lambda:UpdateFunctionCode",
      "lambda:UpdateFunctionConfiguration",
    ]
    resources = [local.arn.function, "${local.arn.function}:*"]
  }
  statement {
    sid       = "Code"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = [for folder in ["functions", "signed"] : "${aws_s3_bucket.this["artifacts"].arn}/${folder}/${local.function}/*"]
  }
  statement {
    sid       = "ReadEncryptedCode"
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.artifacts.arn]
  }
  statement {
    sid = "Roles"
    actions = [
      "iam:CreateRole",
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListRolePolicies",
      "iam:PutRolePolicy",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
      "iam:UpdateRoleDescription",
    ]
    # CloudFormation names them {stack}-{logical id}-{random}.
    resources = ["${local.arn.roles}-Role-*", "${local.arn.roles}-DeploymentRole-*"]
  }
  statement {
    sid       = "HandRolesOver"
    actions   = ["iam:PassRole"]
    resources = ["${local.arn.roles}-Role-*", "${local.arn.roles}-DeploymentRole-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["lambda.amazonaws.com", "codedeploy.amazonaws.com"]
    }
  }
  statement {
    sid = "Logs"
    actions = [
      "logs:CreateLogGroup",
      "logs:DeleteLogGroup",
      "logs:DeleteRetentionPolicy",
      "logs:GetDataProtectionPolicy",
      "logs:ListTagsForResource",
      "logs:PutRetentionPolicy",
      "logs:TagResource",
      "logs:UntagResource",
    ]
    resources = ["${local.arn.logs}:/aws/lambda/${local.function}", "${local.arn.logs}:/aws/lambda/${local.function}:*"]
  }
  # CloudFormation looks for its group among all of them: allowed on one group, it is allowed on none.
  statement {
    sid       = "FindLogs"
    actions   = ["logs:DescribeLogGroups"]
    resources = ["*"]
  }
  # Neither has a resource type. CloudFormation looks for such policies of its group, which the template gives none.
  statement {
    sid       = "ReadLogPolicies"
    actions   = ["logs:DescribeIndexPolicies", "logs:DescribeResourcePolicies"]
    resources = ["*"]
  }
  statement {
    sid = "DeadLetters"
    actions = [
      "sqs:CreateQueue",
      "sqs:DeleteQueue",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sqs:ListQueueTags",
      "sqs:SetQueueAttributes",
      "sqs:TagQueue",
      "sqs:UntagQueue",
    ]
    resources = [local.arn.dead_letters]
  }
  statement {
    sid = "Alarms"
    actions = [
      "cloudwatch:DeleteAlarms",
      "cloudwatch:ListTagsForResource",
      "cloudwatch:PutMetricAlarm",
      "cloudwatch:TagResource",
      "cloudwatch:UntagResource",
    ]
    resources = ["${local.arn.alarms}-*"]
  }
  statement {
    sid       = "ReadAlarms"
    actions   = ["cloudwatch:DescribeAlarms"]
    resources = ["*"]
  }
  statement {
    sid = "Deployments"
    actions = [
      "codedeploy:CreateDeployment",
      "codedeploy:CreateDeploymentGroup",
      "codedeploy:DeleteDeploymentGroup",
      "codedeploy:GetDeployment",
      "codedeploy:GetDeploymentGroup",
      "codedeploy:ListDeployments",
      "codedeploy:ListTagsForResource",
      "codedeploy:TagResource",
      "codedeploy:UntagResource",
      "codedeploy:UpdateDeploymentGroup",
    ]
    resources = ["${local.arn.group}/*"]
  }
  # It has no resource type: on a group it would allow nothing, and an update that is cancelled could not stop its
  # deployment.
  statement {
    sid       = "StopDeployments"
    actions   = ["codedeploy:StopDeployment"]
    resources = ["*"]
  }
  statement {
    sid = "Revisions"
    actions = [
      "codedeploy:GetApplication",
      "codedeploy:GetApplicationRevision",
      "codedeploy:RegisterApplicationRevision",
    ]
    resources = [aws_codedeploy_app.this.arn]
  }
  statement {
    sid       = "HowTrafficShifts"
    actions   = ["codedeploy:GetDeploymentConfig"]
    resources = ["${local.arn.config}:${local.deployment_config}"]
  }

  dynamic "statement" {
    for_each = local.in_vpc ? [1] : []

    # None of them has a resource type.
    content {
      sid = "Network"
      actions = [
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      resources = ["*"]
    }
  }

  # There is no configuration yet to allow it on.
  dynamic "statement" {
    for_each = var.code_signing ? [1] : []

    content {
      sid       = "MakeCodeSigning"
      actions   = ["lambda:CreateCodeSigningConfig"]
      resources = ["*"]
    }
  }

  # A configuration's name is AWS's choice. To put one on a function takes the right on both of them.
  dynamic "statement" {
    for_each = var.code_signing ? [1] : []

    content {
      sid = "CodeSigning"
      actions = [
        "lambda:DeleteCodeSigningConfig",
        "lambda:GetCodeSigningConfig",
        "lambda:PutFunctionCodeSigningConfig",
        "lambda:UpdateCodeSigningConfig",
      ]
      resources = ["arn:${local.partition}:lambda:${local.region}:${local.account}:code-signing-config:*"]
    }
  }
}

resource "aws_iam_role_policy" "stack" {
  name   = "stack"
  role   = aws_iam_role.stack.id
  policy = data.aws_iam_policy_document.stack.json
}
