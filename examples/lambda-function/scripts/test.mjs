// Runs the unit tests: readable on the terminal, JUnit in reports/unit.xml for CodeBuild.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";

mkdirSync("reports", { recursive: true });
const tests = readdirSync("test").filter((name) => name.endsWith(".test.js"));
const run = spawnSync(
  process.execPath,
  [
    "--test",
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    "--test-reporter=junit",
    "--test-reporter-destination=reports/unit.xml",
    ...tests.map((name) => `test/${name}`),
  ],
  // The function's log lines of every test would bury the tests.
  { stdio: "inherit", env: { ...process.env, LOG_LEVEL: "error" } },
);
process.exit(run.status ?? 1);
