"use strict";

const assert = require("node:assert/strict");
const { spawnSync } = require("node:child_process");
const { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { dirname, join } = require("node:path");
const { describe, it } = require("node:test");

const scan = import("../scripts/scan.mjs");

const audit = (vulnerabilities) => JSON.stringify({ auditReportVersion: 2, metadata: { vulnerabilities } });

describe("a scan that did not look has not passed", () => {
  it("npm audit without its database", async () => {
    const { auditResult } = await scan;
    const refused = JSON.stringify({ message: "405 Method Not Allowed", error: { summary: "" } });
    assert.equal(auditResult(refused, "").status, "not-run");
    assert.match(auditResult(refused, "").reason, /405/);
    assert.equal(auditResult("", "npm error code ENOTFOUND").reason, "npm error code ENOTFOUND");
  });

  it("npm audit with findings and without", async () => {
    const { auditResult } = await scan;
    assert.equal(auditResult(audit({ high: 1, critical: 1, total: 5 }), "").findings, 2);
    assert.equal(auditResult(audit({ high: 1, total: 1 }), "").status, "failed");
    assert.equal(auditResult(audit({ moderate: 3, total: 3 }), "").status, "passed");
  });

  it("Checkov", async () => {
    const { checkovResult } = await scan;
    const report = (failed, unread) =>
      JSON.stringify({
        summary: { failed, passed: 1, skipped: 0, parsing_errors: unread },
        results: { failed_checks: [{ check_id: "CKV_1", resource: "Queue" }].slice(0, failed) },
      });
    const template = { path: "templates/a.yaml", framework: "cloudformation" };
    const said = (stdout, stderr = "") => checkovResult(template, stdout, stderr);
    assert.equal(said(report(0, 0)).status, "passed");
    assert.equal(said(report(0, 0)).name, "Checkov templates/a.yaml");
    assert.match(said(report(1, 0)).reason, /CKV_1 Queue/);
    assert.equal(said(report(0, 1)).status, "failed");
    assert.equal(said(JSON.stringify({ passed: 0, failed: 0 })).status, "not-run");
    assert.equal(said("", "No module named checkov").status, "not-run");
    const terraform = { path: "infrastructure", framework: "terraform" };
    assert.equal(checkovResult(terraform, report(0, 0), "").name, "Checkov Terraform infrastructure");
  });

  it("stops a build in AWS and warns in the local demo; a finding stops both", async () => {
    const { verdict } = await scan;
    const notRun = [{ status: "not-run" }, { status: "passed" }];
    assert.deepEqual(verdict(notRun, false), { failed: true, warned: false });
    assert.deepEqual(verdict(notRun, true), { failed: false, warned: true });
    assert.equal(verdict([{ status: "failed" }], true).failed, true);
    assert.deepEqual(verdict([{ status: "passed" }], false), { failed: false, warned: false });
  });
});

const MAIN = "templates/lambda-deployment-template.yaml";
const TEMPLATE = 'AWSTemplateFormatVersion: "2010-09-09"\nResources: {}\n';

/** Calls `use` with a package that has these files. */
function withPackage(files, use) {
  const root = mkdtempSync(join(tmpdir(), "scan-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return use(root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

describe("Checkov looks at", () => {
  const looked = async (files, main = MAIN) => {
    const { targets } = await scan;
    return withPackage(files, (root) => targets(root, main)).map(
      ({ path, framework, missing }) => `${missing ? "missing " : ""}${framework} ${path}`,
    );
  };

  it("the main template, also where it is missing", async () => {
    assert.deepEqual(await looked({ [MAIN]: TEMPLATE }), [`cloudformation ${MAIN}`]);
    assert.deepEqual(await looked({}), [`missing cloudformation ${MAIN}`]);
    assert.deepEqual(await looked({ "templates/other.yaml": TEMPLATE }), [
      `missing cloudformation ${MAIN}`,
      "cloudformation templates/other.yaml",
    ]);
  });

  it("every template of templates/, and nothing else there", async () => {
    const files = {
      [MAIN]: TEMPLATE,
      "templates/b.json": JSON.stringify({ Description: "b", Resources: { Q: { Type: "AWS::SQS::Queue" } } }),
      "templates/nested/a.yml": "Resources:\n  Q:\n    Type: 'AWS::SQS::Queue'\n",
      "templates/old.template": TEMPLATE,
      "templates/parameters.json": JSON.stringify({ Parameters: { Environment: "staging" } }),
      "templates/pipeline.json": JSON.stringify({ pipeline: { name: "AWS::Nothing" } }),
      "templates/values.yaml": "Resources:\n  cpu: 1\n",
      "elsewhere/template.yaml": TEMPLATE,
      "node_modules/x/templates/t.yaml": TEMPLATE,
    };
    assert.deepEqual(await looked(files), [
      `cloudformation ${MAIN}`,
      "cloudformation templates/b.json",
      "cloudformation templates/nested/a.yml",
      "cloudformation templates/old.template",
    ]);
  });

  it("what lies beside a main template elsewhere", async () => {
    const files = { "stack.yaml": TEMPLATE, "second.yaml": TEMPLATE, "templates/t.yaml": TEMPLATE, "deep/t.yaml": TEMPLATE };
    assert.deepEqual(await looked(files, "./stack.yaml"), [
      "cloudformation ./stack.yaml",
      "cloudformation second.yaml",
      "cloudformation templates/t.yaml",
    ]);
  });

  it("Terraform, each folder once", async () => {
    const files = {
      [MAIN]: TEMPLATE,
      "infrastructure/modules/a/main.tf": "",
      "infrastructure/modules/b/main.tf": "",
      "network/main.tf": "",
      "network/.terraform/modules/x/main.tf": "",
      "node_modules/x/main.tf": "",
    };
    const folders = ["terraform infrastructure", "terraform network"];
    assert.deepEqual(await looked(files), [`cloudformation ${MAIN}`, ...folders]);
    assert.deepEqual(await looked({ ...files, "main.tf": "" }), [`cloudformation ${MAIN}`, "terraform ."]);
  });
});

describe("the scan of a package", () => {
  // As Checkov: it finds something where the file or the folder says so, and knows nothing of what is empty.
  const CHECKOV = `
    const { readFileSync, readdirSync } = require("node:fs");
    const [, , kind, path, , framework] = process.argv;
    const files = kind === "--file" ? [path] : readdirSync(path).map((name) => path + "/" + name);
    const text = files.map((file) => readFileSync(file, "utf8")).join("");
    const failed = text.split("BAD").length - 1;
    const failed_checks = Array(failed).fill({ check_id: framework, resource: "Queue" });
    const summary = { failed, passed: 1, skipped: 0, parsing_errors: 0 };
    console.log(JSON.stringify(text === "" ? { failed: 0 } : { summary, results: { failed_checks } }));
  `;

  const scanned = (files) =>
    withPackage({ ...files, "checkov.js": CHECKOV }, (root) => {
      const run = spawnSync(process.execPath, [require.resolve("../scripts/scan.mjs")], {
        cwd: root,
        // No npm: its audit would ask the registry.
        env: { PATH: root, CHECKOV: `${process.execPath} checkov.js`, SIGNALBOX_LOCAL: "true" },
        encoding: "utf8",
      });
      const { scans } = JSON.parse(readFileSync(join(root, "reports/scans.json"), "utf8"));
      return { status: run.status, scans: scans.slice(1).map(({ name, status, findings }) => [name, status, findings]) };
    });

  it("has a result of its own for each", () => {
    const files = {
      [MAIN]: TEMPLATE,
      "templates/second.yaml": `${TEMPLATE}# BAD BAD\n`,
      "infrastructure/main.tf": "# BAD\n",
      "network/main.tf": "",
    };
    assert.deepEqual(scanned(files), {
      status: 1,
      scans: [
        [`Checkov ${MAIN}`, "passed", 0],
        ["Checkov templates/second.yaml", "failed", 2],
        ["Checkov Terraform infrastructure", "failed", 1],
        ["Checkov Terraform network", "not-run", null],
      ],
    });
  });

  it("has not run where the main template is missing", () => {
    assert.deepEqual(scanned({}), { status: 0, scans: [[`Checkov ${MAIN}`, "not-run", null]] });
  });
});
