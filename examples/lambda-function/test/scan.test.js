"use strict";

const assert = require("node:assert/strict");
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
    assert.equal(checkovResult(report(0, 0), "").status, "passed");
    assert.match(checkovResult(report(1, 0), "").reason, /CKV_1 Queue/);
    assert.equal(checkovResult(report(0, 1), "").status, "failed");
    assert.equal(checkovResult(JSON.stringify({ passed: 0, failed: 0 }), "").status, "not-run");
    assert.equal(checkovResult("", "No module named checkov").status, "not-run");
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
