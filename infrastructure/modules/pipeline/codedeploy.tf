# The application is here, so that the history of deployments outlives the stack that deploys. Its deployment
# group belongs to that stack: the group names alarms that stand and fall with the function.

resource "aws_codedeploy_app" "this" {
  name             = local.function
  compute_platform = "Lambda"
  tags             = local.tags
}

resource "aws_codedeploy_deployment_config" "custom" {
  for_each = var.custom_deployment_configs

  deployment_config_name = "${local.function}.${each.key}"
  compute_platform       = "Lambda"

  traffic_routing_config {
    type = each.value.type

    dynamic "time_based_canary" {
      for_each = each.value.type == "TimeBasedCanary" ? [each.value] : []

      content {
        percentage = time_based_canary.value.percentage
        interval   = time_based_canary.value.interval
      }
    }

    dynamic "time_based_linear" {
      for_each = each.value.type == "TimeBasedLinear" ? [each.value] : []

      content {
        percentage = time_based_linear.value.percentage
        interval   = time_based_linear.value.interval
      }
    }
  }
}

locals {
  # A name of our own means the configuration made above; any other is one that exists in the account.
  deployment_config = try(aws_codedeploy_deployment_config.custom[var.deployment_config].deployment_config_name, var.deployment_config)
}
