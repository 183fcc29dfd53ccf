locals {
  environment = merge(
    {
      SECRET_ARN_PREFIX     = local.secret_arn_prefix
      IAM_USER_ARN          = local.user_arn
      IAM_USER_OWNED        = "true"
      SMTP_ENDPOINT         = coalesce(var.ses.endpoint, "smtps://email-smtp.${local.region}.${local.suffix}:465")
      KEEP_PREVIOUS_SECONDS = tostring(var.rotation.keep_previous)
      KEEP_INACTIVE_SECONDS = tostring(var.rotation.keep_inactive)
      LOG_LEVEL             = var.function.log_level
    },
    length(var.iam_user.replaces) + length(var.secret.fields) == 0 ? {} : {
      REPLACES = "${join(",", var.iam_user.replaces)}${length(var.secret.fields) == 0 ? "" : ","}"
    },
    length(var.secret.fields) == 0 ? {} : { SECRET_FIELDS = jsonencode(var.secret.fields) },
    var.ses.sender == null ? {} : { SES_SENDER = var.ses.sender, SES_RECIPIENT = var.ses.recipient },
    var.instance == null ? {} : {
      CONSUMER = jsonencode({
        instances = {
          ids             = var.instance.ids
          document        = local.document
          script          = var.instance.script
          timeout_seconds = var.instance.timeout
          content_sha256  = sha256(local.document_content)
        }
      })
      # An older function, which does not know CONSUMER, refuses this: it would rotate without telling a host.
      SCRIPT = "in CONSUMER"
    },
    var.notify == null ? {} : { TOPIC_ARN = local.topic_arn },
  )
}

# Made before the function: a group that Lambda makes by itself keeps everything for ever.
resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${local.function}"
  retention_in_days = var.function.log_retention_days
  tags              = var.tags
}

resource "aws_lambda_function" "rotation" {
  function_name    = local.function
  role             = aws_iam_role.function.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.function.architecture]
  memory_size      = var.function.memory
  timeout          = var.function.timeout
  filename         = var.function.package
  source_code_hash = filebase64sha256(var.function.package)
  tags             = var.tags

  environment {
    variables = local.environment
  }

  dynamic "vpc_config" {
    for_each = var.function.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnets
      security_group_ids = vpc_config.value.security_groups
    }
  }

  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]
}

# The daily invocation would tell of the same thing again.
resource "aws_lambda_function_event_invoke_config" "rotation" {
  function_name          = aws_lambda_function.rotation.function_name
  maximum_retry_attempts = 0
}

resource "aws_lambda_permission" "secretsmanager" {
  statement_id   = "${var.name}-secretsmanager"
  function_name  = aws_lambda_function.rotation.function_name
  action         = "lambda:InvokeFunction"
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
  source_arn     = local.secret_arn_pattern
}

resource "aws_lambda_permission" "events" {
  statement_id  = "${var.name}-events"
  function_name = aws_lambda_function.rotation.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = local.rule_arn
}
