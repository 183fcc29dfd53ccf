# The document runs the script with the secret's ARN, and nothing else. The function compares it, byte for byte, with the hash in its
# environment before it runs on a host: jsonencode sorts the keys, as the deployer does.
locals {
  document_content = var.instance == null ? "" : jsonencode({
    schemaVersion = "2.2"
    description   = "Tells this host to fetch the SMTP credential that is being rotated."
    parameters = {
      SecretArn = {
        type              = "String"
        description       = "ARN of the secret that the script fetches."
        allowedPattern    = "^${replace(replace(local.secret_arn_prefix, ".", "\\."), "+", "\\+")}-[A-Za-z0-9]{6}$"
        interpolationType = "ENV_VAR"
      }
      VersionId = {
        type              = "String"
        description       = "Id of the version that the script fetches; empty: the one with the label."
        default           = ""
        allowedPattern    = "^([A-Za-z0-9-]{32,64})?$"
        interpolationType = "ENV_VAR"
      }
      VersionStage = {
        type              = "String"
        description       = "Label of the version that the script fetches."
        default           = "AWSPENDING"
        allowedPattern    = "^(AWSPENDING|AWSCURRENT)$"
        interpolationType = "ENV_VAR"
      }
    }
    mainSteps = [{
      action       = "aws:runShellScript"
      name         = "rotateSmtp"
      precondition = { StringEquals = ["platformType", "Linux"] }
      inputs = {
        timeoutSeconds = tostring(var.instance.timeout)
        runCommand = [
          "if [ -z \"$${SSM_SecretArn+x}\" ]; then export SSM_SecretArn=\"{{SecretArn}}\"; fi",
          "if [ -z \"$${SSM_VersionId+x}\" ]; then export SSM_VersionId=\"{{VersionId}}\"; fi",
          "if [ -z \"$${SSM_VersionStage+x}\" ]; then export SSM_VersionStage=\"{{VersionStage}}\"; fi",
          "if [ -n \"$SSM_VersionId\" ]; then export SECRET_VERSION_ID=\"$SSM_VersionId\" SECRET_VERSION_STAGE=\"$SSM_VersionStage\"; fi",
          "exec ${var.instance.script} \"$SSM_SecretArn\"",
        ]
      }
    }]
  })

  instance_statements = [
    { Sid = "Secret", Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = [local.secret_arn_pattern] },
  ]
  instance_key_statements = var.secret.kms_key == null ? [] : [
    {
      Sid       = "Key"
      Effect    = "Allow"
      Action    = ["kms:Decrypt"]
      Resource  = [local.kms_key_arn]
      Condition = local.kms_condition
    },
  ]
}

resource "aws_ssm_document" "rotate_smtp" {
  count           = var.instance == null ? 0 : 1
  name            = local.document
  document_type   = "Command"
  document_format = "JSON"
  target_type     = "/AWS::EC2::Instance"
  content         = local.document_content
  tags            = var.tags
}

# The role exists without this module.
resource "aws_iam_role_policy" "instance" {
  count  = try(var.instance.role, null) == null ? 0 : 1
  name   = "${var.name}-read-secret-${local.region}"
  role   = var.instance.role
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.instance_statements, local.instance_key_statements) })
}
