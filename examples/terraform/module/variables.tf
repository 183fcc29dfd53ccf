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
    script  = string
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
