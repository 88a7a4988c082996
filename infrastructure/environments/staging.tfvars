# terraform apply -var-file=environments/staging.tfvars
environment = "staging"

watchers = []
