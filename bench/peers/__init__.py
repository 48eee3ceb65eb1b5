"""Programs of others for the same job, measured in the same run."""
