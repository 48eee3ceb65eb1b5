# Installs an overlay of deploy/kubernetes on an existing cluster. The caller configures the provider.
terraform {
  required_version = ">= 1.7"

  required_providers {
    kustomization = {
      source  = "kbst/kustomization"
      version = "~> 0.9.0"
    }
  }
}

locals {
  manifests = data.kustomization_build.plant.manifests
  secrets   = toset([for id in data.kustomization_build.plant.ids_prio[1] : id if startswith(id, "_/Secret/")])
  workloads = toset([for id in data.kustomization_build.plant.ids_prio[1] : id if !startswith(id, "_/Secret/")])
}

data "kustomization_build" "plant" {
  path = var.overlay
}

# Namespaces and definitions, then secrets, which no plan shows, then everything else, and what refers to it.
resource "kustomization_resource" "first" {
  for_each = data.kustomization_build.plant.ids_prio[0]
  manifest = local.manifests[each.value]
}

resource "kustomization_resource" "secrets" {
  for_each   = local.secrets
  depends_on = [kustomization_resource.first]
  manifest   = sensitive(local.manifests[each.value])
}

resource "kustomization_resource" "second" {
  for_each   = local.workloads
  depends_on = [kustomization_resource.secrets]
  manifest   = local.manifests[each.value]
  # Until the roll-out is complete: pods wait for the database's migration.
  wait = true

  timeouts {
    create = var.timeout
    update = var.timeout
  }
}

resource "kustomization_resource" "third" {
  for_each   = data.kustomization_build.plant.ids_prio[2]
  depends_on = [kustomization_resource.second]
  manifest   = local.manifests[each.value]
}
