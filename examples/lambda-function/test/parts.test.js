"use strict";

const assert = require("node:assert/strict");
const { describe, it } = require("node:test");

const { fault } = require("../src/fault");
const release = require("../src/release.json");
const { MAX_ITEMS, Store } = require("../src/store");

describe("the store", () => {
  it("refuses to grow without end", () => {
    const store = new Store();
    for (let i = 0; i < MAX_ITEMS; i += 1) store.create(`item ${i}`);
    assert.throws(() => store.create("one more"), { code: "StoreFull" });
  });
});

describe("the demo's fault", () => {
  it("does nothing where there is none", async () => {
    await fault(null)();
  });

  it("fails after the invocations that it lets pass, and goes on failing", async () => {
    const misbehave = fault({ kind: "error", after: 2 });
    await misbehave();
    await misbehave();
    await assert.rejects(misbehave(), /invocation 3/);
    await assert.rejects(misbehave(), /invocation 4/);
  });

  it("is slow where it is to be slow", async () => {
    const misbehave = fault({ kind: "latency", after: 1, ms: 30 });
    await misbehave();
    const began = performance.now();
    await misbehave();
    assert.ok(performance.now() - began >= 29);
  });

  it("logs an error where it is to log one", async (t) => {
    const logged = t.mock.method(console, "error", () => {});
    await fault({ kind: "log", after: 0 })();
    assert.equal(logged.mock.callCount(), 1);
  });

  it("spares those who call a version by its number", async () => {
    const misbehave = fault({ kind: "error", after: 0, through: "alias" });
    const arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    await misbehave({ invokedFunctionArn: arn });
    await misbehave({ invokedFunctionArn: `${arn}:7` });
    await assert.rejects(misbehave({ invokedFunctionArn: `${arn}:live` }), /invocation 1/);
  });

  it("is refused where it makes no sense", () => {
    for (const spec of [{}, { kind: "other", after: 1 }, { kind: "error" }, { kind: "latency", after: 1 }, { kind: "error", after: 1, through: "window" }]) {
      assert.throws(() => fault(spec), /not a fault/);
    }
  });
});

describe("the release", () => {
  it("has a version", () => {
    assert.match(release.version, /^\d+\.\d+\.\d+/);
  });
});
