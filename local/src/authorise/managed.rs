//! AWS's own policies that the stacks attach, as AWS publishes them (AWS Managed Policy Reference), reduced
//! to what functions and services of this project use.

/// The document of a policy under `arn:aws:iam::aws:policy/`, by its name.
pub(super) fn document(name: &str) -> Option<&'static str> {
    Some(match name {
        "AWSLambdaBasicExecutionRole" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}"#
        }
        "AWSXRayDaemonWriteAccess" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["xray:PutTraceSegments","xray:PutTelemetryRecords","xray:GetSamplingRules","xray:GetSamplingTargets","xray:GetSamplingStatisticSummaries"],"Resource":"*"}]}"#
        }
        "AWSLambdaSQSQueueExecutionRole" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["sqs:ReceiveMessage","sqs:DeleteMessage","sqs:GetQueueAttributes","logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}"#
        }
        "AWSLambdaVPCAccessExecutionRole" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents","ec2:CreateNetworkInterface","ec2:DescribeNetworkInterfaces","ec2:DescribeSubnets","ec2:DeleteNetworkInterface","ec2:AssignPrivateIpAddresses","ec2:UnassignPrivateIpAddresses"],"Resource":"*"}]}"#
        }
        "AWSCodeDeployRoleForLambda" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["cloudwatch:DescribeAlarms","lambda:UpdateAlias","lambda:GetAlias","lambda:GetProvisionedConcurrencyConfig","sns:Publish"],"Resource":"*"},{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"arn:aws:s3:::*/CodeDeploy/*"},{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/UseWithCodeDeploy":"true"}}},{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:*:*:function:CodeDeployHook_*"}]}"#
        }
        "AWSCodeDeployRoleForLambdaLimited" => {
            r#"{"Statement":[{"Effect":"Allow","Action":["cloudwatch:DescribeAlarms","lambda:UpdateAlias","lambda:GetAlias","lambda:GetProvisionedConcurrencyConfig"],"Resource":"*"},{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"arn:aws:s3:::*/CodeDeploy/*"},{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":"*","Condition":{"StringEquals":{"s3:ExistingObjectTag/UseWithCodeDeploy":"true"}}},{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:*:*:function:CodeDeployHook_*"}]}"#
        }
        "AdministratorAccess" => r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::document::Document;
    use super::document;

    #[test]
    fn every_document_can_be_read() {
        for name in [
            "AWSLambdaBasicExecutionRole",
            "AWSXRayDaemonWriteAccess",
            "AWSLambdaSQSQueueExecutionRole",
            "AWSLambdaVPCAccessExecutionRole",
            "AWSCodeDeployRoleForLambda",
            "AWSCodeDeployRoleForLambdaLimited",
            "AdministratorAccess",
        ] {
            assert!(Document::parse(document(name).unwrap()).is_ok(), "{name}");
        }
        assert_eq!(document("NoSuchPolicy"), None);
    }
}
