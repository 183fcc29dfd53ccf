resource "aws_secretsmanager_secret_rotation" "this" {
  secret_id           = aws_secretsmanager_secret.this.id
  rotation_lambda_arn = aws_lambda_function.rotation.arn
  rotate_immediately  = var.rotation.rotate_on_create

  rotation_rules {
    schedule_expression = var.rotation.schedule
    duration            = var.rotation.window_hours == null ? null : "${var.rotation.window_hours}h"
  }

  # Everything that a rotation uses.
  depends_on = [
    aws_secretsmanager_secret_version.placeholder,
    aws_iam_user_policy.send,
    aws_lambda_permission.secretsmanager,
    aws_ssm_document.rotate_smtp,
    aws_iam_role_policy.instance,
    aws_sns_topic.rotation,
  ]
}

# It retires keys that are past their grace, and tells of a rotation that is overdue.
resource "aws_cloudwatch_event_rule" "upkeep" {
  name                = local.rule
  schedule_expression = "rate(1 day)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "upkeep" {
  rule      = aws_cloudwatch_event_rule.upkeep.name
  target_id = "function"
  arn       = aws_lambda_function.rotation.arn
  input     = jsonencode({ event = "upkeep" })

  depends_on = [
    aws_secretsmanager_secret_rotation.this,
    aws_lambda_permission.events,
    aws_lambda_function_event_invoke_config.rotation,
  ]
}
