# The deployment of config.example.yaml, as a call of the module.

provider "aws" {
  region = "eu-west-1"

  # Tags that the deployer sets, in case it owned a resource before. The module sets deployer:secret itself.
  ignore_tags {
    keys = [
      "deployer:adopted",
      "deployer:code-sha256",
      "deployer:deployment",
      "deployer:email",
      "deployer:kept-since",
      "deployer:protect",
      "deployer:source",
    ]
  }
}

variable "package" {
  type        = string
  default     = "x86_64.zip"
  description = "The function's zip: that of a release, or what `deployer build --out .` writes in a checkout."
}

module "mail_prod" {
  source = "./module"

  name   = "mail-prod"
  tags   = { team = "platform" }
  secret = { name = "mail-prod/smtp", kms_key = "alias/mail" }
  iam_user = {
    name = "mail-prod-smtp"
  }
  instance = {
    ids    = ["i-0123456789abcdef0"]
    script = "/usr/local/bin/rotate_smtp.sh"
    role   = "mail-prod-instance"
  }
  ses = {
    from      = ["*@example.com"]
    sender    = "no-reply@example.com"
    recipient = "success@simulator.amazonses.com"
  }
  rotation = { schedule = "rate(30 days)", window_hours = 4 }
  function = { package = var.package }
  notify   = { email = "ops@example.com" }
}
