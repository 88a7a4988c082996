# Uploads function.zip under its digest, signs it where SIGNING_PROFILE names a profile of AWS Signer,
# and writes the place of what is to be deployed into CODE_S3_KEY, and its digest as Lambda names it into
# DEPLOYED_SHA256: nothing else becomes a version. Sourced, so that the build has them.
# With BUILD_ONLY=true, which Signalbox sets for builds of branches that are not deployed, it only takes the digest.
publish() {
  CODE_SHA256=$(python3 -c 'import hashlib; print(hashlib.sha256(open("function.zip", "rb").read()).hexdigest())') || return 1
  export CODE_SHA256
  if [ "${BUILD_ONLY:-}" = true ]; then
    unset CODE_S3_KEY
    echo "BUILD_ONLY: function.zip is neither uploaded nor signed; its sha256 is $CODE_SHA256"
    return 0
  fi
  if [ -z "${ARTIFACTS_BUCKET:-}" ]; then
    echo "ARTIFACTS_BUCKET is not set: name the bucket for the code in the CodeBuild project" >&2
    return 1
  fi
  CODE_S3_KEY="functions/$FUNCTION_NAME/$CODE_SHA256.zip"
  # The key is the content's digest: what is there already is what would be uploaded.
  if aws s3api head-object --bucket "$ARTIFACTS_BUCKET" --key "$CODE_S3_KEY" >/dev/null 2>&1; then
    echo "s3://$ARTIFACTS_BUCKET/$CODE_S3_KEY is there already"
  else
    aws s3 cp --only-show-errors function.zip "s3://$ARTIFACTS_BUCKET/$CODE_S3_KEY" || return 1
    echo "Uploaded s3://$ARTIFACTS_BUCKET/$CODE_S3_KEY"
  fi
  deployed=function.zip
  if [ -n "${SIGNING_PROFILE:-}" ]; then
    sign || return 1
  fi
  DEPLOYED_SHA256=$(python3 -c 'import base64, hashlib, sys
print(base64.b64encode(hashlib.sha256(open(sys.argv[1], "rb").read()).digest()).decode())' "$deployed") || return 1
  export CODE_S3_KEY DEPLOYED_SHA256
}

# Signer writes a new object; its name begins with the job's id.
sign() {
  signing_version=$(aws s3api head-object --bucket "$ARTIFACTS_BUCKET" --key "$CODE_S3_KEY" \
    --query VersionId --output text) || return 1
  signing_job=$(aws signer start-signing-job --profile-name "$SIGNING_PROFILE" \
    --source "s3={bucketName=$ARTIFACTS_BUCKET,key=$CODE_S3_KEY,version=$signing_version}" \
    --destination "s3={bucketName=$ARTIFACTS_BUCKET,prefix=signed/$FUNCTION_NAME/}" \
    --query jobId --output text) || return 1
  aws signer wait successful-signing-job --job-id "$signing_job" || return 1
  CODE_S3_KEY=$(aws signer describe-signing-job --job-id "$signing_job" \
    --query signedObject.s3.key --output text) || return 1
  deployed=signed.zip
  aws s3 cp --only-show-errors "s3://$ARTIFACTS_BUCKET/$CODE_S3_KEY" "$deployed" || return 1
  echo "Signed with $SIGNING_PROFILE: s3://$ARTIFACTS_BUCKET/$CODE_S3_KEY"
}

publish
