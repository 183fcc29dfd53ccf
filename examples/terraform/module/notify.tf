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
