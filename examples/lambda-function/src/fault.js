"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

/**
 * The demo's switch: makes a version that passes its tests and fails under traffic, as one with a leak
 * would, so that there is something to roll back. `release.json` holds it, null in every real release:
 *
 *   {"kind": "error",   "after": 25}                every invocation of a process after its 25th fails
 *   {"kind": "latency", "after": 25, "ms": 2000}    … takes two seconds longer
 *   {"kind": "log",     "after": 25}                … is served, and logs an error
 *   {…, "through": "alias"}                         counts only what comes through an alias, as users do,
 *                                                   and lets whoever tests a version by its number see nothing
 *
 * @param {null|{kind: string, after: number, ms?: number, through?: "alias"}} spec
 * @returns {(context?: {invokedFunctionArn?: string}) => Promise<void>} to be called once in each invocation
 */
function fault(spec) {
  if (spec === null || spec === undefined) return async () => {};
  const { kind, after, ms, through } = spec;
  const sound = Number.isInteger(after) && after >= 0 && (kind !== "latency" || ms > 0);
  if (!["error", "latency", "log"].includes(kind) || !sound || !["alias", undefined].includes(through)) {
    throw new Error(`release.json: not a fault: ${JSON.stringify(spec)}`);
  }
  let count = 0;
  return async (context) => {
    if (through === "alias" && !isThroughAlias(context)) return;
    count += 1;
    if (count <= after) return;
    if (kind === "latency") await sleep(ms);
    else if (kind === "log") console.error(`the demo's fault: invocation ${count} of this process`);
    else throw new Error(`the demo's fault: invocation ${count} of this process fails`);
  };
}

/** arn:aws:lambda:region:account:function:name:qualifier, and the qualifier is no version. */
function isThroughAlias(context) {
  const qualifier = context?.invokedFunctionArn?.split(":")[7];
  return qualifier !== undefined && qualifier !== "$LATEST" && !/^\d+$/.test(qualifier);
}

module.exports = { fault };
