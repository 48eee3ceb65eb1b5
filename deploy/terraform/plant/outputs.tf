output "objects" {
  description = "What was installed, by the provider's ids."
  value       = sort(keys(merge(kustomization_resource.first, kustomization_resource.secrets, kustomization_resource.second, kustomization_resource.third)))
}
