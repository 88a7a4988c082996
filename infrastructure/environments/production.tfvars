# terraform workspace select -or-create production
# terraform apply -var-file=environments/production.tfvars
environment = "production"

# Who may approve a release, and who is told.
approvers = []
watchers  = []

log_retention_days = 365
