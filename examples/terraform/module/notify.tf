resource "aws_sns_topic" "rotation" {
  count = var.notify == null ? 0 : 1
  name  = local.topic
  tags  = var.tags
}

resource "aws_sns_topic_subscription" "email" {
  count     = var.notify == null ? 0 : 1
  topic_arn = aws_sns_topic.rotation[0].arn
  protocol  = "email"
  endpoint  = var.notify.email
}

# Such a function can tell nobody itself.
resource "aws_cloudwatch_metric_alarm" "errors" {
  count               = var.notify == null ? 0 : 1
  alarm_name          = "${local.alarms}-errors"
  alarm_description   = "The function that rotates an SMTP credential failed: its log says why."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = local.function }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.rotation[0].arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dropped" {
  count               = var.notify == null ? 0 : 1
  alarm_name          = "${local.alarms}-dropped"
  alarm_description   = "Lambda gave the daily event of an SMTP credential up: the function failed or is stopped."
  namespace           = "AWS/Lambda"
  metric_name         = "AsyncEventsDropped"
  dimensions          = { FunctionName = local.function }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.rotation[0].arn]
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "silence" {
  count                     = var.notify == null ? 0 : 1
  alarm_name                = "${local.alarms}-silence"
  alarm_description         = "No daily event of an SMTP credential for 26 hours: see whether its rule is enabled."
  namespace                 = "AWS/Lambda"
  metric_name               = "AsyncEventsReceived"
  dimensions                = { FunctionName = local.function }
  statistic                 = "Sum"
  comparison_operator       = "LessThanThreshold"
  threshold                 = 1
  period                    = 3600
  evaluation_periods        = 26
  datapoints_to_alarm       = 26
  treat_missing_data        = "missing"
  alarm_actions             = [aws_sns_topic.rotation[0].arn]
  insufficient_data_actions = [aws_sns_topic.rotation[0].arn]
  tags                      = var.tags
}
