variable "name" {
  description = "The cluster's name."
  type        = string
  default     = "tickplant"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,48}$", var.name))
    error_message = "The name has lower-case letters, digits and hyphens, at most 49."
  }
}

variable "workers" {
  description = "How many nodes there are besides the control plane."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.workers >= 0 && var.workers <= 10 && floor(var.workers) == var.workers
    error_message = "A whole number from 0 to 10."
  }
}

variable "node_image" {
  description = "kind's image of a node, which decides Kubernetes' version: 1.34 or newer."
  type        = string
  default     = "kindest/node:v1.34.0"
  nullable    = false

  validation {
    condition     = can(regex(":v1\\.(3[4-9]|[4-9][0-9])\\.[0-9]+(@sha256:[0-9a-f]{64})?$", var.node_image))
    error_message = "An image with a tag of Kubernetes 1.34 or newer, such as kindest/node:v1.34.0."
  }
}

variable "image" {
  description = "The image that is built, as the overlay names it."
  type        = string
  default     = "tickplant:0.1.0"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9./_-]+:[A-Za-z0-9._-]+$", var.image))
    error_message = "A name and a tag, such as tickplant:0.1.0."
  }
}
