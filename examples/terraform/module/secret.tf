data "aws_kms_key" "secret" {
  count  = var.secret.kms_key == null ? 0 : 1
  key_id = var.secret.kms_key
}

locals {
  kms_key_arn = one(data.aws_kms_key.secret[*].arn)

  # Only through Secrets Manager, and only for this secret.
  kms_condition = {
    StringEquals = { "kms:ViaService" = "secretsmanager.${local.region}.${local.suffix}" }
    StringLike   = { "kms:EncryptionContext:SecretARN" = local.secret_arn_pattern }
  }
}

resource "aws_secretsmanager_secret" "this" {
  name                    = var.secret.name
  kms_key_id              = local.kms_key_arn
  recovery_window_in_days = var.secret.recovery_window_days
  tags                    = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# The first version holds no credential: it names the user, and the first rotation does the rest. Terraform never reads another one,
# so no state holds a credential.
#
# Secrets Manager labels the first version of a secret AWSCURRENT, whatever label it is given, and no later one (API reference of
# PutSecretValue). So if this version were ever made again, the credential would stay what it is. The label keeps the version.
resource "aws_secretsmanager_secret_version" "placeholder" {
  count          = var.make_placeholder ? 1 : 0
  secret_id      = aws_secretsmanager_secret.this.id
  version_stages = ["PLACEHOLDER"]
  secret_string = jsonencode({
    iam_user_arn = ""
    AccessKeyId  = ""
    SMTPPassword = ""
    username     = var.iam_user.name
  })

  lifecycle {
    ignore_changes = [secret_string, version_stages]
  }
}
