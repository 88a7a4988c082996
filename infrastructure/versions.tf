terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The last minor version of 5: only its patches are taken.
      version = "~> 5.100"
    }
  }

  # State is local until a backend is configured: copy backend.tf.example to backend.tf.
}
