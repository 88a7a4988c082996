# templates/pipeline/{staging,production}.json describe the same pipeline for the local cloud; a test compares
# what this makes with them.

locals {
  # At most 1 KB: CodePipeline takes no more.
  parameter_overrides = merge(
    {
      Environment               = var.environment
      FunctionName              = local.function
      PipelineName              = local.pipeline
      Runtime                   = var.runtime
      DeploymentConfigName      = local.deployment_config
      CodeDeployApplicationName = aws_codedeploy_app.this.name
      # By its name, as in notifications.tf: a stack that changes knows no outputs.
      AlarmTopicArn = "${local.arn.topics}-alerts"
    },
    local.hooks,
    local.in_vpc ? {
      VpcSubnetIds        = join(",", local.subnet_ids)
      VpcSecurityGroupIds = join(",", local.security_group_ids)
    } : {},
    var.code_signing ? { SigningProfileVersionArn = aws_signer_signing_profile.this[0].version_arn } : {},
  )

  # Only a control plane of another name than the template's own has hooks of other names.
  hooks = var.control_plane_name == "" ? {} : {
    BeforeAllowTrafficHook = aws_cloudformation_stack.control_plane.outputs["BeforeTrafficHookName"]
    AfterAllowTrafficHook  = aws_cloudformation_stack.control_plane.outputs["AfterTrafficHookName"]
  }

  # Of each package's own: while one run waits for approval, the next one prepares its change set of the same stack,
  # and what was approved must be what is executed. The package's ETag, and not the run's id: a rollback of a stage is a
  # run of its own, with the source's variables of the run that it goes back to. Nor the version's id, which may have
  # characters that a change set's name may not.
  change_set = "signalbox-#{SourceVariables.ETag}"
}

resource "aws_codepipeline" "this" {
  name           = local.pipeline
  role_arn       = aws_iam_role.pipeline.arn
  pipeline_type  = "V2"
  execution_mode = "SUPERSEDED"
  tags           = local.tags

  artifact_store {
    type     = "S3"
    location = aws_s3_bucket.this["artifacts"].id

    encryption_key {
      type = "KMS"
      id   = aws_kms_key.artifacts.arn
    }
  }

  # Nothing polls: start-run starts each run, pinned to the uploaded version.
  stage {
    name = "Source"

    action {
      name             = "Source"
      category         = "Source"
      owner            = "AWS"
      provider         = "S3"
      version          = "1"
      run_order        = 1
      namespace        = "SourceVariables"
      output_artifacts = ["SourceOutput"]

      configuration = {
        S3Bucket                    = aws_s3_bucket.this["source"].id
        S3ObjectKey                 = "${local.source_prefix}${var.branch}/lambda-function.zip"
        PollForSourceChanges        = "false"
        AllowOverrideForS3ObjectKey = "true"
      }
    }
  }

  stage {
    name = "Build"

    action {
      name             = "Build"
      category         = "Build"
      owner            = "AWS"
      provider         = "CodeBuild"
      version          = "1"
      run_order        = 1
      namespace        = "BuildVariables"
      input_artifacts  = ["SourceOutput"]
      output_artifacts = ["BuildOutput"]

      configuration = {
        ProjectName = aws_codebuild_project.this["build"].name
        EnvironmentVariables = jsonencode([
          { name = "SOURCE_VERSION_ID", value = "#{SourceVariables.VersionId}", type = "PLAINTEXT" },
        ])
      }
    }
  }

  # Production prepares a change set and changes nothing; staging deploys.
  stage {
    name = "Deploy"

    action {
      name            = "Deploy"
      category        = "Deploy"
      owner           = "AWS"
      provider        = "CloudFormation"
      version         = "1"
      run_order       = 1
      namespace       = "DeployVariables"
      input_artifacts = ["BuildOutput"]

      configuration = merge(
        {
          ActionMode            = var.approval ? "CHANGE_SET_REPLACE" : "CREATE_UPDATE"
          StackName             = local.stack
          TemplatePath          = "BuildOutput::lambda-deployment-template.yaml"
          TemplateConfiguration = "BuildOutput::parameters.json"
          ParameterOverrides    = jsonencode(local.parameter_overrides)
          Capabilities          = "CAPABILITY_IAM"
          RoleArn               = aws_iam_role.stack.arn
        },
        var.approval ? { ChangeSetName = local.change_set } : {},
      )
    }
  }

  dynamic "stage" {
    for_each = var.approval ? ["Approval"] : []

    content {
      name = stage.value

      action {
        name               = "Approve"
        category           = "Approval"
        owner              = "AWS"
        provider           = "Manual"
        version            = "1"
        run_order          = 1
        timeout_in_minutes = var.timeout_in_minutes

        configuration = {
          CustomData = "Release of the change set ${local.change_set} of the stack ${local.stack}, built from version #{SourceVariables.VersionId} of #{SourceVariables.ObjectKey}."
        }
      }
    }
  }

  dynamic "stage" {
    for_each = var.approval ? ["Release"] : []

    content {
      name = stage.value

      action {
        name      = "Release"
        category  = "Deploy"
        owner     = "AWS"
        provider  = "CloudFormation"
        version   = "1"
        run_order = 1
        namespace = "ReleaseVariables"

        configuration = {
          ActionMode    = "CHANGE_SET_EXECUTE"
          StackName     = local.stack
          ChangeSetName = local.change_set
          RoleArn       = aws_iam_role.stack.arn
        }
      }
    }
  }

  stage {
    name = "IntegrationTest"

    action {
      name            = "IntegrationTest"
      category        = "Test"
      owner           = "AWS"
      provider        = "CodeBuild"
      version         = "1"
      run_order       = 1
      namespace       = "TestVariables"
      input_artifacts = ["SourceOutput"]

      configuration = {
        ProjectName = aws_codebuild_project.this["integration_test"].name
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(jsonencode(local.parameter_overrides)) <= 1024
      error_message = "CodePipeline takes at most 1 KB of parameters: choose shorter names or fewer subnets."
    }
  }

  depends_on = [aws_iam_role_policy.pipeline, aws_iam_role_policy.stack]
}
