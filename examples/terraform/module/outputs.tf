output "secret_arn" {
  value = aws_secretsmanager_secret.this.arn
}

output "function_arn" {
  value = aws_lambda_function.rotation.arn
}
