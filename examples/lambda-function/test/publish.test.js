"use strict";

const assert = require("node:assert/strict");
const { spawnSync } = require("node:child_process");
const { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { createHash } = require("node:crypto");
const { tmpdir } = require("node:os");
const { dirname, join } = require("node:path");
const { describe, it } = require("node:test");

const SCRIPTS = dirname(require.resolve("../scripts/publish.sh"));
const CODE = "the package";
const DIGEST = createHash("sha256").update(CODE).digest("hex");
const asLambdaNamesIt = (code) => createHash("sha256").update(code).digest("base64");

// Writes down what it is asked. Nothing lies in the bucket; of the signed object it knows the version and the name.
const AWS = `#!/bin/sh
echo "$*" >> asked.txt
case "$*" in
  *"--query VersionId"*) echo v1 ;;
  *"s3api head-object"*) exit 254 ;;
  *"--query jobId"*) echo job ;;
  *"--query signedObject"*) echo signed/f/job.zip ;;
  *"s3 cp"*" signed.zip") printf signed > signed.zip ;;
esac
`;

/** What a build does from its package on, with these variables. */
function build(variables) {
  const root = mkdtempSync(join(tmpdir(), "publish-"));
  try {
    for (const folder of ["bin", "src", "reports"]) mkdirSync(join(root, folder));
    writeFileSync(join(root, "bin/aws"), AWS);
    chmodSync(join(root, "bin/aws"), 0o755);
    writeFileSync(join(root, "function.zip"), CODE);
    writeFileSync(join(root, "src/release.json"), '{"version": "1.0.0"}');
    writeFileSync(join(root, "reports/scans.json"), '{"scans": []}');
    writeFileSync(join(root, "reports/unit.xml"), "<testcase/>");
    const commands = `. ${SCRIPTS}/publish.sh && ${process.execPath} ${SCRIPTS}/manifest.mjs && . ./variables.sh && env`;
    const run = spawnSync("bash", ["-c", commands], {
      cwd: root,
      env: {
        PATH: `${join(root, "bin")}:${process.env.PATH}`,
        ENVIRONMENT: "staging",
        FUNCTION_NAME: "f",
        SOURCE_COMMIT: "c1",
        ...variables,
      },
      encoding: "utf8",
    });
    const read = (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), "utf8") : null);
    const exported = Object.fromEntries(run.stdout.split("\n").map((line) => line.split("=", 2)));
    return {
      ...{ status: run.status, said: run.stdout + run.stderr, exported },
      asked: read("asked.txt"),
      manifest: JSON.parse(read("manifest.json")),
      parameters: JSON.parse(read("parameters.json")),
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

describe("publishing", () => {
  it("uploads what is to be deployed, under its digest", () => {
    const built = build({ ARTIFACTS_BUCKET: "b" });
    assert.equal(built.status, 0, built.said);
    const key = `functions/f/${DIGEST}.zip`;
    assert.ok(built.asked.includes(`s3 cp --only-show-errors function.zip s3://b/${key}\n`), built.asked);
    assert.doesNotMatch(built.asked, /signer/);
    assert.equal(built.exported.CODE_S3_KEY, key);
    assert.equal(built.exported.CODE_SHA256, DIGEST);
    assert.equal(built.parameters.Parameters.CodeS3Key, key);
    assert.equal(built.parameters.Parameters.CodeSha256, asLambdaNamesIt(CODE));
    assert.equal(built.manifest.code.key, key);
    assert.equal(built.manifest.signedBy, null);
  });

  it("signs where it is told to", () => {
    const built = build({ ARTIFACTS_BUCKET: "b", SIGNING_PROFILE: "p", BUILD_ONLY: "false" });
    assert.equal(built.status, 0, built.said);
    assert.match(built.asked, /signer start-signing-job --profile-name p/);
    assert.equal(built.exported.CODE_S3_KEY, "signed/f/job.zip");
    assert.equal(built.parameters.Parameters.CodeSha256, asLambdaNamesIt("signed"));
    assert.equal(built.manifest.signedBy, "p");
  });

  it("needs a bucket", () => {
    const built = build({});
    assert.notEqual(built.status, 0);
    assert.match(built.said, /ARTIFACTS_BUCKET is not set/);
  });

  it("asks nothing of AWS for a build of another branch, and says so", () => {
    const buckets = [{ ARTIFACTS_BUCKET: "b", SIGNING_PROFILE: "p", CODE_S3_KEY: "left/over.zip" }, {}];
    for (const variables of buckets) {
      const built = build({ ...variables, BUILD_ONLY: "true" });
      assert.equal(built.status, 0, built.said);
      assert.equal(built.asked, null);
      assert.match(built.said, /BUILD_ONLY: function.zip is neither uploaded nor signed/);
      assert.equal(built.exported.CODE_SHA256, DIGEST);
      assert.equal(built.exported.CODE_S3_KEY, undefined);
      assert.equal(built.exported.UNIT_TESTS, "1 of 1 passed");
      assert.equal(built.exported.REVISION, "c1");
      assert.deepEqual(built.manifest.code, { bucket: null, key: null, digest: `sha256:${DIGEST}`, size: CODE.length });
      assert.equal(built.manifest.signedBy, null);
      assert.equal(built.parameters, null, "nothing can be deployed with it");
    }
  });
});
