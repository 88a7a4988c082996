// Scans dependencies (npm audit) and infrastructure (Checkov); writes reports/scans.json.
//
// A scan that could not look is "not-run", never "passed". That fails the build, because nobody may
// deploy on a scan that did not happen; in the local demo (SIGNALBOX_LOCAL=true), where the machine may
// have no way to the databases, it is a warning.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const TEMPLATE = process.env.TEMPLATE ?? "templates/lambda-deployment-template.yaml";

function run(command, args) {
  return new Promise((resolve) => {
    const options = { maxBuffer: 64 * 1024 * 1024, timeout: 300_000 };
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ started: error?.code !== "ENOENT", stdout, stderr });
    });
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const firstLine = (text) => (text ?? "").split("\n").map((line) => line.trim()).find(Boolean);

/** What `npm audit --json` said. A report has a version; anything else is npm saying why there is none. */
export function auditResult(stdout, stderr) {
  const name = "npm audit";
  const report = parsed(stdout);
  if (report?.auditReportVersion === undefined) {
    const reason = report?.message ?? report?.error?.summary ?? firstLine(stderr) ?? "npm gave no report";
    return { name, status: "not-run", findings: null, reason };
  }
  const { high = 0, critical = 0, total = 0 } = report.metadata?.vulnerabilities ?? {};
  const findings = high + critical;
  const reason = `${findings} of ${total} known vulnerabilities are high or critical`;
  return { name, status: findings > 0 ? "failed" : "passed", findings, reason };
}

/** What `checkov -o json` said. */
export function checkovResult(stdout, stderr) {
  const name = "Checkov";
  const report = parsed(stdout);
  const summary = report?.summary;
  if (summary === undefined) {
    // It did look, and found nothing that it knows: that is no scan of this template either.
    const reason = report === null ? (firstLine(stderr) ?? "Checkov gave no report") : "no resource was scanned";
    return { name, status: "not-run", findings: null, reason };
  }
  const { failed, passed, skipped, parsing_errors: unread } = summary;
  const findings = failed + unread;
  const failures = (report.results?.failed_checks ?? []).map((check) => `${check.check_id} ${check.resource}`);
  const reason = [`${failed} failed, ${passed} passed, ${skipped} skipped, ${unread} unreadable`, ...failures];
  return { name, status: findings > 0 ? "failed" : "passed", findings, reason: reason.join("; ") };
}

async function audit() {
  const { started, stdout, stderr } = await run("npm", ["audit", "--json", "--audit-level=high"]);
  return started ? auditResult(stdout, stderr) : auditResult("", "npm is not installed");
}

async function checkov() {
  const [command, ...args] = (process.env.CHECKOV ?? "checkov").split(" ");
  if (!existsSync(TEMPLATE)) return checkovResult("", `${TEMPLATE} is missing from the package`);
  const { started, stdout, stderr } = await run(command, [
    ...args,
    ...["--file", TEMPLATE, "--framework", "cloudformation"],
    ...["--compact", "--quiet", "--skip-download", "--output", "json"],
  ]);
  return started ? checkovResult(stdout, stderr) : checkovResult("", `${command} is not installed`);
}

/** Whether a build may go on. */
export function verdict(scans, local) {
  const failed = scans.some((scan) => scan.status === "failed");
  const notRun = scans.some((scan) => scan.status === "not-run");
  return { failed: failed || (notRun && !local), warned: notRun && local };
}

async function main() {
  const scans = await Promise.all([audit(), checkov()]);
  mkdirSync("reports", { recursive: true });
  writeFileSync("reports/scans.json", `${JSON.stringify({ scans }, null, 2)}\n`);
  for (const { name, status, reason } of scans) console.log(`${name}: ${status.toUpperCase()}: ${reason}`);
  const { failed, warned } = verdict(scans, process.env.SIGNALBOX_LOCAL === "true");
  if (warned) console.log("WARNING: a scan did not run. In AWS this fails the build.");
  process.exit(failed ? 1 : 0);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main();
