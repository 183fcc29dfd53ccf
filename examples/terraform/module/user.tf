locals {
  domain = var.ses.sender == null ? "" : element(split("@", var.ses.sender), 1)
  from   = length(var.ses.from) > 0 ? var.ses.from : [var.ses.sender == null ? "*" : "*@${local.domain}"]
  # IAM compares letters exactly: each pattern is allowed as it is written, with its domain in lower case, and all in lower case.
  senders = sort(distinct(flatten([for from in local.from : [
    from,
    try("${split("@", from)[0]}@${lower(split("@", from)[1])}", from),
    lower(from),
  ]])))
  send = merge(
    {
      Sid    = "Send"
      Effect = "Allow"
      Action = ["ses:SendRawEmail"]
      Resource = [
        "arn:${local.partition}:ses:${local.region}:${local.account}:identity/*",
        "arn:${local.partition}:ses:${local.region}:${local.account}:configuration-set/*",
      ]
    },
    contains(local.from, "*") ? {} : { Condition = { StringLike = { "ses:FromAddress" = local.senders } } },
  )
}

# The function makes the user's access keys: there is no aws_iam_access_key, whose secret would be in the state.
resource "aws_iam_user" "this" {
  name                 = var.iam_user.name
  path                 = var.iam_user.path
  permissions_boundary = var.iam_user.permissions_boundary
  # The function rotates only the user of its secret.
  tags = merge(var.tags, { "deployer:secret" = "${local.region}/${var.secret.name}" })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_iam_user_policy" "send" {
  name   = "${var.name}-send"
  user   = aws_iam_user.this.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [local.send] })
}
