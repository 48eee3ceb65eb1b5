variable "overlay" {
  description = "The folder of the overlay: deploy/kubernetes/overlays/local, after its make-secrets, or your copy of production."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists("${var.overlay}/kustomization.yaml")
    error_message = "The folder has no kustomization.yaml."
  }
}

variable "timeout" {
  description = "How long a roll-out may take, with the migration before it."
  type        = string
  default     = "15m"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]*[smh]$", var.timeout))
    error_message = "A duration such as 15m."
  }
}
