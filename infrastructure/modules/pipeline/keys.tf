# Two keys: one for what is built and logged, one for what is said. They have different users.

locals {
  # In a key's policy, the resource `*` is the key itself. With this statement, roles' own policies decide.
  key_administration = {
    Sid       = "AdministeredByTheAccount"
    Effect    = "Allow"
    Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }
}

resource "aws_kms_key" "artifacts" {
  description             = "Packages, artifacts and logs of ${local.pipeline}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.key_administration,
      {
        Sid       = "LogGroups"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:DescribeKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              "${local.arn.logs}:/aws/codebuild/${local.function}-*",
              "${local.arn.logs}:/aws/vpc/${local.function}",
            ]
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "artifacts" {
  name          = "alias/${local.function}-artifacts"
  target_key_id = aws_kms_key.artifacts.key_id
}

resource "aws_kms_key" "messages" {
  description             = "Topics of ${local.pipeline}"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.key_administration,
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_kms_alias" "messages" {
  name          = "alias/${local.function}-messages"
  target_key_id = aws_kms_key.messages.key_id
}
