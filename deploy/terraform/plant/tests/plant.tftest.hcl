mock_provider "kustomization" {
  mock_data "kustomization_build" {
    defaults = {
      ids_prio = [["_/Namespace/_/tickplant"], ["_/Secret/tickplant/tickplant-redis", "apps/Deployment/tickplant/worker"], []]
      manifests = {
        "_/Namespace/_/tickplant"            = "{}"
        "_/Secret/tickplant/tickplant-redis" = "{}"
        "apps/Deployment/tickplant/worker"   = "{}"
      }
    }
  }
}

variables {
  overlay = "../../kubernetes/overlays/local"
}

run "everything_is_installed_in_order" {
  assert {
    condition     = join(" ", output.objects) == "_/Namespace/_/tickplant _/Secret/tickplant/tickplant-redis apps/Deployment/tickplant/worker"
    error_message = "An object of the overlay is missing."
  }
  assert {
    condition     = keys(kustomization_resource.first) == ["_/Namespace/_/tickplant"]
    error_message = "The namespace comes first."
  }
  assert {
    condition     = issensitive(kustomization_resource.secrets["_/Secret/tickplant/tickplant-redis"].manifest)
    error_message = "A plan would show a secret."
  }
  assert {
    condition     = !issensitive(kustomization_resource.second["apps/Deployment/tickplant/worker"].manifest)
    error_message = "A plan would hide a change."
  }
}

run "wrong_values" {
  command = plan
  variables {
    overlay = "nowhere"
    timeout = "soon"
  }
  expect_failures = [var.overlay, var.timeout]
}
