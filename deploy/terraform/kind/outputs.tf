output "kubeconfig" {
  description = "The file with the cluster's address and credentials, for the module plant."
  value       = local.kubeconfig
  depends_on  = [terraform_data.image]
}
