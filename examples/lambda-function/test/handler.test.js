"use strict";

const assert = require("node:assert/strict");
const { describe, it } = require("node:test");

const { handler } = require("../src/index");

const call = (action, data) => handler({ action, data }, { awsRequestId: "test" });

describe("what is asked for is done", () => {
  it("creates, reads, updates, lists and deletes an item", async () => {
    const created = await handler({ action: "create", data: { name: "test" } });
    assert.equal(created.ok, true);
    assert.equal(created.item.name, "test");
    const { id } = created.item;

    assert.deepEqual(await call("read", { id }), created);
    const updated = await call("update", { id, name: "renamed" });
    assert.equal(updated.item.name, "renamed");
    assert.equal(updated.item.createdAt, created.item.createdAt);
    const listed = await call("list");
    assert.deepEqual(listed.items.map((item) => item.name), ["renamed"]);
    assert.equal((await call("delete", { id })).ok, true);
    assert.equal((await call("read", { id })).error.code, "NotFound");
  });

  it("lists no more than asked for", async () => {
    await call("create", { name: "a" });
    await call("create", { name: "b" });
    assert.equal((await call("list", { limit: 1 })).items.length, 1);
  });

  it("does not hand out what it keeps", async () => {
    const { item } = await call("create", { name: "mine" });
    item.name = "changed by the caller";
    assert.equal((await call("read", { id: item.id })).item.name, "mine");
  });
});

describe("bad input is answered, never thrown", () => {
  it("with a code for programs, a message for people, and the field", async () => {
    assert.deepEqual(await call("create", { name: 5 }), {
      ok: false,
      error: { code: "InvalidInput", message: "data.name must be text", field: "data.name" },
    });
    assert.equal((await call("explode")).error.code, "UnknownAction");
    assert.equal((await call("delete", { id: "none" })).error.code, "NotFound");
    assert.equal((await handler(null)).error.code, "InvalidInput");
  });
});

describe("the log", () => {
  it("says what happened, and nothing of the data", async (t) => {
    const lines = [];
    t.mock.method(console, "log", (line) => lines.push(line));
    const level = process.env.LOG_LEVEL;
    t.after(() => {
      process.env.LOG_LEVEL = level;
    });
    process.env.LOG_LEVEL = "info";
    await call("create", { name: "marker-secret" });
    assert.equal(JSON.parse(lines[0]).action, "create");
    assert.ok(!lines.join().includes("marker-secret"));
  });
});
