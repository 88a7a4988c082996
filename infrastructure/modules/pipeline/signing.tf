# Optional: AWS Signer signs what the build makes, and the application's stack accepts nothing else.

resource "aws_signer_signing_profile" "this" {
  count = var.code_signing ? 1 : 0

  platform_id = "AWSLambda-SHA384-ECDSA"
  # A cancelled profile keeps its name, so that a new one needs another. Letters, digits and underscores only.
  name_prefix = "${replace(local.function, "-", "_")}_"
  tags        = local.tags
}
