# Every name and ARN, as deployer/src/deployment/names.rs derives them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name
  suffix    = data.aws_partition.current.dns_suffix

  role     = coalesce(var.names.role, "${var.name}-rotation-${local.region}")
  function = coalesce(var.names.function, "${var.name}-rotation")
  document = coalesce(var.names.document, "${var.name}-rotate-smtp")
  rule     = coalesce(var.names.rule, "${var.name}-upkeep")
  topic    = coalesce(var.names.topic, "${var.name}-rotation")
  alarms   = coalesce(var.names.alarms, var.name)

  # Without the hyphen and the six random characters that Secrets Manager appends. A policy has to name every such secret, since
  # it is made before anybody knows the characters.
  secret_arn_prefix  = "arn:${local.partition}:secretsmanager:${local.region}:${local.account}:secret:${var.secret.name}"
  secret_arn_pattern = "${local.secret_arn_prefix}-??????"
  user_arn           = "arn:${local.partition}:iam::${local.account}:user${var.iam_user.path}${var.iam_user.name}"
  function_arn       = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${local.function}"
  log_group_arn      = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${local.function}"
  topic_arn          = "arn:${local.partition}:sns:${local.region}:${local.account}:${local.topic}"
  document_arn       = "arn:${local.partition}:ssm:${local.region}:${local.account}:document/${local.document}"
  rule_arn           = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.rule}"
}
