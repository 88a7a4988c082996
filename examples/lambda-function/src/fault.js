"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

/**
 * The demo's switch: makes a version that passes its tests and fails under traffic, as one with a leak
 * would, so that there is something to roll back. `release.json` holds it, null in every real release:
 *
 *   {"kind": "error",   "after": 25}                every invocation of a process after its 25th fails
 *   {"kind": "latency", "after": 25, "ms": 2000}    … takes two seconds longer
 *
 * @param {null|{kind: string, after: number, ms?: number}} spec
 * @returns {() => Promise<void>} to be called once in each invocation
 */
function fault(spec) {
  if (spec === null || spec === undefined) return async () => {};
  const { kind, after, ms } = spec;
  const sound = Number.isInteger(after) && after >= 0 && (kind !== "latency" || ms > 0);
  if (!["error", "latency"].includes(kind) || !sound) {
    throw new Error(`release.json: not a fault: ${JSON.stringify(spec)}`);
  }
  let count = 0;
  return async () => {
    count += 1;
    if (count <= after) return;
    if (kind === "latency") await sleep(ms);
    else throw new Error(`the demo's fault: invocation ${count} of this process fails`);
  };
}

module.exports = { fault };
