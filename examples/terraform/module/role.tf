locals {
  role_statements = concat(
    [
      {
        Sid    = "Secret"
        Effect = "Allow"
        Action = [
          "secretsmanager:DescribeSecret",
          "secretsmanager:GetSecretValue",
          "secretsmanager:ListSecretVersionIds",
          "secretsmanager:PutSecretValue",
          "secretsmanager:UpdateSecretVersionStage",
        ]
        Resource = [local.secret_arn_pattern]
      },
      {
        Sid    = "User"
        Effect = "Allow"
        Action = [
          "iam:CreateAccessKey",
          "iam:DeleteAccessKey",
          "iam:GetAccessKeyLastUsed",
          "iam:GetUser",
          "iam:ListAccessKeys",
          "iam:ListAttachedUserPolicies",
          "iam:UpdateAccessKey",
        ]
        Resource = [local.user_arn]
      },
      {
        Sid      = "Log"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${local.log_group_arn}:*"]
      },
    ],
    var.instance == null ? [] : [
      {
        Sid    = "Command"
        Effect = "Allow"
        Action = ["ssm:SendCommand"]
        Resource = concat(
          [local.document_arn],
          [for id in var.instance.ids : "arn:${local.partition}:ec2:${local.region}:${local.account}:instance/${id}"],
        )
      },
      {
        Sid      = "Document"
        Effect   = "Allow"
        Action   = ["ssm:DescribeDocument", "ssm:GetDocument"]
        Resource = [local.document_arn]
      },
      {
        Sid      = "CommandResult"
        Effect   = "Allow"
        Action   = ["ssm:DescribeInstanceInformation", "ssm:GetCommandInvocation"]
        Resource = ["*"]
      },
    ],
  )
  # Statements with a condition have another type, so they are a list of their own.
  role_key_statements = var.secret.kms_key == null ? [] : [
    {
      Sid       = "Key"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [local.kms_key_arn]
      Condition = local.kms_condition
    },
  ]
  network_actions = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ]
  role_network_statements = var.function.vpc == null ? [] : [
    jsonencode({ Sid = "Network", Effect = "Allow", Action = local.network_actions, Resource = ["*"] }),
    jsonencode({
      Sid       = "NetworkNotForTheCode"
      Effect    = "Deny"
      Action    = local.network_actions
      Resource  = ["*"]
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = [local.function_arn] } }
    }),
  ]
  role_notify_statements = var.notify == null ? [] : [
    { Sid = "Notify", Effect = "Allow", Action = ["sns:Publish"], Resource = [local.topic_arn] },
  ]
}

resource "aws_iam_role" "function" {
  name                 = local.role
  path                 = var.function.role_path
  permissions_boundary = var.function.role_permissions_boundary
  tags                 = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Lambda"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "function" {
  name = "${var.name}-rotation"
  role = aws_iam_role.function.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.role_statements,
      local.role_key_statements,
      [for statement in local.role_network_statements : jsondecode(statement)],
      local.role_notify_statements,
    )
  })
}
