# A cluster of kind on this machine, with tickplant's image in it. It runs the programs kind and docker.
terraform {
  required_version = ">= 1.7"
}

locals {
  repository = abspath("${path.module}/../../..")
  kubeconfig = abspath("${path.module}/kubeconfig")
  nodes      = concat(["control-plane"], [for _ in range(var.workers) : "worker"])
  config = yamlencode({
    apiVersion = "kind.x-k8s.io/v1alpha4"
    kind       = "Cluster"
    nodes      = [for role in local.nodes : { role = role, image = var.node_image }]
  })
}

resource "terraform_data" "cluster" {
  input            = { name = var.name, kubeconfig = local.kubeconfig }
  triggers_replace = [var.name, local.config]

  provisioner "local-exec" {
    command     = "printf '%s' \"$CONFIG\" | kind create cluster --name \"$NAME\" --kubeconfig \"$KUBECONFIG_FILE\" --wait 5m --config -"
    environment = { NAME = var.name, KUBECONFIG_FILE = local.kubeconfig, CONFIG = local.config }
  }

  provisioner "local-exec" {
    when        = destroy
    command     = "kind delete cluster --name \"$NAME\" --kubeconfig \"$KUBECONFIG_FILE\""
    environment = { NAME = self.input.name, KUBECONFIG_FILE = self.input.kubeconfig }
  }
}

resource "terraform_data" "image" {
  triggers_replace = [terraform_data.cluster.id, var.image]

  provisioner "local-exec" {
    command     = "docker build -t \"$IMAGE\" . && kind load docker-image \"$IMAGE\" --name \"$NAME\" && sh deploy/kubernetes/overlays/local/make-secrets"
    working_dir = local.repository
    environment = { IMAGE = var.image, NAME = var.name }
  }
}
