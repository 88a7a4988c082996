# Optional: a VPC of private subnets for the application's function. It reaches S3 and DynamoDB by gateway
# endpoints, which cost nothing, and nothing else; add what the function needs.

locals {
  zones              = var.create_vpc ? [for letter in var.vpc_zones : "${local.region}${letter}"] : []
  in_vpc             = var.create_vpc || length(var.vpc_subnet_ids) > 0
  subnet_ids         = var.create_vpc ? aws_subnet.private[*].id : var.vpc_subnet_ids
  security_group_ids = var.create_vpc ? aws_security_group.function[*].id : var.vpc_security_group_ids
  network_tags       = merge(local.tags, { Name = local.function })
}

resource "aws_vpc" "this" {
  count = var.create_vpc ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = local.network_tags
}

resource "aws_subnet" "private" {
  count = length(local.zones)

  vpc_id            = aws_vpc.this[0].id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, count.index)
  tags              = local.network_tags
}

resource "aws_route_table" "private" {
  count = var.create_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = local.network_tags
}

resource "aws_route_table_association" "private" {
  count = length(local.zones)

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = var.create_vpc ? toset(["s3", "dynamodb"]) : []

  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]
  tags              = local.network_tags
}

# Left without rules: who lands in it by mistake reaches nothing.
resource "aws_default_security_group" "closed" {
  count = var.create_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id
  tags   = local.network_tags
}

resource "aws_security_group" "function" {
  # checkov:skip=CKV2_AWS_5: Attached to the function, which the pipeline deploys
  count = var.create_vpc ? 1 : 0

  name        = local.function
  description = "The function ${local.function}"
  vpc_id      = aws_vpc.this[0].id
  tags        = local.network_tags
}

# Out by HTTPS; nothing connects to a function. EC2 refuses a description with an apostrophe.
resource "aws_vpc_security_group_egress_rule" "https" {
  count = var.create_vpc ? 1 : 0

  security_group_id = aws_security_group.function[0].id
  description       = "HTTPS to AWS endpoints"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  tags              = local.network_tags
}

resource "aws_cloudwatch_log_group" "network" {
  # checkov:skip=CKV_AWS_338: How long logs are kept is a variable
  count = var.create_vpc ? 1 : 0

  name              = "/aws/vpc/${local.function}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.artifacts.arn
  tags              = local.tags
}

resource "aws_flow_log" "this" {
  count = var.create_vpc ? 1 : 0

  vpc_id               = aws_vpc.this[0].id
  traffic_type         = "ALL"
  log_destination_type = "cloud-watch-logs"
  log_destination      = aws_cloudwatch_log_group.network[0].arn
  iam_role_arn         = aws_iam_role.network[0].arn
  tags                 = local.network_tags
}

data "aws_iam_policy_document" "network_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["vpc-flow-logs.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_iam_role" "network" {
  count = var.create_vpc ? 1 : 0

  name               = "${local.function}-network"
  description        = "Flow logs of ${local.function}"
  assume_role_policy = data.aws_iam_policy_document.network_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "network" {
  # checkov:skip=CKV_AWS_356: DescribeLogGroups knows no resource
  count = var.create_vpc ? 1 : 0

  statement {
    sid       = "WriteFlowLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [aws_cloudwatch_log_group.network[0].arn, "${aws_cloudwatch_log_group.network[0].arn}:*"]
  }
  # Flow logs look for their group among all of them: allowed on one group, it is allowed on none. AWS asks for
  # CreateLogGroup as well. It is left out: late records would make the group anew after `terraform destroy`.
  statement {
    sid       = "FindLogs"
    actions   = ["logs:DescribeLogGroups"]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "network" {
  count = var.create_vpc ? 1 : 0

  name   = "network"
  role   = aws_iam_role.network[0].id
  policy = data.aws_iam_policy_document.network[0].json
}
