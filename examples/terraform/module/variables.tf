# The keys and their meaning are those of config.example.yaml. Lengths of time are in seconds.

variable "name" {
  type        = string
  description = "The prefix of every derived name. At most 38 lower-case letters, digits and hyphens."
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of every resource."
}

variable "secret" {
  type = object({
    name                 = string
    kms_key              = optional(string)
    recovery_window_days = optional(number, 30)
    fields               = optional(map(string), {})
  })
}

variable "make_placeholder" {
  type        = bool
  default     = true
  description = "Whether Terraform makes the secret's first version. False for a secret that has one."
}

variable "iam_user" {
  type = object({
    name                 = string
    replaces             = optional(list(string), [])
    path                 = optional(string, "/")
    permissions_boundary = optional(string)
  })
}

variable "instance" {
  type = object({
    ids     = list(string)
    script  = optional(string, "/usr/local/bin/rotate_smtp.sh")
    timeout = optional(number, 120)
    role    = optional(string)
  })
  default     = null
  description = "The hosts that are told of a new credential; null if there are none."
}

variable "ses" {
  type = object({
    from      = optional(list(string), [])
    sender    = optional(string)
    recipient = optional(string)
    endpoint  = optional(string)
  })
  default = {}
}

variable "rotation" {
  type = object({
    schedule         = optional(string, "rate(30 days)")
    window_hours     = optional(number)
    rotate_on_create = optional(bool, true)
    keep_previous    = optional(number, 86400)
    keep_inactive    = optional(number, 259200)
  })
  default = {}

  # The previous key's grace has to end before the next window opens. The period of a cron() is not computed here.
  validation {
    condition = !can(regex("^rate\\(", var.rotation.schedule)) || (
      var.rotation.keep_previous + 3600 * coalesce(var.rotation.window_hours, can(regex("hour", var.rotation.schedule)) ? 1 : 24)
      <= tonumber(regex("[0-9]+", var.rotation.schedule)) * (can(regex("hour", var.rotation.schedule)) ? 3600 : 86400)
    )
    error_message = "With this schedule, the previous key would still be kept when the next window opens: set a shorter keep_previous, or window_hours."
  }
}

variable "function" {
  type = object({
    package                   = string
    memory                    = optional(number, 128)
    timeout                   = optional(number, 300)
    architecture              = optional(string, "x86_64")
    log_level                 = optional(string, "info")
    log_retention_days        = optional(number, 30)
    role_path                 = optional(string, "/")
    role_permissions_boundary = optional(string)
    vpc = optional(object({
      subnets         = list(string)
      security_groups = list(string)
    }))
  })
  description = "package: the function's zip, of a release or of `deployer build --out FOLDER` in a checkout."
}

variable "notify" {
  type        = object({ email = string })
  default     = null
  description = "Whom to notify of rotations; null to notify nobody."
}

variable "names" {
  type = object({
    role     = optional(string)
    function = optional(string)
    document = optional(string)
    rule     = optional(string)
    topic    = optional(string)
    alarms   = optional(string)
  })
  default     = {}
  description = "Names of resources, where those that begin with `name` do not suit the account."
}
