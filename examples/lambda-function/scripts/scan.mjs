// Scans dependencies (npm audit) and infrastructure (Checkov: each CloudFormation template, and Terraform where there
// is any); writes reports/scans.json.
//
// A scan that could not look is "not-run", never "passed". That fails the build, because nobody may
// deploy on a scan that did not happen; in the local demo (SIGNALBOX_LOCAL=true), where the machine may
// have no way to the databases, it is a warning.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const TEMPLATE = process.env.TEMPLATE ?? "templates/lambda-deployment-template.yaml";

/** What is not the package's own: dependencies, and what the build writes. Hidden folders are left out as well. */
const NOT_OURS = new Set(["node_modules", "reports"]);

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

/** The files of a folder and below it, in an order that does not change. A folder that is not there has none. */
function filesBelow(root, folder) {
  let entries;
  try {
    entries = readdirSync(join(root, folder), { withFileTypes: true });
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  }
  return entries
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = posix.join(folder, entry.name);
      if (entry.isFile()) return [path];
      const ours = entry.isDirectory() && !NOT_OURS.has(entry.name) && !entry.name.startsWith(".");
      return ours ? filesBelow(root, path) : [];
    });
}

/** Whether a text is a template of CloudFormation, and not, say, a pipeline's definition. */
function isTemplate(text) {
  const json = parsed(text);
  if (json !== null) {
    const resources = Object.values(json.Resources ?? {});
    return json.AWSTemplateFormatVersion !== undefined || resources.some((it) => /^(AWS|Alexa|Custom)::/.test(it?.Type));
  }
  if (/^["']?AWSTemplateFormatVersion["']?\s*:/m.test(text)) return true;
  return /^["']?Resources["']?\s*:/m.test(text) && /\bType["']?\s*:\s*["']?(AWS|Alexa|Custom)::/.test(text);
}

/**
 * What Checkov looks at: `{path, framework, missing}`. The main template, there or not; every other one of `templates/`
 * and of the main template's folder; each folder of the package that has Terraform in it or below it, or the whole
 * package where some lies in its own folder.
 */
export function targets(root, main) {
  const files = filesBelow(root, ".");
  const others = files.filter((path) => {
    const beside = path.startsWith("templates/") || resolve(root, dirname(path)) === resolve(root, dirname(main));
    if (!beside || !/\.(ya?ml|json|template)$/.test(path) || resolve(root, path) === resolve(root, main)) return false;
    return isTemplate(readFileSync(join(root, path), "utf8"));
  });
  const terraform = files.filter((path) => path.endsWith(".tf")).map((path) => path.split("/"));
  const inPackage = terraform.some((parts) => parts.length === 1);
  const folders = inPackage ? ["."] : [...new Set(terraform.map(([folder]) => folder))];
  return [
    { path: main, framework: "cloudformation", missing: !existsSync(resolve(root, main)) },
    ...others.map((path) => ({ path, framework: "cloudformation", missing: false })),
    ...folders.map((path) => ({ path, framework: "terraform", missing: false })),
  ];
}

/** What `checkov -o json` said of one of its targets. */
export function checkovResult({ path, framework }, stdout, stderr) {
  const name = framework === "terraform" ? `Checkov Terraform ${path}` : `Checkov ${path}`;
  const report = parsed(stdout);
  const summary = report?.summary;
  if (summary === undefined) {
    // It did look, and found nothing that it knows: that is no scan of it either.
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

async function checkov(target) {
  const [command, ...args] = (process.env.CHECKOV ?? "checkov").split(" ");
  const { path, framework, missing } = target;
  if (missing) return checkovResult(target, "", `${path} is missing from the package`);
  const { started, stdout, stderr } = await run(command, [
    ...args,
    ...[framework === "terraform" ? "--directory" : "--file", path, "--framework", framework],
    ...["--compact", "--quiet", "--skip-download", "--output", "json"],
  ]);
  return started ? checkovResult(target, stdout, stderr) : checkovResult(target, "", `${command} is not installed`);
}

/** One after the other: each takes hundreds of megabytes. */
async function checkovs() {
  const scans = [];
  for (const target of targets(".", TEMPLATE)) scans.push(await checkov(target));
  return scans;
}

/** Whether a build may go on. */
export function verdict(scans, local) {
  const failed = scans.some((scan) => scan.status === "failed");
  const notRun = scans.some((scan) => scan.status === "not-run");
  return { failed: failed || (notRun && !local), warned: notRun && local };
}

async function main() {
  const scans = (await Promise.all([audit(), checkovs()])).flat();
  mkdirSync("reports", { recursive: true });
  writeFileSync("reports/scans.json", `${JSON.stringify({ scans }, null, 2)}\n`);
  for (const { name, status, reason } of scans) console.log(`${name}: ${status.toUpperCase()}: ${reason}`);
  const { failed, warned } = verdict(scans, process.env.SIGNALBOX_LOCAL === "true");
  if (warned) console.log("WARNING: a scan did not run. In AWS this fails the build.");
  process.exit(failed ? 1 : 0);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main();
