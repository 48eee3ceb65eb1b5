# Only plans: an apply would run kind and docker.
run "defaults" {
  command = plan

  assert {
    condition     = length(yamldecode(local.config).nodes) == 3
    error_message = "A control plane and two workers are expected."
  }
  assert {
    condition     = yamldecode(local.config).nodes[0].role == "control-plane"
    error_message = "The first node is the control plane."
  }
}

run "one_node" {
  command = plan
  variables {
    workers = 0
  }
  assert {
    condition     = [for node in yamldecode(local.config).nodes : node.role] == ["control-plane"]
    error_message = "Only the control plane is expected."
  }
}

run "wrong_values" {
  command = plan
  variables {
    name       = "Tick_Plant"
    workers    = 1.5
    node_image = "kindest/node:v1.30.0"
    image      = "tickplant"
  }
  expect_failures = [var.name, var.workers, var.node_image, var.image]
}
