// Writes what the next stages and the approvers read:
//   parameters.json   the stack's parameters (CloudFormation's template configuration); none of a build alone
//   manifest.json     what was built, from what, by whom, and what the checks said
//   variables.sh      the build's exported variables
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";

const env = process.env;

/** What the uploader said about the source: variables first, then source.json in the package. */
const stated = existsSync("source.json") ? JSON.parse(readFileSync("source.json", "utf8")) : {};
const source = {
  commit: env.SOURCE_COMMIT ?? stated.commit ?? null,
  branch: env.SOURCE_BRANCH ?? stated.branch ?? null,
  author: env.SOURCE_AUTHOR ?? stated.author ?? null,
  message: env.SOURCE_MESSAGE ?? stated.message ?? null,
};

function required(name) {
  // Called with the names below.
  // eslint-disable-next-line security/detect-object-injection
  const value = env[name];
  if (!value) throw new Error(`${name} is not set; scripts/publish.sh sets it`);
  return value;
}

function tests() {
  const xml = readFileSync("reports/unit.xml", "utf8");
  const total = (xml.match(/<testcase\b/g) ?? []).length;
  const failed = (xml.match(/<failure\b/g) ?? []).length;
  return { total, failed, passed: total - failed };
}

// The object version that the pipeline pinned; the template takes at most 64 characters.
const revision = (env.SOURCE_VERSION_ID || env.CODEBUILD_RESOLVED_SOURCE_VERSION || source.commit || "").slice(0, 64);
// What is only built lies nowhere, and nobody signed it.
const buildOnly = env.BUILD_ONLY === "true";
const bucket = buildOnly ? null : required("ARTIFACTS_BUCKET");
const key = buildOnly ? null : required("CODE_S3_KEY");
const digest = required("CODE_SHA256");
const { scans } = JSON.parse(readFileSync("reports/scans.json", "utf8"));
const unit = tests();

const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

if (!buildOnly) {
  write("parameters.json", {
    Parameters: {
      Environment: required("ENVIRONMENT"),
      FunctionName: required("FUNCTION_NAME"),
      CodeS3Bucket: bucket,
      CodeS3Key: key,
      CodeSha256: required("DEPLOYED_SHA256"),
      Revision: revision,
    },
  });
}

write("manifest.json", {
  revision,
  ...source,
  version: JSON.parse(readFileSync("src/release.json", "utf8")).version,
  environment: env.ENVIRONMENT,
  functionName: env.FUNCTION_NAME,
  code: { bucket, key, digest: `sha256:${digest}`, size: statSync("function.zip").size },
  signedBy: (!buildOnly && env.SIGNING_PROFILE) || null,
  sbom: "sbom.cdx.json",
  build: { id: env.CODEBUILD_BUILD_ID ?? null, number: Number(env.CODEBUILD_BUILD_NUMBER ?? 0) },
  tests: unit,
  scans,
});

const variables = {
  REVISION: revision,
  UNIT_TESTS: `${unit.passed} of ${unit.total} passed`,
  SCANS: scans.map(({ name, status }) => `${name}: ${status}`).join(", "),
};
const quoted = (text) => `'${text.replaceAll("'", String.raw`'\''`)}'`;
const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
writeFileSync("variables.sh", lines.join(""));
console.log(`Built ${env.FUNCTION_NAME} from ${revision || "an unnamed revision"}: sha256 ${digest}`);
